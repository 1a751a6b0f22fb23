"""The forwarder over real sockets, without Chrome."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from ipaddress import ip_address

import pytest

from browserhost.egress import forwarder as forwarders
from browserhost.egress import peer, resolver, socks
from browserhost.egress.addresses import IPAddress, Rules, services
from browserhost.egress.forwarder import Egress, Forwarder
from browserhost.egress.socks import Destination
from browserhost.egress.upstream import Upstream
from tests.fixtures.chrome import until

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
NAMES: dict[str, list[str]] = {
    "rebound.example": ["169.254.169.254"],
    "both.example": ["169.254.169.254", "127.0.0.1"],
    "here.example": ["127.0.0.1"],
    "dead.example": ["127.0.0.9", "127.0.0.1"],
}


async def resolve(name: str) -> list[IPAddress]:
    if name not in NAMES:
        try:
            return [ip_address(name)]
        except ValueError:
            raise OSError from None
    return [ip_address(each) for each in NAMES[name]]


class Ground:
    """Servers of the test's own, and one forwarder."""

    def __init__(self) -> None:
        self.egress = Egress(resolve=resolve)
        self.forwarders: list[Forwarder] = []
        self.servers: list[asyncio.Server] = []
        self.writers: list[asyncio.StreamWriter] = []

    async def serve(self, handler: Handler) -> int:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.writers.append(writer)
            try:
                await handler(reader, writer)
            finally:
                writer.close()

        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        self.servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    async def start(self, upstream: str | None = None) -> Forwarder:
        parsed = Upstream.parse(upstream) if upstream is not None else None
        forwarder = await Forwarder.start(self.egress, parsed, "alice")
        self.forwarders.append(forwarder)
        return forwarder

    async def connect(self, forwarder: Forwarder) -> Streams:
        port = int(forwarder.url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        self.writers.append(writer)
        return reader, writer

    async def ask(self, forwarder: Forwarder, host: str, port: int) -> tuple[int, Streams]:
        """What the forwarder answers a browser, and the streams."""
        reader, writer = await self.connect(forwarder)
        writer.write(socks.GREETING)
        assert await reader.readexactly(2) == socks.WELCOME
        writer.write(socks.call5(Destination(host, port)))
        return (await reader.readexactly(10))[1], (reader, writer)

    async def close(self) -> None:
        for forwarder in self.forwarders:
            forwarder.close()
        for writer in self.writers:
            writer.close()
        for server in self.servers:
            server.close()
        await until(lambda: not any(forwarder.connections for forwarder in self.forwarders))


@pytest.fixture
async def ground() -> AsyncIterator[Ground]:
    made = Ground()
    yield made
    await made.close()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say everything back, and then the end."""
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


@pytest.mark.parametrize("host", ["127.0.0.1", "here.example", "both.example"])
async def test_bytes_go_both_ways_and_each_way_ends_by_itself(ground: Ground, host: str) -> None:
    port, forwarder = await ground.serve(echo), await ground.start()
    code, (reader, writer) = await ground.ask(forwarder, host, port)
    assert code == socks.SUCCEEDED
    data = bytes(range(256)) * 20_000
    writing = asyncio.create_task(_write_and_end(writer, data))
    assert await reader.read() == b"" if not data else len(await _read_all(reader)) == len(data)
    await writing
    await until(lambda: forwarder.connections == 0)


async def _write_and_end(writer: asyncio.StreamWriter, data: bytes) -> None:
    for start in range(0, len(data), 1 << 16):
        writer.write(data[start : start + (1 << 16)])
        await writer.drain()
    writer.write_eof()


async def _read_all(reader: asyncio.StreamReader) -> bytes:
    return await reader.read(-1)


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("169.254.169.254", "169.254.169.254 is link-local"),
        ("rebound.example", "rebound.example:80: 169.254.169.254 is link-local"),
        ("0.0.0.0", "is no address of one host"),
    ],
)
async def test_what_the_rules_refuse_is_not_connected_to_and_said(
    ground: Ground, host: str, said: str
) -> None:
    forwarder = await ground.start()
    code, (reader, _) = await ground.ask(forwarder, host, 80)
    assert code == socks.NOT_ALLOWED
    assert await reader.read() == b""
    assert said in forwarder.failed_since(0)


async def test_own_services_and_every_forwarder_are_out_of_reach(ground: Ground) -> None:
    touched: list[int] = []

    async def touch(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        touched.append(1)

    port = await ground.serve(touch)
    ground.egress.rules = Rules(services([f"127.0.0.1:{port}"]))
    one, two = await ground.start(), await ground.start()
    for target in (port, int(one.url.rpartition(":")[2]), int(two.url.rpartition(":")[2])):
        for host in ("127.0.0.1", "127.0.0.2", "::1", "::ffff:127.0.0.1", "here.example"):
            assert (await ground.ask(one, host, target))[0] == socks.NOT_ALLOWED
    assert touched == []
    two.close()
    assert (await ground.ask(one, "127.0.0.1", int(two.url.rpartition(":")[2])))[0] == socks.REFUSED


async def test_a_private_network_is_refused_where_the_setting_says_so(ground: Ground) -> None:
    port, forwarder = await ground.serve(echo), await ground.start()
    ground.egress.rules = Rules(private=False)
    assert (await ground.ask(forwarder, "127.0.0.1", port))[0] == socks.NOT_ALLOWED
    ground.egress.rules = Rules(private=True)
    assert (await ground.ask(forwarder, "127.0.0.1", port))[0] == socks.SUCCEEDED


async def test_another_address_is_tried_when_one_refuses(ground: Ground) -> None:
    port, forwarder = await ground.serve(echo), await ground.start()
    assert (await ground.ask(forwarder, "dead.example", port))[0] == socks.SUCCEEDED


async def test_who_does_not_answer_is_named_with_the_reason(ground: Ground) -> None:
    port, forwarder = await ground.serve(echo), await ground.start()
    ground.servers[0].close()
    assert (await ground.ask(forwarder, "127.0.0.1", port))[0] == socks.REFUSED
    assert forwarder.failed_since(0) == f"127.0.0.1:{port}: 127.0.0.1: connection refused"
    assert (await ground.ask(forwarder, "unknown.example", port))[0] == socks.HOST
    assert forwarder.failed_since(0) == f"unknown.example:{port}: has no address"
    # What was asked for, not the last thing that failed.
    assert forwarder.failed_since(0, "127.0.0.1") == f"127.0.0.1:{port}: 127.0.0.1: connection refused"


@pytest.mark.parametrize("name", ["a" * 64 + ".example", "a..example"])
async def test_a_name_that_no_resolver_takes_has_no_address(ground: Ground, name: str) -> None:
    ground.egress.resolve = resolver.resolve
    forwarder = await ground.start()
    code, (reader, _) = await ground.ask(forwarder, name, 80)
    assert code == socks.HOST
    assert await reader.read() == b""
    await until(lambda: forwarder.connections == 0)


async def test_another_users_connections_are_reset_before_they_are_heard(ground: Ground) -> None:
    port = await ground.serve(echo)
    for uid, answered in ((os.geteuid(), True), (os.geteuid() + 1, False)):
        forwarder = await Forwarder.start(ground.egress, None, "alice", uid=uid)
        ground.forwarders.append(forwarder)
        if answered:
            assert (await ground.ask(forwarder, "127.0.0.1", port))[0] == socks.SUCCEEDED
        else:
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await ground.ask(forwarder, "127.0.0.1", port)


async def test_a_connection_that_nobody_has_open_any_more_is_not_served(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peer, "uid_of", lambda *_: None)
    forwarder = await ground.start()
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await ground.ask(forwarder, "127.0.0.1", 1)


async def test_a_forwarder_goes_on_with_the_socket_of_another(ground: Ground) -> None:
    port, first = await ground.serve(echo), await ground.start()
    sock = first.listening
    first.close()
    second = await Forwarder.start(ground.egress, None, "alice", sock=sock)
    ground.forwarders.append(second)
    assert second.url == first.url
    assert (await ground.ask(second, "127.0.0.1", port))[0] == socks.SUCCEEDED


async def test_what_is_no_socks_is_hung_up_on(ground: Ground) -> None:
    forwarder = await ground.start()
    for said in (b"GET / HTTP/1.1\r\n\r\n", b"\x05\x01\x00\x05\x02\x00\x01\x7f\x00\x00\x01\x00\x50"):
        reader, writer = await ground.connect(forwarder)
        writer.write(said)
        await reader.read()
    await until(lambda: forwarder.connections == 0)


async def test_who_says_nothing_does_not_stay(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forwarders, "HANDSHAKE_S", 0.05)
    forwarder = await ground.start()
    reader, _ = await ground.connect(forwarder)
    assert await asyncio.wait_for(reader.read(), 30) == b""


async def test_more_than_so_many_connections_are_not_taken(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forwarders, "MOST", 2)
    forwarder = await ground.start()
    readers = [(await ground.connect(forwarder))[0] for _ in range(3)]
    assert await asyncio.wait_for(readers[2].read(), 30) == b""
    assert forwarder.connections == 2


async def test_a_reader_that_stops_stops_the_writer(ground: Ground) -> None:
    sent = 0

    async def pour(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()
            sent += 65536

    port, forwarder = await ground.serve(pour), await ground.start()
    _, (reader, writer) = await ground.ask(forwarder, "127.0.0.1", port)
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    stood, before = 0, -1

    def stands() -> bool:
        nonlocal stood, before
        stood, before = (stood + 1 if sent == before else 0), sent
        return stood == 20

    await until(stands, 30)
    # What fills the kernel's buffers and the small ones in between, and no more.
    assert sent < 64 << 20
    writer.transport.resume_reading()  # type: ignore[attr-defined]
    await reader.readexactly(1 << 20)
    await until(lambda: sent > before)


async def test_a_side_that_breaks_off_takes_the_other_with_it(ground: Ground) -> None:
    over = asyncio.Event()

    async def wait(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await reader.read()
        over.set()

    port, forwarder = await ground.serve(wait), await ground.start()
    _, (_, writer) = await ground.ask(forwarder, "127.0.0.1", port)
    writer.transport.abort()
    await asyncio.wait_for(over.wait(), 30)
    await until(lambda: forwarder.connections == 0)


async def test_closing_cuts_everything_also_what_is_being_connected(ground: Ground) -> None:
    reached = asyncio.Event()

    async def never(name: str) -> list[IPAddress]:
        reached.set()
        await asyncio.Event().wait()
        return []

    port, forwarder = await ground.serve(echo), await ground.start()
    _, (reader, _) = await ground.ask(forwarder, "127.0.0.1", port)
    ground.egress.resolve = never
    waiting = asyncio.create_task(ground.ask(forwarder, "slow.example", 80))
    await reached.wait()
    forwarder.close()
    forwarder.close()
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await waiting
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await reader.readexactly(1)
    with pytest.raises(ConnectionError):
        await ground.connect(forwarder)


async def http_proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    target = head.split()[1]
    writer.write(b"HTTP/1.1 403 No\r\n\r\n" if target.startswith("no") else b"HTTP/1.1 200 Yes\r\n\r\n")
    writer.write(target.encode() + b"|")
    await echo(reader, writer)


async def socks5_proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readexactly(3)
    writer.write(socks.WELCOME)
    head = await reader.readexactly(5)
    name = (await reader.readexactly(head[4] + 2))[:-2].decode()
    writer.write(socks.reply(socks.REFUSED if name.startswith("no") else socks.SUCCEEDED))
    writer.write(name.encode() + b":80|")
    await echo(reader, writer)


async def socks4_proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readexactly(9)
    name = (await reader.readuntil(b"\0"))[:-1].decode()
    writer.write(b"\0[" + bytes(6) if name.startswith("no") else b"\0Z" + bytes(6))
    writer.write(name.encode() + b":80|")
    await echo(reader, writer)


UPSTREAMS = {"http": http_proxy, "socks5": socks5_proxy, "socks4": socks4_proxy}


@pytest.mark.parametrize("scheme", sorted(UPSTREAMS))
async def test_names_go_to_the_upstream_unresolved(ground: Ground, scheme: str) -> None:
    port = await ground.serve(UPSTREAMS[scheme])
    forwarder = await ground.start(f"{scheme}://127.0.0.1:{port}")
    code, (reader, writer) = await ground.ask(forwarder, "rebound.example", 80)
    assert code == socks.SUCCEEDED
    writer.write(b"hello")
    writer.write_eof()
    assert await reader.read() == b"rebound.example:80|hello"


@pytest.mark.parametrize("scheme", sorted(UPSTREAMS))
async def test_an_upstream_that_says_no_is_named(ground: Ground, scheme: str) -> None:
    port = await ground.serve(UPSTREAMS[scheme])
    forwarder = await ground.start(f"{scheme}://127.0.0.1:{port}")
    assert (await ground.ask(forwarder, "no.example", 80))[0] == socks.FAILED
    assert forwarder.failed_since(0).startswith("no.example:80: the proxy answered")
    await until(lambda: forwarder.connections == 0)


@pytest.mark.parametrize("scheme", sorted(UPSTREAMS))
async def test_an_upstream_that_is_away_or_hangs_up_fails_closed(ground: Ground, scheme: str) -> None:
    async def hang_up(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read(1)

    port = await ground.serve(hang_up)
    forwarder = await ground.start(f"{scheme}://127.0.0.1:{port}")
    assert (await ground.ask(forwarder, "a.example", 80))[0] == socks.FAILED
    ground.servers[0].close()
    assert (await ground.ask(forwarder, "a.example", 80))[0] == socks.FAILED
    assert "connection refused" in forwarder.failed_since(0)


async def test_what_is_said_is_judged_before_an_upstream_hears_it(ground: Ground) -> None:
    asked: list[int] = []

    async def proxy(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        asked.append(1)

    port = await ground.serve(proxy)
    ground.egress.rules = Rules(services(["127.0.0.1:7433"]))
    forwarder = await ground.start(f"http://127.0.0.1:{port}")
    for host, to in (
        ("169.254.169.254", 80),
        ("localhost", 7433),
        ("a.localhost", 7433),
        ("127.0.0.1", 7433),
    ):
        assert (await ground.ask(forwarder, host, to))[0] == socks.NOT_ALLOWED
    assert asked == []
