"""etcd killed, away, slow to answer; replicas that race or stop."""

from __future__ import annotations

import asyncio
import socket

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tenure import errors, request_id
from tenure.v1.hold_service_pb2 import ReleaseHoldRequest
from tenure.v1.worker_service_pb2 import RegisterWorkerRequest
from tests.fixtures.etcd import Member, Store
from tests.fixtures.ports import free_port
from tests.lockservice.replicas import Running, running, writes


async def health(a: Running) -> str:
    async with grpc.aio.insecure_channel(a.server.address) as channel:
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    name: str = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
    return name


async def test_a_killed_etcd_loses_no_hold_no_place_and_no_lease(etcd_member: Member) -> None:
    async with running([etcd_member.endpoint], "/t/") as a:
        worker, waiter, n = await a.worker(ttl_s=15), await a.worker(ttl_s=15), request_id.mint()
        hold = await a.acquire("alice", worker)
        waiting = asyncio.create_task(a.acquire("alice", waiter, wait=30, timeout=40, request_id=n))
        await a.until_queued(1)
        etcd_member.kill()
        await a.until_told("")
        assert await health(a) == "NOT_SERVING"
        with pytest.raises(errors.StoreUnavailable, match="nothing was changed"):
            await a.in_words(
                a.holds.ReleaseHold,
                ReleaseHoldRequest(profile=hold.profile, fencing_token=hold.fencing_token),
                timeout=3.0,
            )
        # This one waits for etcd within its deadline.
        renewing = asyncio.create_task(a.renew(worker))
        await etcd_member.restart()
        (held,) = (await renewing).holds
        assert held.fencing_token == hold.fencing_token
        await a.until_told(None)
        assert await health(a) == "SERVING"
        assert not waiting.done()
        await a.release(hold)
        assert (await waiting).fencing_token > hold.fencing_token
        assert (await a.renew(waiter)).holds


async def test_a_service_that_starts_before_etcd_waits_for_it(etcd_member: Member) -> None:
    etcd_member.kill()
    async with running([etcd_member.endpoint], "/t/") as a:
        with pytest.raises(errors.StoreUnavailable):
            await a.in_words(a.workers.RegisterWorker, RegisterWorkerRequest(), timeout=2.0)
        registering = asyncio.create_task(a.worker())
        await etcd_member.restart()
        assert await registering


async def test_an_acquire_whose_reply_was_lost_is_one_hold(etcd: Store) -> None:
    async with running(etcd.endpoints, etcd.prefix) as a:
        worker, n = await a.worker(), request_id.mint()
        a.wire.lose_next_reply(writes(b"/p/"))
        hold = await a.acquire("alice", worker, request_id=n)
        assert (await a.acquire("alice", worker, request_id=n)).fencing_token == hold.fencing_token
        await a.verify(hold)


async def test_two_replicas_race_and_nobody_shares_or_waits_for_ever(etcd: Store) -> None:
    async with (
        running(etcd.endpoints, etcd.prefix) as a,
        running(etcd.endpoints, etcd.prefix) as b,
    ):
        inside, tokens = 0, []

        async def run(replicas: tuple[Running, Running]) -> None:
            nonlocal inside
            here, there = replicas
            worker = await here.worker()
            for _ in range(8):
                hold = await here.acquire("alice", worker, wait=30, timeout=35)
                inside += 1
                assert inside == 1, "two hold one profile"
                tokens.append(hold.fencing_token)
                await there.verify(hold)
                inside -= 1
                await there.release(hold)

        await asyncio.gather(*(run((a, b) if i % 2 else (b, a)) for i in range(10)))
        assert tokens == sorted(set(tokens))
        assert len(tokens) == 80


async def test_a_hold_granted_elsewhere_is_in_the_very_next_renewal(etcd: Store) -> None:
    async with (
        running(etcd.endpoints, etcd.prefix) as a,
        running(etcd.endpoints, etcd.prefix) as b,
    ):
        worker = await a.worker()
        for i in range(20):
            hold = await a.acquire(f"p{i}", worker)
            assert hold.fencing_token in [h.fencing_token for h in (await b.renew(worker)).holds]


async def test_a_replica_that_stops_tells_its_waiters_to_ask_another(etcd: Store) -> None:
    async with running(etcd.endpoints, etcd.prefix) as a:
        hold = await a.acquire("alice", await a.worker())
        n = request_id.mint()
        async with running(etcd.endpoints, etcd.prefix) as b:
            waiter = await b.worker()
            waiting = asyncio.create_task(b.acquire("alice", waiter, wait=30, request_id=n))
            await b.until_queued(1)
            b.replica.parking.close()
            with pytest.raises(errors.OutcomeUnknown, match="place in the queue is kept"):
                await waiting
        again = asyncio.create_task(a.acquire("alice", waiter, wait=30, request_id=n))
        await a.release(hold)
        assert (await again).fencing_token > hold.fencing_token


async def test_no_address_that_answers_is_said_and_waited_for() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        async with running([address, f"127.0.0.1:{free_port()}"], "/t/") as a:
            with pytest.raises(errors.StoreUnavailable):
                await a.in_words(a.workers.RegisterWorker, RegisterWorkerRequest(), timeout=2.0)
