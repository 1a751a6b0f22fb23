"""The gate that crash tests stop calls with does what it says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio
import pytest

from tests.fixtures.wire import WireGate


@dataclass
class Echo:
    """A service that notes what it was asked and gives it back; an empty request is refused."""

    gate: WireGate
    channel: grpc.aio.Channel
    heard: list[bytes] = field(default_factory=list)

    async def serve(self, request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        self.heard.append(request)
        if not request:
            await context.abort(grpc.StatusCode.ABORTED, "empty", (("why", "because"),))
        return request

    async def count(
        self, request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]
    ) -> AsyncIterator[bytes]:
        for number in request:
            yield bytes([number])

    async def say(self, request: bytes, timeout: float = 30.0) -> bytes:
        send: Any = self.channel.unary_unary("/echo.Echo/Say")
        answer: bytes = await send(request, timeout=timeout)
        return answer


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    server = grpc.aio.server()
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    async with WireGate(address, remembered=("Say",)) as gate, grpc.aio.insecure_channel(gate.address) as up:
        made = Echo(gate, up)
        methods: dict[str, Any] = {
            "Say": grpc.unary_unary_rpc_method_handler(made.serve),
            "Count": grpc.unary_stream_rpc_method_handler(made.count),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("echo.Echo", methods),))
        await server.start()
        yield made
        await server.stop(None)


async def test_every_kind_of_call_passes(echo: Echo) -> None:
    assert await echo.say(b"one") == b"one"
    count: Any = echo.channel.unary_stream("/echo.Echo/Count")
    assert [each async for each in count(b"\1\2", timeout=30.0)] == [b"\1", b"\2"]
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await echo.say(b"")
    assert (refused.value.code(), refused.value.details()) == (grpc.StatusCode.ABORTED, "empty")
    assert ("why", "because") in list(refused.value.trailing_metadata() or ())
    assert [(each.request, each.code) for each in echo.gate.passed] == [
        (b"one", grpc.StatusCode.OK),
        (b"", grpc.StatusCode.ABORTED),
    ]


async def test_a_call_is_stopped_before_it_is_passed_on_and_others_are_not(echo: Echo) -> None:
    stop = echo.gate.stop("Say", "two")
    stopped = asyncio.create_task(echo.say(b"one and two"))
    await stop.reaches()
    assert await echo.say(b"three") == b"three"
    assert echo.heard == [b"three"]
    stop.go()
    assert await stopped == b"one and two"
    assert echo.heard == [b"three", b"one and two"]
    assert await echo.say(b"two") == b"two"


async def test_a_call_is_stopped_once_it_was_answered(echo: Echo) -> None:
    stop = echo.gate.stop("Say", once_answered=True)
    stopped = asyncio.create_task(echo.say(b"one"))
    await stop.reaches()
    assert (echo.heard, stopped.done()) == ([b"one"], False)
    stop.lose()
    with pytest.raises(grpc.aio.AioRpcError) as broken:
        await stopped
    assert broken.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_call_that_is_lost_is_never_passed_on(echo: Echo) -> None:
    stop = echo.gate.stop("Say")
    stopped = asyncio.create_task(echo.say(b"one"))
    await stop.reaches()
    stop.lose()
    with pytest.raises(grpc.aio.AioRpcError):
        await stopped
    assert echo.heard == []


async def test_a_call_whose_caller_gave_up_is_delivered_late_and_again(echo: Echo) -> None:
    stop = echo.gate.stop("Say")
    with pytest.raises(grpc.aio.AioRpcError):
        await echo.say(b"one", timeout=0.05)
    await stop.reaches()
    assert echo.heard == []
    stop.go()
    await stop.ends()
    assert echo.heard == [b"one"]
    assert await stop.again() is grpc.StatusCode.OK
    assert echo.heard == [b"one", b"one"]


async def test_who_tries_again_does_not_get_past_a_stopped_call(echo: Echo) -> None:
    stop = echo.gate.stop("Say")
    first = asyncio.create_task(echo.say(b"first"))
    await stop.reaches()
    with pytest.raises(grpc.aio.AioRpcError):
        await echo.say(b"second", timeout=0.05)
    assert echo.heard == []
    stop.go()
    assert await first == b"first"
    assert echo.heard == [b"first"]
