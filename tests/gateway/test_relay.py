from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType, web

from gateway import pair, reach
from gateway.relay import through_gateway
from tenure.v1.session_pb2 import Session
from tenure.v1.session_service_pb2 import GetSessionRequest, OpenSessionRequest
from tests.fixtures.chrome import until
from tests.gateway.conftest import System
from tests.gateway.fakes import SECRET

IMPATIENT = aiohttp.ClientWSTimeout(ws_close=0.1)


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def url(system: System, secret: str = SECRET, host: str = "a") -> str:
    return f"ws://{system.http.address}/cdp/{host}/{secret}"


async def status(http: aiohttp.ClientSession, address: str, **headers: str) -> int:
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await http.ws_connect(address, headers=headers)
    return caught.value.status


async def test_an_opened_session_says_where_the_gateway_serves_its_browser(
    system: System, http: aiohttp.ClientSession
) -> None:
    opened = await system.sessions.OpenSession(OpenSessionRequest(profile="p"))
    assert opened.session.gateway_cdp_url == url(system)
    async with http.ws_connect(opened.session.gateway_cdp_url) as socket:
        await socket.send_str("hello")
        assert await socket.receive_str() == "hello"


async def told(http: aiohttp.ClientSession, address: str, **headers: str) -> tuple[int, Any]:
    async with http.get(address.replace("ws:", "http:"), headers=headers) as answer:
        return answer.status, await (answer.json() if answer.status == 200 else answer.text())


@pytest.mark.parametrize("slash", ["", "/"])
async def test_tools_that_ask_get_addresses_that_lead_through_the_gateway(
    system: System, http: aiohttp.ClientSession, slash: str
) -> None:
    _, version = await told(http, f"{url(system)}/json/version{slash}")
    assert version == {"Browser": "Fake/1", "webSocketDebuggerUrl": url(system)}
    for path in ("/json/list", "/json"):
        _, [page] = await told(http, f"{url(system)}{path}{slash}")
        assert page["webSocketDebuggerUrl"] == f"{url(system)}/page/T"
        async with http.ws_connect(page["webSocketDebuggerUrl"]) as socket:
            await socket.send_str("hello")
            assert await socket.receive_str() == "hello"


async def test_the_address_that_a_tool_came_by_is_the_one_it_is_told(
    system: System, http: aiohttp.ClientSession
) -> None:
    _, version = await told(http, f"{url(system)}/json/version", Host="localhost:9")
    assert version["webSocketDebuggerUrl"] == f"ws://localhost:9/cdp/a/{SECRET}"


@pytest.mark.parametrize(
    ("path", "headers", "expected"),
    [
        ("/json/version", {"Origin": "http://127.0.0.1"}, 403),
        ("/json/version", {"Host": "evil.example"}, 403),
        ("/json/new", {}, 404),
        ("/page/..%2Fx", {}, 404),
        ("wrong/json/version", {}, 404),
    ],
)
async def test_who_may_not_connect_may_not_ask_either(
    system: System, http: aiohttp.ClientSession, path: str, headers: dict[str, str], expected: int
) -> None:
    assert (await told(http, f"{url(system)}{path}", **headers))[0] == expected


async def test_a_question_to_a_host_that_refuses_or_is_away_is_a_bad_gateway(
    system: System, http: aiohttp.ClientSession
) -> None:
    system.host.devtools.refuses = True
    assert (await told(http, f"{url(system)}/json/version"))[0] == 502
    system.lock.hosts[0].cdp_address = "127.0.0.1:1"
    code, text = await told(http, f"{url(system)}/json/version")
    assert code == 502
    assert SECRET not in text


async def test_only_the_opener_is_told_the_address(system: System) -> None:
    opened = await system.sessions.OpenSession(OpenSessionRequest(profile="p"))
    asked = GetSessionRequest(session=opened.session.name)
    told = (await system.sessions.GetSession(asked)).session
    assert (told.cdp_url, told.gateway_cdp_url) == ("", "")


def test_a_session_without_an_address_has_none_through_the_gateway_either() -> None:
    assert through_gateway("127.0.0.1:1", Session(host="hosts/a")) == ""


