"""What a gateway remembers of a request when it is started again: all that matters, none of it itself."""

from __future__ import annotations

import os
import signal

import grpc.aio
import pytest

from tenure import errors, request_id
from tenure.v1.session_service_pb2 import CloseSessionRequest, OpenSessionRequest, OpenSessionResponse
from tenure.v1.session_service_pb2_grpc import SessionServiceStub
from tests.fixtures.system import RunningSystem

pytestmark = pytest.mark.timeout(120)


async def open_(system: RunningSystem, number: str) -> OpenSessionResponse:
    """A bare open, over a connection of its own, as grpcurl makes it."""
    async with grpc.aio.insecure_channel(system.gateway) as channel:
        request = OpenSessionRequest(profile="alice:again", request_id=number)
        return await SessionServiceStub(channel).OpenSession(request, wait_for_ready=True, timeout=60)


async def restart(system: RunningSystem) -> None:
    os.kill(system.part("gateway"), signal.SIGKILL)
    await system.says("gateway is back at")
    system.lines.clear()


async def test_trace_1_a_bare_open_repeated_after_its_end_and_a_restart_is_granted_to_nobody(
    system: RunningSystem,
) -> None:
    number = request_id.mint()
    first = await open_(system, number)
    await restart(system)
    again = await open_(system, number)
    assert again.session.name == first.session.name
    assert again.hold.worker == first.hold.worker

    async with grpc.aio.insecure_channel(system.gateway) as channel:
        await SessionServiceStub(channel).CloseSession(
            CloseSessionRequest(session=first.session.name, fencing_token=first.hold.fencing_token)
        )
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await open_(system, number)
    assert isinstance(errors.from_rpc_error(refused.value), errors.RequestEnded)
    await restart(system)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await open_(system, number)
    assert isinstance(errors.from_rpc_error(refused.value), errors.RequestEnded)
    fresh = await open_(system, request_id.mint())
    assert fresh.hold.fencing_token > first.hold.fencing_token
