"""A hold that goes to a named heir, as a gateway asks once a host has drained: one replica on real etcd."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tenure import errors, request_id
from tenure.internal.v1.lock_service_pb2 import TransferDrainedRequest, TransferDrainedResponse
from tenure.v1.hold_pb2 import Hold, ProfileState
from tenure.v1.hold_service_pb2 import TransferHoldRequest
from tenure.v1.worker_service_pb2 import EndWorkerRequest
from tests.fixtures.etcd import Store
from tests.lockservice.replicas import Mutation, Running, running, without_compares, writes

ALICE = "alice:linkedin"


@pytest.fixture
async def a(etcd: Store) -> AsyncIterator[Running]:
    async with running(etcd.endpoints, etcd.prefix) as replica:
        yield replica


async def answered(
    a: Running, hold: Hold, to: str, number: str = "", run_id: str = "", *, check_only: bool = False
) -> TransferDrainedResponse:
    wanted = TransferHoldRequest(
        profile=hold.profile,
        fencing_token=hold.fencing_token,
        to_worker=to,
        request_id=number or request_id.mint(),
        run_id=run_id,
        reason="a person takes over",
    )
    request = TransferDrainedRequest(transfer=wanted, check_only=check_only)
    answer: TransferDrainedResponse = await a.call(a.lock.TransferDrained, request)
    return answer


async def transfer(a: Running, hold: Hold, to: str, number: str = "", run_id: str = "") -> Hold:
    return (await answered(a, hold, to, number, run_id)).hold


async def test_a_hold_goes_to_its_heir_whoever_waits_and_the_waiters_keep_their_places(a: Running) -> None:
    first = await a.acquire(ALICE, await a.worker())
    waiting = asyncio.create_task(a.acquire(ALICE, await a.worker(), wait=15))
    await a.until_queued(1)
    heir = await a.worker()
    second = await transfer(a, first, heir, run_id="a person")
    assert (second.worker, second.run_id) == (heir, "a person")
    assert second.fencing_token > first.fencing_token
    assert (await a.verify(second)).fencing_token == second.fencing_token
    with pytest.raises(errors.TokenSuperseded):
        await a.verify(first)
    # It is over for its holder as after a release, and no incident.
    assert (await a.release(first)).already_released
    assert not waiting.done()
    assert (await a.release(second)).state == ProfileState.PROFILE_STATE_HELD
    assert (await waiting).fencing_token > second.fencing_token


async def test_the_same_transfer_again_gives_the_same_hold_and_never_a_second_one(a: Running) -> None:
    first, heir, number = await a.acquire(ALICE, await a.worker()), await a.worker(), request_id.mint()
    second = await transfer(a, first, heir, number)
    assert (await transfer(a, first, heir, number)).fencing_token == second.fencing_token
    # The heir may ask for it by itself, by the same id.
    assert (await a.acquire(ALICE, heir, request_id=number)).fencing_token == second.fencing_token
    await a.release(second)
    with pytest.raises(errors.RequestEnded):
        await transfer(a, first, heir, number)


async def test_only_the_hold_that_was_to_go_goes(a: Running) -> None:
    worker = await a.worker()
    first = await a.acquire(ALICE, worker)
    await a.release(first)
    with pytest.raises(errors.TokenSuperseded):
        await transfer(a, first, await a.worker())
    again = await a.acquire(ALICE, worker)
    with pytest.raises(errors.TokenSuperseded):
        await transfer(a, first, await a.worker())
    assert (await a.verify(again)).fencing_token == again.fencing_token


async def test_neither_a_dead_heir_nor_a_dead_holder_has_any_part_in_it(a: Running) -> None:
    holder, heir = await a.worker(), await a.worker()
    first = await a.acquire(ALICE, holder)
    await a.call(a.workers.EndWorker, EndWorkerRequest(worker=heir))
    with pytest.raises(errors.LeaseExpired, match=heir):
        await transfer(a, first, heir)
    assert (await a.verify(first)).fencing_token == first.fencing_token
    await a.call(a.workers.EndWorker, EndWorkerRequest(worker=holder))
    with pytest.raises((errors.LeaseExpired, errors.TokenSuperseded)):
        await transfer(a, first, await a.worker())


async def test_an_heir_who_gave_the_request_up_gets_nothing(a: Running) -> None:
    first, heir, number = await a.acquire(ALICE, await a.worker()), await a.worker(), request_id.mint()
    await a.cancel(ALICE, heir, number)
    with pytest.raises(errors.RequestEnded):
        await transfer(a, first, heir, number)
    assert (await a.verify(first)).fencing_token == first.fencing_token


async def test_a_look_before_a_transfer_changes_nothing_and_uses_nothing_up(a: Running) -> None:
    first, heir, number = await a.acquire(ALICE, await a.worker()), await a.worker(), request_id.mint()
    for _ in range(2):
        assert not (await answered(a, first, heir, number, check_only=True)).HasField("hold")
    assert (await a.verify(first)).fencing_token == first.fencing_token
    second = await transfer(a, first, heir, number)
    # The call comes again: there is nothing left to drain.
    again = await answered(a, first, heir, number, check_only=True)
    assert again.hold.fencing_token == second.fencing_token


async def test_a_look_refuses_as_the_transfer_would(a: Running) -> None:
    holder, gone, number = await a.worker(), await a.worker(), request_id.mint()
    first = await a.acquire(ALICE, holder)
    await a.call(a.workers.EndWorker, EndWorkerRequest(worker=gone))
    with pytest.raises(errors.LeaseExpired, match=gone):
        await answered(a, first, gone, check_only=True)
    heir = await a.worker()
    await a.cancel(ALICE, heir, number)
    with pytest.raises(errors.RequestEnded):
        await answered(a, first, heir, number, check_only=True)
    a.watches_nobody()
    await a.call(a.workers.EndWorker, EndWorkerRequest(worker=holder))
    with pytest.raises(errors.LeaseExpired, match=holder):
        await answered(a, first, heir, check_only=True)
    with pytest.raises(errors.LeaseExpired, match=holder):
        await transfer(a, first, heir)


async def test_an_heir_whose_lease_is_full_is_told_so_before_anything_is_drained(
    a: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lockservice.core.acquire.MAX_LEASE_KEYS", 3)
    first, heir = await a.acquire(ALICE, await a.worker()), await a.worker()
    await a.acquire("other", heir)
    # Its own key, and that of one profile: one more fits.
    await transfer(a, first, heir)
    third = await a.acquire("third", await a.worker())
    with pytest.raises(errors.QuotaExceeded, match="Register another worker"):
        await answered(a, third, heir, check_only=True)
    with pytest.raises(errors.QuotaExceeded):
        await transfer(a, third, heir)
    assert (await a.verify(third)).fencing_token == third.fencing_token


@pytest.fixture
async def behind(a: Running, etcd: Store) -> AsyncIterator[tuple[Running, Hold]]:
    """A replica that has heard of nothing since another's hold of the profile, and that hold."""
    async with running(etcd.endpoints, etcd.prefix) as replica:
        replica.watches_nobody()
        hold = await replica.acquire(ALICE, await replica.worker())
        replica.replica.mirror.apply = lambda events: []  # type: ignore[method-assign]  # deaf from here on
        yield replica, hold


