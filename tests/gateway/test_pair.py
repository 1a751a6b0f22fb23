"""A host hands over to its next process: what the gateway holds of its clients, and never sends twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import aiohttp
import pytest
from aiohttp import WSMsgType, web

from gateway import pair, reach, relay
from gateway.backends import Backends
from tenure.cdp import HANDED_OVER, QUIET, RETURNS
from tests.fixtures.chrome import until
from tests.gateway.conftest import System
from tests.gateway.fakes import SECRET

STOPPING = (WSMsgType.CLOSE, 4009, "HOST_STOPPING")


@dataclass
class Host:
    """One that hands over once its client is quiet and it may. `took` is what it was sent by then."""

    ticket: str
    waits: bool = True
    """For a first message."""
    may: asyncio.Event = field(default_factory=asyncio.Event)
    quiet: asyncio.Event = field(default_factory=asyncio.Event)
    heard: asyncio.Event = field(default_factory=asyncio.Event)
    took: list[str] = field(default_factory=list)

    async def serve(self, socket: web.WebSocketResponse) -> None:
        if self.waits:
            self.took.append(await socket.receive_str())
        await socket.ping(QUIET)
        while (message := await socket.receive()).type is WSMsgType.TEXT:
            self.took.append(message.data)
        assert (message.type, message.data) == (WSMsgType.PONG, QUIET)
        self.quiet.set()
        await self.may.wait()
        await socket.send_str(f"from {self.ticket}")
        await socket.close(code=HANDED_OVER, message=self.ticket.encode())
        # It was told that all that it sent has come.
        assert socket.close_code == 1000
        self.heard.set()


@dataclass
class NextHost:
    """`took` is what it is sent, each echoed."""

    took: list[str] = field(default_factory=list)

    async def serve(self, socket: web.WebSocketResponse) -> None:
        while (message := await socket.receive()).type is WSMsgType.TEXT:
            self.took.append(message.data)
            await socket.send_str(message.data)


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def host(system: System) -> Host:
    host = Host("first")
    system.host.devtools.autoping = False
    system.host.devtools.serve = host.serve
    return host


def url(system: System) -> str:
    return f"ws://{system.http.address}/cdp/a/{SECRET}"


async def end_of(socket: aiohttp.ClientWebSocketResponse) -> tuple[object, object, object]:
    """The first word that is no message."""
    while (message := await socket.receive(timeout=30)).type is WSMsgType.TEXT:
        continue
    return message.type, message.data, message.extra


async def test_what_a_client_sends_meanwhile_goes_to_the_next_host_once_and_in_order(
    system: System, http: aiohttp.ClientSession, host: Host
) -> None:
    following = NextHost()
    system.host.devtools.resumed["first"] = following.serve
    system.host.devtools.unready = 3
    async with http.ws_connect(url(system)) as socket:
        await socket.send_str("1")
        await asyncio.wait_for(host.quiet.wait(), 30)
        await socket.send_str("2")
        await socket.send_str("3")
        host.may.set()
        await asyncio.wait_for(host.heard.wait(), 30)
        await socket.send_str("4")
        said = [await socket.receive_str(timeout=30) for _ in range(4)]
        await socket.send_str("5")
        said.append(await socket.receive_str(timeout=30))
    assert said == ["from first", "2", "3", "4", "5"]
    assert (host.took, following.took) == (["1"], ["2", "3", "4", "5"])


async def test_a_client_hears_of_a_failure_that_nobody_foresaw(
    system: System, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> bool:
        raise RuntimeError(f"of {SECRET}")

    monkeypatch.setattr(pair.Pair, "_read_ahead", fail)
    system.host.devtools.serve = NextHost().serve
    async with http.ws_connect(url(system)) as socket:
        await socket.send_str("1")
        assert await end_of(socket) == (WSMsgType.CLOSE, 1011, "INTERNAL")


async def test_the_next_host_may_hand_over_too(
    system: System, http: aiohttp.ClientSession, host: Host
) -> None:
    second, third = Host("second", waits=False), NextHost()
    system.host.devtools.resumed |= {"first": second.serve, "second": third.serve}
    for each in (host, second):
        each.may.set()
    async with http.ws_connect(url(system)) as socket:
        for number in range(9):
            await socket.send_str(str(number))
        said = [await socket.receive_str(timeout=30) for _ in range(2)]
        await until(lambda: len(host.took + second.took + third.took) == 9)
    assert said == ["from first", "from second"]
    assert host.took + second.took + third.took == [str(number) for number in range(9)]


async def test_of_a_client_that_sends_on_and_on_no_more_than_a_bound_is_held(
    system: System, http: aiohttp.ClientSession, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pair, "HELD_BYTES", 1 << 20)
    following = NextHost()
    system.host.devtools.resumed["first"] = following.serve
    messages = [f"{number} {'x' * (256 << 10)}" for number in range(200)]

    async def sends(socket: aiohttp.ClientWebSocketResponse) -> None:
        for message in messages:
            await socket.send_str(message)

    async with http.ws_connect(url(system), max_msg_size=0) as socket:
        await socket.send_str("1")
        await asyncio.wait_for(host.quiet.wait(), 30)
        sending = asyncio.create_task(sends(socket))
        (held,) = system.http._relay._pairs
        await until(lambda: held._held_bytes > 1 << 20)
        assert held._held_bytes < (1 << 20) + (512 << 10)
        assert not sending.done()  # it is not read any further
        host.may.set()
        said = [await socket.receive_str(timeout=30) for _ in range(len(messages) + 1)]
        await sending
    assert said[1:] == following.took == messages


async def test_a_client_whose_host_does_not_come_back_is_told_that_it_stopped(
    system: System, http: aiohttp.ClientSession, host: Host
) -> None:
    system.http._relay._resume_s = 0.5
    async with http.ws_connect(url(system)) as socket:
        await socket.send_str("1")
        await asyncio.wait_for(host.quiet.wait(), 30)
        system.lock.hosts[0].cdp_address = "127.0.0.1:1"
        host.may.set()
        assert await end_of(socket) == STOPPING


async def test_a_client_is_kept_while_the_host_that_goes_is_there_for_its_other_browsers(
    monkeypatch: pytest.MonkeyPatch, system: System, http: aiohttp.ClientSession, host: Host
) -> None:
    """Its time begins when that host is gone."""
    resume_s = system.http._relay._resume_s = 60.0
    devtools, following = system.host.devtools, NextHost()
    devtools.resumed["first"] = following.serve
    devtools.unready = words = 2
    loop = asyncio.get_running_loop()
    now, ahead_s = loop.time, 0.0
    # The loop's clock is ours, so that no machine is too slow: each word comes when half the time is over.
    monkeypatch.setattr(reach, "CONNECT_S", resume_s)
    monkeypatch.setattr(relay, "LEAVING_S", 600.0)
    monkeypatch.setattr(loop, "time", lambda: now() + ahead_s)

    async def find_later(backends: Backends, name: str) -> str:
        nonlocal ahead_s
        await host.heard.wait()
        ahead_s = (words - devtools.unready + 1) * 32.0
        return await reach.find(backends, name)

    monkeypatch.setattr(relay, "find", find_later)
    host.may.set()
    async with http.ws_connect(url(system)) as socket:
        await socket.send_str("1")
        await host.heard.wait()
        await socket.send_str("2")
        assert [await socket.receive_str() for _ in range(2)] == ["from first", "2"]
    assert ahead_s > resume_s


async def test_a_client_is_kept_while_the_host_that_goes_is_there_and_not_registered_any_more(
    system: System, http: aiohttp.ClientSession, host: Host
) -> None:
    system.http._relay._resume_s = 60.0
    following, devtools = NextHost(), system.host.devtools
    devtools.resumed["first"] = following.serve
    devtools.unready = 3

    async def lapses() -> None:
        if devtools.unready < 3:  # it has said once that it is still there
            system.lock.hosts[:] = [each for each in system.lock.hosts if each.name != system.host.name]

    system.lock.record.hooks["ListAliveHostsRequest"] = lapses
    host.may.set()
    async with http.ws_connect(url(system)) as socket:
        await socket.send_str("1")
        await asyncio.wait_for(host.heard.wait(), 30)
        await socket.send_str("2")
        assert [await socket.receive_str(timeout=30) for _ in range(2)] == ["from first", "2"]
    assert system.host.name not in [each.name for each in system.lock.hosts]


async def test_a_host_that_goes_and_never_ends_does_not_keep_its_clients_for_ever(
    system: System, http: aiohttp.ClientSession, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    system.http._relay._resume_s = 1.0
    monkeypatch.setattr(relay, "LEAVING_S", 0.5)
    system.host.devtools.unready = 1_000_000
    host.may.set()
    async with http.ws_connect(url(system)) as socket:
        await socket.send_str("1")
        assert await end_of(socket) == STOPPING


async def test_a_client_that_was_not_left_to_the_next_host_is_told_at_once(
    system: System, http: aiohttp.ClientSession, host: Host
) -> None:
    system.http._relay._resume_s = 600.0
    host.may.set()
    async with http.ws_connect(url(system)) as socket:
        await socket.send_str("1")
        assert await end_of(socket) == STOPPING


async def test_a_host_that_is_not_there_and_one_that_is_not_listed_are_waited_for(
    system: System, http: aiohttp.ClientSession, host: Host
) -> None:
    following = NextHost()
    system.host.devtools.resumed["first"] = following.serve
    async with http.ws_connect(url(system)) as socket:
        await socket.send_str("1")
        await asyncio.wait_for(host.quiet.wait(), 30)
        address, system.lock.hosts[0].cdp_address = system.lock.hosts[0].cdp_address, "127.0.0.1:1"
        host.may.set()
        await asyncio.wait_for(host.heard.wait(), 30)
        listed = system.lock.hosts.pop(0)
        await socket.send_str("2")
        listed.cdp_address = address
        system.lock.hosts.insert(0, listed)
        assert [await socket.receive_str(timeout=30) for _ in range(2)] == ["from first", "2"]


async def test_what_the_next_host_says_of_the_hold_is_what_the_client_hears(
    system: System, http: aiohttp.ClientSession, host: Host
) -> None:
    async def cuts(socket: web.WebSocketResponse) -> None:
        await socket.close(code=4002, message=b"TOKEN_SUPERSEDED")

    system.host.devtools.resumed["first"] = cuts
    host.may.set()
    async with http.ws_connect(url(system)) as socket:
        await socket.send_str("1")
        assert await end_of(socket) == (WSMsgType.CLOSE, 4002, "TOKEN_SUPERSEDED")


async def test_a_host_that_did_not_ask_for_quiet_first_is_not_gone_on_with(
    system: System, http: aiohttp.ClientSession
) -> None:
    """Nobody knows whether it took the last that was sent."""

    async def hurries(socket: web.WebSocketResponse) -> None:
        await socket.receive_str()
        await socket.close(code=HANDED_OVER, message=b"first")

    following = NextHost()
    system.host.devtools.serve, system.host.devtools.resumed = hurries, {"first": following.serve}
    async with http.ws_connect(url(system)) as socket:
        await socket.send_str("1")
        assert await end_of(socket) == STOPPING
    assert system.host.devtools.resumed != {}


async def test_a_client_that_leaves_meanwhile_is_not_gone_on_with(
    system: System, http: aiohttp.ClientSession, host: Host
) -> None:
    async with http.ws_connect(url(system)) as socket:
        await socket.send_str("1")
        await asyncio.wait_for(host.quiet.wait(), 30)
        system.host.devtools.unready = 1000
        host.may.set()
        await asyncio.wait_for(host.heard.wait(), 30)
    await until(lambda: not system.http._relay._pairs)


async def test_a_gateway_that_stops_meanwhile_says_so(
    system: System, http: aiohttp.ClientSession, host: Host
) -> None:
    system.host.devtools.unready = 1000
    host.may.set()
    async with http.ws_connect(url(system)) as socket:
        await socket.send_str("1")
        await asyncio.wait_for(host.heard.wait(), 30)
        closing = asyncio.create_task(system.http.aclose())
        assert await end_of(socket) == (WSMsgType.CLOSE, 1001, "GATEWAY_STOPPING")
        await socket.close()
        await asyncio.wait_for(closing, 30)


@pytest.mark.parametrize(("resume_s", "asks"), [(15.0, True), (0.0, False)])
async def test_a_host_is_asked_to_leave_clients_to_the_next_unless_that_is_switched_off(
    system: System, http: aiohttp.ClientSession, resume_s: float, asks: bool
) -> None:
    system.http._relay._resume_s = resume_s
    async with http.ws_connect(url(system)) as socket:
        await socket.send_str("hello")
        assert await socket.receive_str() == "hello"
    assert (RETURNS in system.host.devtools.headers) is asks


async def test_a_ping_of_the_hosts_is_answered(system: System, http: aiohttp.ClientSession) -> None:
    async def pings(socket: web.WebSocketResponse) -> None:
        await socket.ping(b"alive")
        message = await socket.receive()
        await socket.send_str(f"{message.type.name} {message.data.decode()}")
        await socket.receive()

    system.host.devtools.autoping, system.host.devtools.serve = False, pings
    async with http.ws_connect(url(system)) as socket:
        assert await socket.receive_str(timeout=30) == "PONG alive"
