"""etcd away and back: everybody waits and says so, nothing is lost."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

import tenure
from tenure.errors import StoreUnavailable, from_rpc_error
from tenure.v1.session_service_pb2 import OpenSessionRequest
from tenure.v1.session_service_pb2_grpc import SessionServiceStub
from tenure.v1.worker_service_pb2 import RegisterWorkerRequest
from tenure.v1.worker_service_pb2_grpc import WorkerServiceStub
from tests.fixtures.census import until
from tests.fixtures.system import RunningSystem

pytestmark = pytest.mark.timeout(180)

PROFILE = "alice:shop"
# Longer than any outage here: it is the store that goes away, not the worker.
LEASE_S = 120


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@asynccontextmanager
async def health(system: RunningSystem) -> AsyncIterator[health_pb2_grpc.HealthStub]:
    async with grpc.aio.insecure_channel(system.gateway) as channel:
        yield health_pb2_grpc.HealthStub(channel)


async def gateway_says(system: RunningSystem, status: int) -> None:
    async with health(system) as stub:

        async def says() -> bool:
            answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=30)
            return bool(answer.status == status)

        name = health_pb2.HealthCheckResponse.ServingStatus.Name(status)
        await until(says, f"the gateway says {name}", 60)


async def get(client: tenure.Client) -> int:
    """Wait in the profile's queue, and return the token."""
    async with client.acquire(PROFILE, wait=100) as held:
        return held.fencing_token


async def queued(client: tenure.Client) -> None:
    async def somebody_waits() -> bool:
        return any(profile.waiters for profile in await client.profiles())

    await until(somebody_waits, "somebody waits for the profile")


async def test_a_frozen_store_is_waited_for_and_nothing_is_lost(system: RunningSystem) -> None:
    async with (
        tenure.connect(system.gateway, lease_ttl=LEASE_S) as client,
        tenure.connect(system.gateway, lease_ttl=LEASE_S) as other,
    ):
        async with client.open(PROFILE) as session:
            waiting = asyncio.create_task(get(other))
            await queued(client)
            with frozen(system.part("etcd")):
                await gateway_says(system, health_pb2.HealthCheckResponse.NOT_SERVING)
                async with grpc.aio.insecure_channel(system.gateway) as channel:
                    with pytest.raises(grpc.aio.AioRpcError) as refused:
                        await WorkerServiceStub(channel).RegisterWorker(RegisterWorkerRequest(), timeout=15)
                refusal = from_rpc_error(refused.value)
                assert isinstance(refusal, StoreUnavailable), refusal
                assert "The store (etcd) does not answer" in str(refusal)
                assert "Try again" in str(refusal)
                assert '"dependency": "etcd"' in system.log("lockservice")

                # A replica that starts now has no store from the first moment.
                os.kill(system.part("lockservice"), signal.SIGKILL)
                await system.says("lockservice is back at")
                await gateway_says(system, health_pb2.HealthCheckResponse.NOT_SERVING)
            await gateway_says(system, health_pb2.HealthCheckResponse.SERVING)
            await session.verify()
            await let_in_again(system, session)
            assert not waiting.done()
        assert await waiting > session.fencing_token


async def let_in_again(system: RunningSystem, session: tenure.Session) -> None:
    """The same browser under the same token: it was cut off past its last proof, no more."""
    request = OpenSessionRequest(profile=PROFILE, fencing_token=session.fencing_token)
    async with grpc.aio.insecure_channel(system.gateway) as channel:
        stub = SessionServiceStub(channel)

        async def opened() -> bool:
            try:
                again = await stub.OpenSession(request, timeout=20)
            except grpc.aio.AioRpcError as error:
                # The host registers anew once the store is back; meanwhile it is not known.
                if error.code() is grpc.StatusCode.UNAVAILABLE:
                    return False
                raise
            assert (again.session.name, again.reused_session) == (session.name, True)
            return True

        await until(opened, "the session is open again")


async def test_a_store_that_is_killed_keeps_holds_queue_and_sessions(system: RunningSystem) -> None:
    async with (
        tenure.connect(system.gateway, lease_ttl=LEASE_S) as client,
        tenure.connect(system.gateway, lease_ttl=LEASE_S) as other,
    ):
        async with client.open(PROFILE) as session:
            page = await session.cdp()
            waiting = asyncio.create_task(get(other))
            await queued(client)
            for _ in range(2):
                system.lines.clear()
                os.kill(system.part("etcd"), signal.SIGKILL)
                await system.says("etcd is back at")
            await session.verify()
            assert await page.evaluate("1 + 1") == 2
            await queued(client)
            assert not waiting.done()
        assert await waiting > session.fencing_token