async def test_a_replica_that_is_behind_hands_over_a_hold_that_it_has_not_heard_of(
    a: Running, behind: tuple[Running, Hold]
) -> None:
    late, earlier = behind
    await a.release(earlier)
    # Of this one it takes another for the holder, of that one nobody.
    for profile in (ALICE, "bob:linkedin"):
        first, heir, number = await a.acquire(profile, await a.worker()), await a.worker(), request_id.mint()
        assert not (await answered(late, first, heir, number, check_only=True)).HasField("hold")
        second = await transfer(late, first, heir, number)
        assert second.worker == heir
        assert (await a.verify(second)).fencing_token == second.fencing_token


async def test_a_replica_that_is_behind_gives_nothing_of_a_dead_holder_away(
    a: Running, behind: tuple[Running, Hold]
) -> None:
    late, earlier = behind
    a.watches_nobody()
    await a.release(earlier)
    holder = await a.worker()
    first = await a.acquire(ALICE, holder)
    await a.call(a.workers.EndWorker, EndWorkerRequest(worker=holder))
    with pytest.raises(errors.LeaseExpired, match=holder):
        await transfer(late, first, await a.worker())


async def released(a: Running, hold: Hold, heir: str, number: str) -> None:
    await a.release(hold)


async def heir_dies(a: Running, hold: Hold, heir: str, number: str) -> None:
    await a.call(a.workers.EndWorker, EndWorkerRequest(worker=heir))


async def holder_dies(a: Running, hold: Hold, heir: str, number: str) -> None:
    await a.call(a.workers.EndWorker, EndWorkerRequest(worker=hold.worker))


async def given_up(a: Running, hold: Hold, heir: str, number: str) -> None:
    await a.cancel(hold.profile, heir, number)


Meanwhile = Callable[[Running, Hold, str, str], Awaitable[None]]
OVERTAKEN: list[tuple[bytes, Meanwhile]] = [(b"/p/", released), (b"/w/", holder_dies), (b"/k/", given_up)]


async def overtaken(etcd: Store, meanwhile: Meanwhile, mutation: Mutation | None) -> Hold:
    """The Txn of a transfer arrives after something else was done."""
    async with running(etcd.endpoints, etcd.prefix, mutation=mutation) as a:
        a.watches_nobody()
        hold, heir, number = await a.acquire(ALICE, await a.worker()), await a.worker(), request_id.mint()
        gate = a.wire.stop_next(writes(b"/p/"))
        passing = asyncio.create_task(transfer(a, hold, heir, number))
        await gate.arrived.wait()
        await meanwhile(a, hold, heir, number)
        gate.opened.set()
        return await passing


@pytest.mark.parametrize("meanwhile", [*(each for _, each in OVERTAKEN), heir_dies])
async def test_a_transfer_that_was_overtaken_is_stopped_by_what_it_compares(
    etcd: Store, meanwhile: Meanwhile
) -> None:
    with pytest.raises((errors.TokenSuperseded, errors.LeaseExpired, errors.RequestEnded)):
        await overtaken(etcd, meanwhile, None)


@pytest.mark.parametrize(("guard", "meanwhile"), OVERTAKEN)
async def test_without_that_compare_it_is_done_all_the_same(
    etcd: Store, guard: bytes, meanwhile: Meanwhile
) -> None:
    def of_transfers(request: object) -> bool:
        return writes(b"/k/")(request) and writes(b"/p/")(request)  # type: ignore[arg-type]

    hold = await overtaken(etcd, meanwhile, without_compares(guard, only=of_transfers))
    assert hold.run_id
