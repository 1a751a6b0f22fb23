from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc.aio
import pytest

from servicekit import call
from servicekit.call import forwarded_identity
from servicekit.channels import CONNECTIONS, Channels
from servicekit.server import Server
from tenure import errors
from tenure.v1.system_service_pb2 import GetServerInfoRequest
from tenure.v1.system_service_pb2_grpc import SystemServiceStub
from tests.servicekit.behaviour import Behaviour, forever, raising

MakeServer = Callable[..., Server]


async def test_one_address_has_one_channel(channels: Channels) -> None:
    assert channels.to("127.0.0.1:1") is channels.to("127.0.0.1:1")
    assert channels.to("127.0.0.1:1") is not channels.to("127.0.0.1:2")


async def test_a_spread_calls_over_as_many_connections_as_it_has_in_turn(
    make_server: MakeServer, channels: Channels, behaviour: Behaviour
) -> None:
    peers: list[str] = []

    async def act(context: Any) -> None:
        peers.append(context.peer())

    behaviour.act = act
    async with make_server() as server:
        await server.start()
        for _ in range(2):
            stub = SystemServiceStub(channels.spread(server.address))
            for _ in range(CONNECTIONS):
                await stub.GetServerInfo(GetServerInfoRequest(), timeout=30)
    assert len(set(peers)) == CONNECTIONS
    assert peers[:CONNECTIONS] == peers[CONNECTIONS:]


async def test_request_id_identity_and_remaining_deadline_go_on_to_the_next_service(
    make_server: MakeServer, channels: Channels, behaviour: Behaviour
) -> None:
    seen: list[tuple[str, call.Identity, float | None]] = []

    async def act(context: Any) -> None:
        seen.append((call.current_request_id(), call.current_identity(), call.remaining_s()))
        if len(seen) == 1:
            await channels.invoke(stub.GetServerInfo, GetServerInfoRequest(), timeout=60)

    behaviour.act = act
    alice = call.Identity("acme", "alice", ("worker",))
    async with make_server(identify=forwarded_identity) as server:
        await server.start()
        stub = SystemServiceStub(channels.to(server.address))
        metadata = [(call.REQUEST_ID_KEY, "r-1"), *alice.metadata()]
        await stub.GetServerInfo(GetServerInfoRequest(), timeout=30, metadata=metadata)
    outer, inner = seen
    assert inner[:2] == outer[:2] == ("r-1", alice)
    assert inner[2] is not None
    assert outer[2] is not None
    assert inner[2] == pytest.approx(outer[2], abs=10)
    assert inner[2] < 32


async def test_outside_of_a_call_the_service_is_itself(
    make_server: MakeServer, channels: Channels, behaviour: Behaviour
) -> None:
    seen: list[call.Identity] = []

    async def act(context: Any) -> None:
        seen.append(call.current_identity())

    behaviour.act = act
    async with make_server(identify=forwarded_identity) as server:
        await server.start()
        stub = SystemServiceStub(channels.to(server.address))
        await channels.invoke(stub.GetServerInfo, GetServerInfoRequest(), timeout=30)
        with pytest.raises(ValueError, match="timeout"):
            await channels.invoke(stub.GetServerInfo, GetServerInfoRequest())
    assert seen == [channels.identity]
    assert seen[0].roles == ("service",)


async def test_what_the_other_side_raised_is_raised_here(
    make_server: MakeServer, channels: Channels, behaviour: Behaviour
) -> None:
    behaviour.act = raising(errors.TokenSuperseded(profile="p", token=5))
    async with make_server() as server:
        await server.start()
        stub = SystemServiceStub(channels.to(server.address))
        with pytest.raises(errors.TokenSuperseded) as caught:
            await channels.invoke(stub.GetServerInfo, GetServerInfoRequest(), timeout=30)
    assert caught.value.token == 5


async def test_a_call_that_broke_off_has_an_unknown_outcome(
    make_server: MakeServer, channels: Channels, behaviour: Behaviour
) -> None:
    behaviour.act = forever
    async with make_server() as server:
        await server.start()
        stub = SystemServiceStub(channels.to(server.address))
        with pytest.raises(errors.OutcomeUnknown) as caught:
            await channels.invoke(stub.GetServerInfo, GetServerInfoRequest(), timeout=0.05)
    assert caught.value.metadata["grpc_code"] == "DEADLINE_EXCEEDED"


async def test_cancelling_the_caller_cancels_the_call_on_the_other_side(
    make_server: MakeServer, channels: Channels, behaviour: Behaviour
) -> None:
    behaviour.act = forever
    async with make_server() as server:
        await server.start()
        stub = SystemServiceStub(channels.to(server.address))
        calling = asyncio.create_task(channels.invoke(stub.GetServerInfo, GetServerInfoRequest(), timeout=60))
        await behaviour.entered.wait()
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        await asyncio.wait_for(behaviour.cancelled.wait(), 30)


async def test_closing_closes_every_channel_and_may_be_repeated() -> None:
    channels = Channels("test")
    channel = channels.to("127.0.0.1:1")
    await channels.aclose()
    await channels.aclose()
    with pytest.raises(grpc.aio.UsageError):
        await SystemServiceStub(channel).GetServerInfo(GetServerInfoRequest())
