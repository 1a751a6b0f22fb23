"""The DevTools client: alone, and on a WebSocket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from tenure.cdp import CdpClient, CdpClosed, CdpError, connect

Serve = Callable[[web.WebSocketResponse], Awaitable[None]]


class Wire:
    """The other side of a client."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.client = CdpClient(lambda text: self.sent.append(json.loads(text)))

    def deliver(self, **message: Any) -> None:
        self.client.deliver(json.dumps(message))


@pytest.fixture
async def wire() -> Wire:
    return Wire()


async def test_what_a_session_was_asked_fails_when_it_is_over(wire: Wire) -> None:
    asked, other = wire.client.post("Page.enable", session="S"), wire.client.post("Page.enable", session="T")
    wire.deliver(method="Target.detachedFromTarget", params={"sessionId": "S"})
    with pytest.raises(CdpError, match="the session with this page is over"):
        await asked
    assert not other.done()


async def test_answers_find_their_calls_in_any_order(wire: Wire) -> None:
    first, second = wire.client.post("A.a", {"x": 1}), wire.client.post("B.b", session="S")
    assert wire.sent == [
        {"id": 1, "method": "A.a", "params": {"x": 1}},
        {"id": 2, "method": "B.b", "params": {}, "sessionId": "S"},
    ]
    wire.deliver(id=2, result={"b": 2}, sessionId="S")
    wire.deliver(id=1, result={"a": 1})
    assert (await first, await second) == ({"a": 1}, {"b": 2})


async def test_what_is_neither_an_answer_nor_an_event_is_told_of_once_and_changes_nothing(
    wire: Wire, caplog: pytest.LogCaptureFixture
) -> None:
    asked = wire.client.post("A.a")
    for _ in range(2):
        wire.deliver(error={"code": -32700, "message": "JSON: invalid token at position 52"})
    (told,) = caplog.messages
    assert "invalid token at position 52" in told
    wire.deliver(id=1, result={"a": 1})
    assert await asked == {"a": 1}


async def test_a_refusal_names_the_method_and_keeps_the_data(wire: Wire) -> None:
    call = wire.client.post("A.a")
    wire.deliver(id=1, error={"code": -32000, "message": "not so", "data": "because"})
    with pytest.raises(CdpError, match=r"A\.a: not so \(-32000\): because") as refused:
        await call
    assert (refused.value.method, refused.value.code, refused.value.data) == ("A.a", -32000, "because")


async def test_a_call_that_is_not_answered_times_out_and_its_late_answer_is_ignored(wire: Wire) -> None:
    with pytest.raises(TimeoutError):
        await wire.client.call("A.a", timeout=0.01)
    wire.deliver(id=1, result={})
    wire.deliver(id=99, result={})


async def test_events_go_to_every_listener_until_it_stops(wire: Wire) -> None:
    heard: list[tuple[str, dict[str, Any], str]] = []
    stop = wire.client.listen(lambda method, params, session: heard.append((method, params, session)))
    wire.deliver(method="A.happened", params={"n": 1}, sessionId="S")
    wire.deliver(method="A.happened")
    stop()
    wire.deliver(method="A.happened")
    assert heard == [("A.happened", {"n": 1}, "S"), ("A.happened", {}, "")]


async def test_a_lost_connection_fails_what_waits_and_what_comes(wire: Wire) -> None:
    lost: list[CdpClosed] = []
    wire.client.when_lost(lost.append)
    waiting = wire.client.post("A.a")
    wire.client.lost(CdpClosed("TOKEN_SUPERSEDED", 4002))
    wire.client.lost(CdpClosed("a later reason"))
    for call in (waiting, wire.client.post("B.b")):
        with pytest.raises(CdpClosed, match="TOKEN_SUPERSEDED"):
            await call
    assert [why.reason for why in lost] == ["TOKEN_SUPERSEDED"]
    assert len(wire.sent) == 1


@pytest.fixture
async def server() -> AsyncIterator[Callable[[Serve], Awaitable[str]]]:
    runners: list[web.AppRunner] = []

    async def start(serve: Serve) -> str:
        async def handle(request: web.Request) -> web.WebSocketResponse:
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            await serve(socket)
            return socket

        app = web.Application()
        app.router.add_get("/cdp", handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        runners.append(runner)
        return f"ws://127.0.0.1:{runner.addresses[0][1]}/cdp"

    yield start
    for runner in runners:
        await runner.cleanup()


async def echo(socket: web.WebSocketResponse) -> None:
    async for message in socket:
        call = json.loads(message.data)
        await socket.send_json({"id": call["id"], "result": {"method": call["method"]}})


async def test_calls_over_a_websocket_are_answered(server: Callable[[Serve], Awaitable[str]]) -> None:
    async with connect(await server(echo)) as client:
        answers = await asyncio.gather(*(client.call(f"A.a{number}") for number in range(20)))
    assert answers == [{"method": f"A.a{number}"} for number in range(20)]
    with pytest.raises(CdpClosed, match="closed by this side"):
        await client.call("A.a")


async def test_the_other_sides_reason_is_told(server: Callable[[Serve], Awaitable[str]]) -> None:
    async def refuse(socket: web.WebSocketResponse) -> None:
        await socket.receive()
        await socket.close(code=4002, message=b"TOKEN_SUPERSEDED")

    async with connect(await server(refuse)) as client:
        with pytest.raises(CdpClosed) as closed:
            await client.call("A.a")
    assert (closed.value.reason, closed.value.code) == ("TOKEN_SUPERSEDED", 4002)


async def test_an_endpoint_that_is_not_there_is_told_without_its_secret() -> None:
    with pytest.raises(CdpClosed, match="no DevTools endpoint answers") as closed:
        async with connect("ws://127.0.0.1:9/cdp/secret", timeout=2):
            pass
    assert "secret" not in str(closed.value)
