from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio
import pytest

from servicekit.channels import Channels
from servicekit.ending import Ending
from servicekit.server import Server
from tenure import errors
from tenure.v1.worker_service_pb2 import KeepAliveRequest
from tenure.v1.worker_service_pb2_grpc import WorkerServiceStub
from tests.servicekit.behaviour import Behaviour, raising

MakeServer = Callable[..., Server]
LARGE = KeepAliveRequest(worker="x" * 3_000_000)


async def write_on(beat: Any) -> None:
    """Write more than fits into a connection that nobody reads from."""
    while True:
        await beat.write(LARGE)


async def cut_short(server: Server, channels: Channels, behaviour: Behaviour, act: Any) -> Any:
    """A call that ended as `act` does while a request was being written to it, and its Ending."""
    await server.start()
    entered, go_on = asyncio.Event(), asyncio.Event()

    async def wait(context: Any) -> None:
        entered.set()
        await go_on.wait()
        await act(context)

    behaviour.act = wait
    beat = WorkerServiceStub(channels.to(server.address)).KeepAlive()
    ending = Ending(beat)
    await beat.write(KeepAliveRequest(worker="a"))
    await entered.wait()
    writing = asyncio.create_task(write_on(beat))
    done, _ = await asyncio.wait({writing}, timeout=0.2)
    assert not done
    go_on.set()
    with pytest.raises(grpc.aio.AioRpcError) as lost:
        await writing
    # This is what it is for: once grpc.aio keeps the status, it can go.
    assert lost.value.details() == "Internal error from Core"
    return lost.value, ending


async def test_what_the_service_said_is_kept_though_a_write_failed(
    make_server: MakeServer, channels: Channels, behaviour: Behaviour
) -> None:
    async with make_server() as server:
        refused = raising(errors.LeaseExpired(worker="workers/a"))
        raised, ending = await cut_short(server, channels, behaviour, refused)
        error = errors.from_rpc_error(await ending.of(raised))
    assert isinstance(error, errors.LeaseExpired)
    assert error.worker == "workers/a"


async def test_another_error_is_what_it_is(
    make_server: MakeServer, channels: Channels, behaviour: Behaviour
) -> None:
    behaviour.act = raising(errors.LeaseExpired(worker="workers/a"))
    async with make_server() as server:
        await server.start()
        beat = WorkerServiceStub(channels.to(server.address)).KeepAlive()
        ending = Ending(beat)
        await beat.write(KeepAliveRequest(worker="a"))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await beat.read()
        assert await ending.of(caught.value) is caught.value
