from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Callable

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from servicekit.channels import Channels
from servicekit.server import BindError, Server, reserved
from tenure.v1.system_service_pb2 import GetServerInfoRequest
from tenure.v1.system_service_pb2_grpc import SystemServiceStub
from tests.servicekit.behaviour import Behaviour, forever

MakeServer = Callable[..., Server]
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def health_of(channel: grpc.aio.Channel, service: str = "") -> int:
    stub = health_pb2_grpc.HealthStub(channel)
    answer = await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=30)
    return int(answer.status)


async def test_health_serves_only_once_ready(make_server: MakeServer, channels: Channels) -> None:
    async with make_server() as server:
        await server.start()
        channel = channels.to(server.address)
        assert await health_of(channel) == NOT_SERVING
        await server.ready()
        assert await health_of(channel) == SERVING
        assert await health_of(channel, "tenure.v1.SystemService") == SERVING


async def test_health_tells_of_every_dependency_that_is_away(
    make_server: MakeServer, channels: Channels
) -> None:
    async with make_server() as server:
        await server.start()
        await server.ready()
        channel = channels.to(server.address)
        await server.unavailable("etcd", "no answer for 3 s")
        await server.unavailable("disk", "full")
        await server.available("etcd")
        assert await health_of(channel, "tenure.v1.SystemService") == NOT_SERVING
        await server.available("disk")
        assert await health_of(channel) == SERVING


async def test_health_follows_the_service_it_depends_on(make_server: MakeServer, channels: Channels) -> None:
    async with make_server() as below, make_server() as above:
        await below.start()
        await above.start()
        above.depends_on("below", channels.to(below.address))
        await above.ready()
        stub = health_pb2_grpc.HealthStub(channels.to(above.address))
        watch = aiter(stub.Watch(health_pb2.HealthCheckRequest(), timeout=30))
        assert (await anext(watch)).status == NOT_SERVING
        await below.ready()
        assert (await anext(watch)).status == SERVING
        await below.unavailable("etcd", "away")
        assert (await anext(watch)).status == NOT_SERVING
        await below.available("etcd")
        assert (await anext(watch)).status == SERVING
        await below.drain()
        assert (await anext(watch)).status == NOT_SERVING


async def test_readiness_is_one_json_line_with_the_address_that_was_bound(
    make_server: MakeServer,
) -> None:
    read, write = os.pipe()
    async with make_server(ready_fd=write) as server:
        await server.start()
        await server.ready()
        with os.fdopen(read) as pipe:
            line = pipe.read()
    assert json.loads(line) == {"service": "test", "address": server.address}
    assert not server.address.endswith(":0")


async def test_a_taken_port_is_a_precise_error(make_server: MakeServer) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        async with make_server(listen=address) as server:
            with pytest.raises(BindError) as caught:
                await server.start()
    assert f"cannot listen on {address}: address already in use" in str(caught.value)


async def test_a_port_another_grpc_server_has_is_never_shared(make_server: MakeServer) -> None:
    async with make_server() as first:
        await first.start()
        async with make_server(listen=first.address) as second:
            with pytest.raises(BindError):
                await second.start()


async def test_reflection_lists_what_is_served(make_server: MakeServer, channels: Channels) -> None:
    async with make_server() as server:
        await server.start()
        stub = reflection_pb2_grpc.ServerReflectionStub(channels.to(server.address))
        asked = stub.ServerReflectionInfo(
            iter([reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=30
        )
        listed = [s.name async for answer in asked for s in answer.list_services_response.service]
    assert "tenure.v1.SystemService" in listed
    assert "grpc.health.v1.Health" in listed


async def test_a_drain_refuses_new_calls_and_lets_running_ones_finish(
    make_server: MakeServer, channels: Channels, behaviour: Behaviour
) -> None:
    async with make_server(grace_s=10) as server:

        async def until_drained(context: object) -> None:
            await server.draining.wait()

        behaviour.act = until_drained
        await server.start()
        stub = SystemServiceStub(channels.to(server.address))
        running = asyncio.create_task(_info(stub))
        await behaviour.entered.wait()
        await server.drain()
        assert await running == "1"
        with pytest.raises(grpc.aio.AioRpcError):
            await _info(stub)


async def test_a_drain_cancels_what_does_not_finish_in_time(
    make_server: MakeServer, channels: Channels, behaviour: Behaviour
) -> None:
    behaviour.act = forever
    async with make_server(grace_s=0.05) as server:
        await server.start()
        running = asyncio.create_task(_info(SystemServiceStub(channels.to(server.address))))
        await behaviour.entered.wait()
    await asyncio.wait_for(behaviour.cancelled.wait(), 30)
    with pytest.raises(grpc.aio.AioRpcError):
        await running


async def _info(stub: SystemServiceStub) -> str:
    return (await stub.GetServerInfo(GetServerInfoRequest(), timeout=30)).version


async def test_servers_that_share_a_reserved_port_all_answer_and_nobody_else_gets_it(
    make_server: MakeServer, channels: Channels
) -> None:
    with reserved("127.0.0.1:0") as address:
        with pytest.raises(BindError, match="already in use"), reserved(address):
            pass
        async with make_server(listen=address) as alone:
            with pytest.raises(BindError, match="already in use"):
                await alone.start()
        async with (
            make_server(listen=address, shares_port=True) as one,
            make_server(listen=address, shares_port=True) as two,
        ):
            for server in (one, two):
                await server.start()
                await server.ready()
            assert one.address == two.address == address
            await one.drain()
            # What is left of the two has the port for itself.
            assert await health_of(channels.to(address)) == SERVING


async def test_a_server_waits_for_calls_with_as_few_tasks_however_many_methods_it_has(
    make_server: MakeServer, channels: Channels
) -> None:
    before = asyncio.all_tasks()
    async with make_server() as server:
        await server.start()
        await server.ready()
        assert await health_of(channels.to(server.address)) == SERVING
        await SystemServiceStub(channels.to(server.address)).GetServerInfo(GetServerInfoRequest(), timeout=30)
        assert len(asyncio.all_tasks() - before) < 10
