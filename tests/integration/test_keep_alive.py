"""KeepAlive streams: one replica or two on a real etcd."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc.aio
import pytest

from lockservice.etcd.txn import put, txn
from servicekit.call import DEV_IDENTITY, Identity
from tenure import errors
from tenure.v1.worker_service_pb2 import KeepAliveRequest, KeepAliveResponse
from tests.fixtures.etcd import Member, Store
from tests.lockservice.replicas import Running, running

MANY = 200


@pytest.fixture
async def a(etcd: Store) -> AsyncIterator[Running]:
    async with running(etcd.endpoints, etcd.prefix) as replica:
        yield replica


def stream(a: Running, identity: Identity = DEV_IDENTITY) -> Any:
    return a.workers.KeepAlive(metadata=identity.metadata())


async def renewed(stream: Any, worker: str) -> KeepAliveResponse:
    await stream.write(KeepAliveRequest(worker=worker))
    answer = await stream.read()
    assert isinstance(answer, KeepAliveResponse)
    return answer


async def refused(stream: Any) -> errors.TenureError:
    with pytest.raises(grpc.aio.AioRpcError) as ended:
        await stream.read()
    return errors.from_rpc_error(ended.value)


async def test_many_workers_are_renewed_at_once_over_one_stream(a: Running) -> None:
    workers = [await a.worker(ttl_s=30) for _ in range(MANY)]
    beat = stream(a)
    for worker in workers:
        await beat.write(KeepAliveRequest(worker=worker))
    await beat.done_writing()
    answers = [answer async for answer in beat]
    assert sorted(answer.worker for answer in answers) == sorted(workers)
    assert {answer.ttl.seconds for answer in answers} == {30}
    assert await beat.code() is grpc.StatusCode.OK


async def test_more_than_may_be_under_way_are_renewed_too(
    a: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lockservice.keepalive.MAX_UNDER_WAY", 3)
    worker = await a.worker()
    beat = stream(a)
    for _ in range(20):
        await beat.write(KeepAliveRequest(worker=worker))
    await beat.done_writing()
    assert len([answer async for answer in beat]) == 20


async def test_what_was_asked_before_a_wrong_request_is_answered_first(a: Running) -> None:
    workers = [await a.worker() for _ in range(20)]
    beat = stream(a)
    for worker in [*workers, "workers/.."]:
        await beat.write(KeepAliveRequest(worker=worker))
    answers = [await beat.read() for _ in workers]
    assert {answer.worker for answer in answers} == {*workers}
    assert isinstance(await refused(beat), errors.InvalidId)


async def test_another_tenants_worker_is_as_good_as_none(a: Running) -> None:
    worker = await a.worker()
    beat = stream(a, Identity("other", "tests", ("worker",)))
    await beat.write(KeepAliveRequest(worker=worker))
    assert isinstance(await refused(beat), errors.LeaseExpired)


@pytest.mark.parametrize("waits", [True, False], ids=["as it is", "mutant that does not catch up"])
async def test_a_renewal_lists_what_was_granted_elsewhere_though_the_watch_is_behind(
    etcd: Store, monkeypatch: pytest.MonkeyPatch, waits: bool
) -> None:
    monkeypatch.setattr("lockservice.arrivals.QUIET_S", 30.0)
    async with running(etcd.endpoints, etcd.prefix) as a, running(etcd.endpoints, etcd.prefix) as b:
        worker = await a.worker()
        beat = stream(a)
        assert not (await renewed(beat, worker)).holds
        take, catch_up = a.replica._take, a.replica.catch_up
        behind, catching_up, go_on = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def late(item: Any) -> None:
            behind.set()
            await go_on.wait()
            await take(item)

        async def told(revision: int) -> None:
            catching_up.set()
            if waits:
                await catch_up(revision)

        monkeypatch.setattr(a.replica, "_take", late)
        monkeypatch.setattr(a.replica, "catch_up", told)
        hold = await b.acquire("alice", worker)
        await behind.wait()
        answering = asyncio.create_task(renewed(beat, worker))
        await catching_up.wait()
        if not waits:
            assert not (await answering).holds
        go_on.set()
        if waits:
            assert [each.fencing_token for each in (await answering).holds] == [hold.fencing_token]


async def test_one_quiet_moment_is_enough_for_all_that_was_written_before_it(a: Running) -> None:
    replica = a.replica
    await a.worker()
    unwatched = txn([], [put(replica.keys.claim("test"), b"")])
    written = [(await replica.etcd.kv.txn(unwatched, 5.0)).header.revision for _ in range(3)]
    await replica.catch_up(written[0])
    with pytest.raises(StopIteration):
        replica.catch_up(written[-1]).send(None)


async def test_a_store_that_is_silent_for_a_moment_ends_no_stream(etcd_member: Member) -> None:
    async with running([etcd_member.endpoint], "/t/") as a:
        worker = await a.worker(ttl_s=60)
        beat = stream(a)
        await renewed(beat, worker)
        etcd_member.freeze()
        answering = asyncio.create_task(renewed(beat, worker))
        await a.until_told("")
        assert not answering.done()
        etcd_member.thaw()
        assert (await answering).ttl.seconds == 60


async def test_a_store_that_stays_silent_is_told_and_the_next_stream_finds_it_back(
    etcd_member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lockservice.etcd.lease.PATIENCE_S", 0.5)
    async with running([etcd_member.endpoint], "/t/") as a:
        worker = await a.worker(ttl_s=60)
        beat = stream(a)
        await renewed(beat, worker)
        etcd_member.freeze()
        await beat.write(KeepAliveRequest(worker=worker))
        assert isinstance(await refused(beat), errors.StoreUnavailable)
        etcd_member.thaw()
        monkeypatch.undo()
        await a.until_told(None)
        assert (await renewed(stream(a), worker)).ttl.seconds == 60
