"""Acquire, wait, release, verify: one replica on a real etcd."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tenure import errors, request_id, token
from tenure.v1 import hold_service_pb2 as pb
from tenure.v1.hold_pb2 import ProfileState, RunResult
from tenure.v1.worker_service_pb2 import EndWorkerRequest
from tests.fixtures.etcd import Store
from tests.lockservice.replicas import Running, running

ALICE = "alice:linkedin"
NAME = "tenants/default/profiles/alice_linkedin"


@pytest.fixture
async def a(etcd: Store) -> AsyncIterator[Running]:
    async with running(etcd.endpoints, etcd.prefix) as replica:
        yield replica


async def test_a_free_profile_is_granted_and_a_busy_one_names_its_holder(a: Running) -> None:
    worker, other = await a.worker(), await a.worker()
    hold = await a.acquire(ALICE, worker, run_id="r-17")
    assert hold.profile == NAME
    assert hold.as_sent == ALICE
    assert hold.worker == worker
    assert hold.lease_remaining.seconds > 50
    assert token.is_token(hold.fencing_token)
    assert (await a.verify(hold)).run_id == "r-17"
    with pytest.raises(errors.ProfileBusy) as busy:
        await a.acquire(ALICE, other)
    assert str(busy.value) == (
        "profile_id 'alice:linkedin' is busy; held by run_id='r-17'. "
        "Use a different profile_id or wait for the existing run to finish."
    )
    assert busy.value.retry_after_s


async def test_an_uncontended_acquire_and_release_are_one_txn_each(a: Running) -> None:
    worker = await a.worker()
    before = a.wire.sent
    for _ in range(3):
        await a.release(await a.acquire(ALICE, worker))
    assert a.wire.sent == before + 6


async def test_the_same_request_id_gives_the_same_hold_and_never_a_second_one(a: Running) -> None:
    worker, n = await a.worker(), request_id.mint()
    hold = await a.acquire(ALICE, worker, request_id=n)
    again = await a.acquire(ALICE, worker, request_id=n)
    assert again.fencing_token == hold.fencing_token
    released = await a.release(hold)
    assert (released.state, released.already_released) == (ProfileState.PROFILE_STATE_AVAILABLE, False)
    assert (await a.release(hold)).already_released
    with pytest.raises(errors.RequestEnded):
        await a.acquire(ALICE, worker, request_id=n)


async def test_an_older_request_id_is_over_once_a_later_one_was_used(a: Running) -> None:
    worker, old, new = await a.worker(), request_id.mint(), request_id.mint()
    await a.release(await a.acquire(ALICE, worker, request_id=new))
    with pytest.raises(errors.RequestEnded):
        await a.acquire(ALICE, worker, request_id=old)


async def test_waiters_are_granted_in_order_and_tokens_rise(a: Running) -> None:
    first = await a.acquire(ALICE, await a.worker(), run_id="0")
    waiting = []
    for i in range(3):
        worker = await a.worker()
        waiting.append(asyncio.create_task(a.acquire(ALICE, worker, wait=15, run_id=str(i + 1))))
        await a.until_queued(i + 1)
    hold, tokens = first, [first.fencing_token]
    for i, task in enumerate(waiting):
        assert (await a.release(hold)).state == ProfileState.PROFILE_STATE_HELD
        hold = await task
        assert hold.run_id == str(i + 1)
        tokens.append(hold.fencing_token)
    assert tokens == sorted(set(tokens))
    assert (await a.release(hold)).state == ProfileState.PROFILE_STATE_AVAILABLE


async def test_a_wait_that_ends_leaves_the_queue(a: Running) -> None:
    hold = await a.acquire(ALICE, await a.worker(), run_id="r-1")
    worker, n = await a.worker(), request_id.mint()
    with pytest.raises(errors.WaitExpired) as expired:
        await a.acquire(ALICE, worker, wait=1, request_id=n)
    assert expired.value.holder_run_id == "r-1"
    assert expired.value.position == 1
    assert (await a.release(hold)).state == ProfileState.PROFILE_STATE_AVAILABLE
    with pytest.raises(errors.RequestEnded):
        await a.acquire(ALICE, worker, wait=1, request_id=n)


async def test_a_call_cut_mid_wait_keeps_its_place_and_finds_its_grant(a: Running) -> None:
    hold = await a.acquire(ALICE, await a.worker())
    worker, n = await a.worker(), request_id.mint()
    cut = asyncio.create_task(a.acquire(ALICE, worker, wait=15, request_id=n))
    await a.until_queued(1)
    cut.cancel()
    assert (await a.release(hold)).state == ProfileState.PROFILE_STATE_HELD
    granted = await a.acquire(ALICE, worker, wait=15, request_id=n)
    assert granted.fencing_token > hold.fencing_token


async def test_cancelling_leaves_the_queue_burns_or_releases(a: Running) -> None:
    hold = await a.acquire(ALICE, await a.worker())
    worker = await a.worker()
    waits, never, granted = (request_id.mint() for _ in range(3))
    waiting = asyncio.create_task(a.acquire(ALICE, worker, wait=15, request_id=waits))
    await a.until_queued(1)
    assert await a.cancel(ALICE, worker, waits) == "LEFT_QUEUE"
    with pytest.raises(errors.RequestEnded):
        await waiting
    assert await a.cancel(ALICE, worker, waits) == "ALREADY_ENDED"
    assert await a.cancel(ALICE, worker, never) == "BURNT"
    await a.release(hold)
    with pytest.raises(errors.RequestEnded):
        await a.acquire(ALICE, worker, request_id=never)
    mine = await a.acquire(ALICE, worker, request_id=granted)
    assert await a.cancel(ALICE, worker, granted) == "RELEASED"
    with pytest.raises(errors.TokenSuperseded):
        await a.verify(mine)


async def test_a_worker_without_a_lease_gets_nothing(a: Running) -> None:
    a.watches_nobody()
    with pytest.raises(errors.LeaseExpired):
        await a.acquire(ALICE, "workers/never-registered")
    worker = await a.worker()
    hold = await a.acquire(ALICE, worker)
    waiter = await a.worker()
    waiting = asyncio.create_task(a.acquire(ALICE, waiter, wait=15))
    await a.until_queued(1)
    await a.call(a.workers.EndWorker, EndWorkerRequest(worker=waiter))
    with pytest.raises(errors.LeaseExpired):
        await waiting
    await a.call(a.workers.EndWorker, EndWorkerRequest(worker=worker))
    await a.call(a.workers.EndWorker, EndWorkerRequest(worker=worker))
    for refused in (a.verify(hold), a.release(hold), a.renew(worker), a.acquire("bob", worker)):
        with pytest.raises(errors.LeaseExpired):
            await refused
    with pytest.raises(errors.ProfileBusy):
        await a.acquire(ALICE, await a.worker())


async def test_another_tenants_worker_and_profiles_do_not_exist(a: Running) -> None:
    mine = await a.worker()
    hold = await a.acquire(ALICE, mine)
    a.tenant = "other"
    theirs = await a.worker()
    other = await a.acquire(ALICE, theirs)
    assert other.profile == "tenants/other/profiles/alice_linkedin"
    for refused in (a.acquire("bob", mine), a.renew(mine)):
        with pytest.raises(errors.LeaseExpired):
            await refused
    with pytest.raises(errors.PermissionDenied):
        await a.verify(hold)


async def test_a_second_spelling_is_the_same_profile_and_is_flagged(a: Running) -> None:
    worker = await a.worker()
    hold = await a.acquire(ALICE, worker)
    assert not hold.second_spelling
    await a.release(hold)
    again = await a.acquire("alice/linkedin", worker)
    assert (again.profile, again.as_sent, again.second_spelling) == (NAME, "alice/linkedin", True)
    await a.release(again)
    by_name = await a.acquire(NAME, worker)
    assert (by_name.as_sent, by_name.second_spelling) == (ALICE, False)


async def test_a_release_that_is_not_trusted_frees_nothing(a: Running) -> None:
    hold = await a.acquire(ALICE, await a.worker())
    other = await a.worker()
    for already in (False, True):
        released = await a.release(hold, RunResult.RUN_RESULT_NEEDS_REVIEW)
        assert released.state == ProfileState.PROFILE_STATE_SUSPECTED_STALE
        assert released.already_released is already
    with pytest.raises(errors.ProfileQuarantined) as refused:
        await a.acquire(ALICE, other)
    assert refused.value.incident == f"{NAME}/incidents/{hold.fencing_token}"
    with pytest.raises(errors.TokenSuperseded):
        await a.release(hold)


@pytest.mark.parametrize("delta", [1, 100_000])
async def test_a_token_that_no_grant_made_changes_nothing(a: Running, delta: int) -> None:
    hold = await a.acquire(ALICE, await a.worker())
    hold.fencing_token += delta
    for refused in (a.release(hold), a.verify(hold)):
        with pytest.raises(errors.TokenSuperseded):
            await refused
    hold.fencing_token -= delta
    await a.verify(hold)


async def test_a_worker_that_used_a_thousand_profiles_is_told_to_register_another(
    a: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lockservice.core.acquire.MAX_LEASE_KEYS", 4)
    worker = await a.worker()
    for i in range(2):
        await a.release(await a.acquire(f"p{i}", worker))
    with pytest.raises(errors.QuotaExceeded, match="Register another worker"):
        await a.acquire("p3", worker)
    await a.acquire("p1", worker)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"profile": "", "worker": "w"}, errors.InvalidId),
        ({"profile": "..", "worker": "w"}, errors.InvalidId),
        ({"profile": "a" * 300, "worker": "w"}, errors.InvalidId),
        ({"profile": "ålice", "worker": "w"}, errors.InvalidId),
        ({"profile": "a", "worker": ""}, errors.InvalidId),
        ({"profile": "a", "worker": "w", "request_id": "not-one"}, errors.InvalidId),
        ({"profile": "a", "worker": "w", "run_id": "r" * 129}, errors.InvalidField),
        ({"profile": "a", "worker": "w", "wait": {"seconds": 90_000}}, errors.InvalidField),
        ({"profile": "a", "worker": "w", "wait": {"seconds": -1}}, errors.InvalidField),
        ({"profile": "a", "worker": "w", "max_runtime": {"seconds": 0}}, errors.InvalidField),
        ({"profile": "a", "worker": "w", "resume_state": True}, errors.InvalidId),
    ],
)
async def test_bad_input_is_named_and_changes_nothing(
    a: Running, fields: dict[str, object], error: type[errors.TenureError]
) -> None:
    sent = a.wire.sent
    with pytest.raises(error):
        await a.call(a.holds.AcquireHold, pb.AcquireHoldRequest(**fields))  # type: ignore[arg-type]
    assert a.wire.sent == sent
