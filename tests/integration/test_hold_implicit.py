"""The worker of a request that names none: one, whoever asks and whenever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from google.protobuf.duration_pb2 import Duration

from lockservice.granter import now_ms
from tenure import errors, request_id
from tenure.internal.v1 import lock_service_pb2 as lock_pb
from tenure.names import ProfileName
from tenure.v1.hold_pb2 import Hold
from tenure.v1.hold_service_pb2 import AcquireHoldRequest, ReleaseHoldRequest
from tenure.v1.worker_service_pb2 import EndWorkerRequest, RenewWorkerRequest
from tests.fixtures.etcd import Store
from tests.lockservice.replicas import Running, running, without_compares, writes

P = "tenants/default/profiles/p"


@pytest.fixture
async def a(etcd: Store) -> AsyncIterator[Running]:
    async with running(etcd.endpoints, etcd.prefix) as replica:
        yield replica


async def register(at: Running, number: str, ttl_s: int = 600) -> lock_pb.RegisterImplicitWorkerResponse:
    request = lock_pb.RegisterImplicitWorkerRequest(profile=P, request_id=number, ttl=Duration(seconds=ttl_s))
    answer: lock_pb.RegisterImplicitWorkerResponse = await at.call(at.lock.RegisterImplicitWorker, request)
    return answer


async def forget(at: Running, number: str, worker: str) -> bool:
    request = lock_pb.ForgetImplicitWorkerRequest(profile=P, request_id=number, worker=worker)
    return bool((await at.call(at.lock.ForgetImplicitWorker, request)).forgotten)


async def acquire(at: Running, number: str, worker: str) -> Hold:
    request = AcquireHoldRequest(profile=P, worker=worker, request_id=number)
    hold: Hold = (await at.call(at.holds.AcquireHold, request)).hold
    return hold


async def release(at: Running, hold: Hold) -> None:
    await at.call(at.holds.ReleaseHold, ReleaseHoldRequest(profile=P, fencing_token=hold.fencing_token))


async def test_every_copy_of_a_request_has_one_worker_at_every_replica(etcd: Store, a: Running) -> None:
    number = request_id.mint()
    async with running(etcd.endpoints, etcd.prefix) as b:
        answers = await asyncio.gather(*(register(each, number) for each in (a, b, a, b)))
    assert len({answer.worker for answer in answers}) == 1
    assert [answer.registered for answer in answers].count(True) == 1
    other = await register(a, request_id.mint())
    assert other.registered
    assert other.worker != answers[0].worker


async def test_it_is_a_worker_as_any_other(a: Running) -> None:
    number = request_id.mint()
    worker = (await register(a, number)).worker
    hold = await acquire(a, number, worker)
    assert (hold.worker, hold.lease_remaining.seconds > 590) == (worker, True)
    renewed = await a.call(a.workers.RenewWorker, RenewWorkerRequest(worker=worker))
    assert [each.fencing_token for each in renewed.holds] == [hold.fencing_token]


async def test_trace_1_a_late_copy_of_a_request_that_is_over_acquires_nothing(a: Running) -> None:
    number = request_id.mint()
    worker = (await register(a, number)).worker
    await release(a, await acquire(a, number, worker))
    again = await register(a, number)
    assert (again.worker, again.registered) == (worker, False)
    with pytest.raises(errors.RequestEnded):
        await acquire(a, number, again.worker)


async def test_trace_1_also_after_its_worker_has_ended(a: Running) -> None:
    number = request_id.mint()
    worker = (await register(a, number)).worker
    await release(a, await acquire(a, number, worker))
    await a.call(a.workers.EndWorker, EndWorkerRequest(worker=worker))
    again = await register(a, number)
    assert (again.worker, again.registered) == (worker, False)
    with pytest.raises(errors.LeaseExpired):
        await acquire(a, number, again.worker)


async def days_later(a: Running, monkeypatch: pytest.MonkeyPatch) -> str:
    """A request that is over, whose worker is not remembered any more."""
    number = request_id.mint()
    worker = (await register(a, number)).worker
    await release(a, await acquire(a, number, worker))
    remembered = await a.replica.etcd.kv.get(a.replica.keys.asker(ProfileName("default", "p"), number), 5.0)
    assert remembered is not None
    await a.replica.etcd.leases.revoke(remembered.lease, 5.0)
    later_ms = now_ms() + 2 * 24 * 3600 * 1000
    monkeypatch.setattr("lockservice.implicit.now_ms", lambda: later_ms)
    return number


async def test_trace_1_also_when_its_worker_is_forgotten(a: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    number = await days_later(a, monkeypatch)
    with pytest.raises(errors.RequestEnded):
        await register(a, number)


async def test_trace_1_mutant_that_takes_ids_of_any_age_grants_a_copy_that_is_days_late(
    a: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lockservice.implicit.OLDEST_S", 10**9)
    number = await days_later(a, monkeypatch)
    again = await register(a, number)
    assert again.registered
    assert (await acquire(a, number, again.worker)).fencing_token


async def test_a_request_that_consumed_nothing_may_come_again(a: Running) -> None:
    number = request_id.mint()
    worker = (await register(a, number)).worker
    assert await forget(a, number, worker)
    assert await forget(a, number, worker)  # there is nothing left to forget
    with pytest.raises(errors.LeaseExpired):
        await acquire(a, number, worker)
    again = await register(a, number)
    assert again.registered
    assert again.worker != worker
    assert (await acquire(a, number, again.worker)).fencing_token


async def test_a_request_that_acquired_is_not_forgotten_nor_its_hold_lost(a: Running) -> None:
    number = request_id.mint()
    worker = (await register(a, number)).worker
    hold = await acquire(a, number, worker)
    assert not await forget(a, number, worker)
    assert (await acquire(a, number, worker)).fencing_token == hold.fencing_token


async def test_forgetting_names_the_worker_so_that_a_late_one_harms_no_other(a: Running) -> None:
    number = request_id.mint()
    first = (await register(a, number)).worker
    await forget(a, number, first)
    second = (await register(a, number)).worker
    assert not await forget(a, number, first)
    assert (await acquire(a, number, second)).worker == second


async def test_a_lost_reply_of_the_registration_is_the_same_worker(a: Running) -> None:
    number = request_id.mint()
    a.wire.lose_next_reply(writes(b"/a/"))
    first = await register(a, number)
    assert first.registered
    assert (await register(a, number)).worker == first.worker


async def test_an_acquire_between_the_look_and_the_forgetting_keeps_its_hold(etcd: Store, a: Running) -> None:
    number = request_id.mint()
    worker = (await register(a, number)).worker
    gate = a.wire.stop_next(lambda request: any(b"/k/" in c.key for c in request.compare))
    forgetting = asyncio.create_task(forget(a, number, worker))
    await gate.arrived.wait()
    async with running(etcd.endpoints, etcd.prefix) as b:
        hold = await acquire(b, number, worker)
        gate.opened.set()
        assert not await forgetting
        assert (await acquire(b, number, worker)).fencing_token == hold.fencing_token


async def test_without_the_compares_a_forgetting_takes_the_worker_from_under_a_hold(etcd: Store) -> None:
    """The mutant of the test before: what the compare of `k` is for."""
    number = request_id.mint()
    async with running(etcd.endpoints, etcd.prefix, mutation=without_compares(b"/k/")) as mutant:
        worker = (await register(mutant, number)).worker
        await acquire(mutant, number, worker)
        assert await forget(mutant, number, worker)


async def test_without_its_compare_two_copies_get_two_workers(etcd: Store, a: Running) -> None:
    """The mutant of the first test: what `create-once` is for."""
    number = request_id.mint()
    async with running(etcd.endpoints, etcd.prefix, mutation=without_compares(b"/a/")) as mutant:
        gate = mutant.wire.stop_next(writes(b"/a/"))
        late = asyncio.create_task(register(mutant, number))
        await gate.arrived.wait()
        first = await register(a, number)
        gate.opened.set()
        assert (await late).worker != first.worker