async def test_large_messages_pass_whole_both_ways(system: System, http: aiohttp.ClientSession) -> None:
    text = "é" * (6 << 20)  # beyond the usual limit of a message, and what is read ahead
    async with http.ws_connect(url(system), max_msg_size=0) as socket:
        await socket.send_str(text)
        assert await socket.receive_str() == text


async def test_an_unknown_secret_an_unknown_host_and_no_secret_at_all_are_not_found(
    system: System, http: aiohttp.ClientSession
) -> None:
    for address in (url(system, "other"), url(system, host="z"), url(system, "..%2Fjson")):
        assert await status(http, address) == 404


async def test_pages_are_refused_whatever_they_know(system: System, http: aiohttp.ClientSession) -> None:
    assert await status(http, url(system), Origin="http://127.0.0.1") == 403
    assert await status(http, url(system), Origin="null") == 403


@pytest.mark.parametrize("name", ["evil.example", "evil.example:7480", "127.0.0.1.evil.example", ""])
async def test_a_host_header_with_a_sites_name_is_refused(
    system: System, http: aiohttp.ClientSession, name: str
) -> None:
    assert await status(http, url(system), Host=name) == 403


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST:9", "127.0.0.1", "[::1]:7480", "10.0.0.7:1"])
async def test_a_host_header_with_an_address_is_taken(
    system: System, http: aiohttp.ClientSession, name: str
) -> None:
    async with http.ws_connect(url(system), headers={"Host": name}) as socket:
        await socket.send_str("hello")
        assert await socket.receive_str() == "hello"


async def test_a_host_that_refuses_or_is_away_is_a_bad_gateway(
    system: System, http: aiohttp.ClientSession
) -> None:
    system.host.devtools.refuses = True
    assert await status(http, url(system)) == 502
    system.lock.hosts[0].cdp_address = "127.0.0.1:1"
    assert await status(http, url(system)) == 502


async def test_who_is_one_client_too_many_is_told_so(system: System, http: aiohttp.ClientSession) -> None:
    system.host.devtools.is_full = True
    assert await status(http, url(system)) == 429


async def test_no_lock_service_is_service_unavailable(
    system: System, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reach, "CONNECT_S", 0.1)
    system.lock.record.hooks["ListAliveHostsRequest"] = asyncio.Event().wait  # type: ignore[assignment]
    assert await status(http, url(system)) == 503


async def end_superseded(socket: web.WebSocketResponse) -> None:
    await socket.send_str("last word")
    await socket.close(code=4002, message=b"TOKEN_SUPERSEDED")


async def test_the_hosts_close_code_and_reason_reach_the_client(
    system: System, http: aiohttp.ClientSession
) -> None:
    system.host.devtools.serve = end_superseded
    async with http.ws_connect(url(system)) as socket:
        assert await socket.receive_str() == "last word"
        message = await socket.receive()
        assert (message.type, message.data, message.extra) == (WSMsgType.CLOSE, 4002, "TOKEN_SUPERSEDED")


async def test_the_clients_close_code_reaches_the_host(system: System, http: aiohttp.ClientSession) -> None:
    async with http.ws_connect(url(system)) as socket:
        await socket.close(code=4321, message=b"done")
    await asyncio.wait_for(system.host.devtools.ended.wait(), 30)
    assert system.host.devtools.close_code == 4321


async def test_a_client_that_vanishes_ends_its_connection_to_the_host(
    system: System, http: aiohttp.ClientSession
) -> None:
    async with http.ws_connect(url(system)) as socket:
        transport = socket.get_extra_info("socket")
        assert transport is not None
        socket._response.close()
    await asyncio.wait_for(system.host.devtools.ended.wait(), 30)


async def vanish(socket: web.WebSocketResponse) -> None:
    assert socket._req is not None
    assert socket._req.transport is not None
    socket._req.transport.abort()


async def test_a_host_that_vanishes_is_told_as_such(system: System, http: aiohttp.ClientSession) -> None:
    system.host.devtools.serve = vanish
    async with http.ws_connect(url(system)) as socket:
        message = await socket.receive()
        assert (message.type, message.data, message.extra) == (WSMsgType.CLOSE, 1014, "HOST_UNREACHABLE")


class Flood:
    """A host that sends and sends, and then ends. What cannot be sent within `patience` seconds (None: it
    tries for ever) is `stuck`.
    """

    def __init__(self, size: int, patience: float | None = None) -> None:
        self.size, self.patience, self.sent, self.stuck = size, patience, 0, asyncio.Event()

    async def __call__(self, socket: web.WebSocketResponse) -> None:
        while self.sent < self.size:
            try:
                async with asyncio.timeout(self.patience):
                    await socket.send_bytes(bytes(1 << 20))
            except TimeoutError:
                self.stuck.set()
                await asyncio.Event().wait()
            self.sent += 1 << 20
        await socket.close(code=4002, message=b"TOKEN_SUPERSEDED")


async def test_a_client_that_reads_nothing_is_ended_as_soon_as_the_host_says_so(
    system: System, http: aiohttp.ClientSession
) -> None:
    # What lies in buffers on the way comes first; nothing that the gateway still had does.
    system.host.devtools.serve = flood = Flood(pair.AHEAD_BYTES - (1 << 20))
    async with http.ws_connect(url(system), max_msg_size=0, timeout=IMPATIENT) as socket:
        socket._reader._protocol.pause_reading()
        await asyncio.wait_for(system.host.devtools.ended.wait(), 30)
        await until(lambda: not system.http._relay._pairs)
        assert flood.sent == flood.size


async def test_a_client_that_reads_nothing_is_not_read_ahead_of_without_end(
    system: System, http: aiohttp.ClientSession
) -> None:
    system.host.devtools.serve = flood = Flood(1 << 30, patience=1)
    async with http.ws_connect(url(system), max_msg_size=0, timeout=IMPATIENT) as socket:
        socket._reader._protocol.pause_reading()
        await asyncio.wait_for(flood.stuck.wait(), 30)
        assert flood.sent < 10 * pair.AHEAD_BYTES


async def test_a_client_that_goes_on_reading_nothing_is_slow(
    system: System, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pair, "STALL_S", 0.2)
    system.host.devtools.serve = Flood(1 << 30)
    async with http.ws_connect(url(system), max_msg_size=0, timeout=IMPATIENT) as socket:
        socket._reader._protocol.pause_reading()
        await asyncio.wait_for(system.host.devtools.ended.wait(), 30)


async def test_a_gateway_that_stops_tells_its_clients_and_lets_no_more_in(
    system: System, http: aiohttp.ClientSession
) -> None:
    async with http.ws_connect(url(system)) as socket:
        closing = asyncio.create_task(system.http.aclose())
        message = await socket.receive()
        assert (message.type, message.data, message.extra) == (WSMsgType.CLOSE, 1001, "GATEWAY_STOPPING")
        await socket.close()
        await asyncio.wait_for(closing, 30)
    with pytest.raises(aiohttp.ClientConnectorError):
        await http.ws_connect(url(system))


async def test_no_secret_gets_into_a_log(
    system: System,
    http: aiohttp.ClientSession,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    async with http.ws_connect(url(system)) as socket:
        await socket.send_str("hello")
        await socket.receive()
    system.host.devtools.refuses = True
    await status(http, url(system))
    system.lock.hosts[0].cdp_address = "127.0.0.1:1"
    await status(http, url(system))
    captured = capfd.readouterr()
    own = [r.getMessage() for r in caplog.records if not r.name.startswith("aiohttp.access")]
    assert SECRET not in captured.out + captured.err + "\n".join(own)


async def test_healthz_says_whether_the_gateway_serves(system: System, http: aiohttp.ClientSession) -> None:
    async with http.get(f"http://{system.http.address}/healthz") as answer:
        assert (answer.status, await answer.text()) == (200, "ok\n")
    await system.gateway.unavailable("lockservice", "does not answer")
    async with http.get(f"http://{system.http.address}/healthz") as answer:
        assert (answer.status, await answer.text()) == (503, "lockservice: does not answer\n")
