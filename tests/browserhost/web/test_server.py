"""The listener, with raw sockets and with other people's clients at its other end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field

import aiohttp
import pytest
from websockets.frames import CloseCode

from browserhost.web import server
from browserhost.web.server import Refused, Route, Visit, WebServer
from browserhost.web.websocket import WebSocket
from tests.fixtures.chrome import until

KEY = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
UPGRADE = f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n{KEY}"
MASK = b"\1\2\3\4"


def masked(first: int, content: bytes) -> bytes:
    """A client's frame of less than 126 bytes."""
    hidden = bytes(byte ^ key for byte, key in zip(content, MASK * 32, strict=False))
    return bytes((first, 0x80 | len(content))) + MASK + hidden


@dataclass
class Town:
    """A server with one route that echoes, and what it heard."""

    web: WebServer
    heard: list[bytes] = field(default_factory=list)
    sockets: list[WebSocket] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def echo(self, visit: Visit) -> None:
        socket = visit.accept()
        self.sockets.append(socket)

        def hear(message: bytes | bytearray | memoryview) -> None:
            self.heard.append(bytes(message))
            socket.send(b"<", message, b">")

        socket.listen(hear)
        await socket.ended.wait()
        self.ended.append("/".join(visit.parts))

    async def raw(self, text: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, _, port = self.web.address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        self.writers.append(writer)
        writer.write(text.replace("HERE", self.web.address).encode())
        return reader, writer

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await self.raw(f"GET /echo/x HTTP/1.1\r\nHost: HERE\r\n{UPGRADE}\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        return reader, writer


@pytest.fixture
async def town() -> AsyncIterator[Town]:
    web = WebServer({})
    await web.listen("127.0.0.1", 0)
    made = Town(web)

    async def fail(visit: Visit) -> None:
        raise RuntimeError(visit.parts)

    async def say(visit: Visit) -> None:
        visit.answer(200, " ".join(visit.parts).encode())

    async def closed(visit: Visit) -> None:
        raise Refused(403, "Closed today.")

    for name, route in {"echo": made.echo, "say": say, "fail": fail, "closed": closed}.items():
        web.routes[name] = Route(route)
    yield made
    await web.aclose()
    for writer in made.writers:
        writer.close()


async def rest(reader: asyncio.StreamReader) -> bytes:
    """All that still comes."""
    came = b""
    with suppress(ConnectionError):
        async with asyncio.timeout(30):
            while more := await reader.read(1 << 20):
                came += more
    return came


async def answer_to(town: Town, text: str) -> str:
    reader, _ = await town.raw(text)
    return (await rest(reader)).decode()


async def test_a_path_is_given_to_the_route_of_its_first_part(town: Town) -> None:
    said = await answer_to(town, "GET /say/a/b/?secret=1 HTTP/1.1\r\nHost: HERE\r\n\r\n")
    head, _, body = said.partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 200 OK\r\n")
    assert "Cache-Control: no-store" in head
    assert body == "say a b"


@pytest.mark.parametrize(
    ("request_line", "headers", "status"),
    [
        ("GET /nowhere HTTP/1.1", "Host: HERE", 404),
        ("GET / HTTP/1.1", "Host: HERE", 404),
        ("POST /echo/x HTTP/1.1", "Host: HERE", 405),
        ("GET /closed HTTP/1.1", "Host: HERE", 403),
        ("GET /fail HTTP/1.1", "Host: HERE", 500),
        ("GET /echo/x HTTP/1.1", "Host: evil.example:80", 403),
        ("GET /echo/x HTTP/1.1", "X-No-Host: 1", 403),
        ("GET /echo/x HTTP/1.1", "Host: HERE\r\nHost: HERE", 400),
        ("GET /echo/x HTTP/1.1", "Host: HERE\r\nOrigin: http://HERE", 403),
        ("GET /echo/x HTTP/1.1", "Host: HERE\r\nOrigin: null", 403),
        ("GET /echo/x HTTP/1.1", "Host: HERE\r\nUpgrade: websocket", 426),
        (f"GET /{'x' * 9000} HTTP/1.1", "Host: HERE", 414),
    ],
)
async def test_who_may_not_ask_is_told_so_once(
    town: Town, request_line: str, headers: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    said = await answer_to(town, f"{request_line}\r\n{headers}\r\n\r\n")
    assert said.startswith(f"HTTP/1.1 {status} "), said
    assert said.count("HTTP/1.1") == 1


@pytest.mark.parametrize("text", ["GET /echo/x HTTP/1.1\r\nHost: HE", "hello\r\n\r\n", ""])
async def test_a_request_that_never_comes_whole_is_not_waited_for(
    town: Town, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "REQUEST_S", 0.05)
    assert await answer_to(town, text) == ""


async def test_frames_before_the_handshake_is_answered_end_the_connection(town: Town) -> None:
    text = f"GET /echo/x HTTP/1.1\r\nHost: HERE\r\n{UPGRADE}\r\n"
    reader, writer = await town.raw("")
    writer.write(text.replace("HERE", town.web.address).encode() + masked(0x81, b"early"))
    await rest(reader)
    assert town.heard == []


async def test_a_message_in_several_frames_is_one_and_pings_between_them_are_answered(town: Town) -> None:
    reader, writer = await town.open()
    for frame in ((0x01, b"on"), (0x89, b"?"), (0x00, b""), (0x00, b"e "), (0x80, b"whole")):
        writer.write(masked(*frame))
    said = await asyncio.wait_for(reader.readexactly(3 + 13), 30)
    assert b"\x8a\x01?" in said
    assert b"\x81\x0b<one whole>" in said
    assert town.heard == [b"one whole"]


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (masked(0x82, b"binary"), CloseCode.UNSUPPORTED_DATA),
        (b"\x81\x02hi", CloseCode.PROTOCOL_ERROR),
        (masked(0xC1, b"x"), CloseCode.PROTOCOL_ERROR),
        (masked(0x80, b"no begin"), CloseCode.PROTOCOL_ERROR),
        (b"\x81\xff" + (1 << 30).to_bytes(8, "big") + MASK, CloseCode.MESSAGE_TOO_BIG),
        (masked(0x88, b"\x0f\xa1bye"), 4001),
    ],
)
async def test_what_is_no_text_message_ends_the_socket_with_the_code(
    town: Town, frame: bytes, code: int
) -> None:
    reader, writer = await town.open()
    writer.write(frame)
    said = await rest(reader)
    assert said[0] == 0x88
    assert int.from_bytes(said[2:4], "big") == code
    await until(lambda: town.ended == ["echo/x"])


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 3 << 20])
async def test_messages_of_every_size_go_both_ways(town: Town, size: int) -> None:
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(f"ws://{town.web.address}/echo/x", max_msg_size=0) as socket,
    ):
        await socket.send_str("x" * size)
        assert await socket.receive_str(timeout=30) == f"<{'x' * size}>"


async def test_a_message_inside_another_one_is_an_error_and_is_not_told(town: Town) -> None:
    reader, writer = await town.open()
    writer.write(masked(0x01, b"begun"))
    writer.write(masked(0x89, b"are you there"))
    assert await reader.readexactly(15) == b"\x8a\x0dare you there"
    writer.write(masked(0x81, b"another"))
    goodbye = await rest(reader)
    assert (goodbye[:1], goodbye[2:4]) == (b"\x88", CloseCode.PROTOCOL_ERROR.to_bytes(2, "big"))
    assert town.heard == []


async def test_a_paused_socket_is_not_read(town: Town) -> None:
    async with aiohttp.ClientSession() as http, http.ws_connect(f"ws://{town.web.address}/echo/x") as socket:
        await socket.send_str("1")
        await socket.receive_str(timeout=30)
        town.sockets[0].pause()
        await socket.send_str("2")
        assert town.heard == [b"1"]
        town.sockets[0].resume()
        assert await socket.receive_str(timeout=30) == "<2>"


async def test_who_does_not_read_makes_the_socket_full_and_is_told_of_room(town: Town) -> None:
    reader, _ = await town.open()
    await until(lambda: town.sockets)
    socket, room = town.sockets[0], asyncio.Event()
    socket.listen(lambda _: None, room.set)
    sent = 0
    while not socket.full:
        socket.send(b"x" * (1 << 20))
        sent += 1
    assert socket.waiting > 0
    read = 0
    async with asyncio.timeout(30):
        while read < sent * ((1 << 20) + 10):
            read += len(await reader.read(1 << 20))
        await room.wait()
    assert [each.full for each in town.sockets] == [False]
    assert socket.waiting == 0


async def test_who_pings_on_and_reads_nothing_is_let_go(town: Town) -> None:
    _, writer = await town.open()
    await until(lambda: town.sockets)
    socket = town.sockets[0]
    while not socket.full:
        socket.send(b"x" * (1 << 20))
    waiting = socket.waiting
    pings, sent = masked(0x89, b"?" * 125) * 1000, 0
    async with asyncio.timeout(30):
        with suppress(ConnectionError):
            while not socket.ended.is_set() and sent < 64 << 20:
                writer.write(pings)
                sent += len(pings)
                await writer.drain()
                assert socket.waiting <= waiting + server.AHEAD_BYTES
        await socket.ended.wait()
    assert town.ended == ["echo/x"]


async def test_who_pings_while_much_is_on_its_way_to_it_stays(town: Town) -> None:
    reader, writer = await town.open()
    await until(lambda: town.sockets)
    socket = town.sockets[0]
    while not socket.full:
        socket.send(b"x" * (1 << 20))
    writer.write(masked(0x89, b"?") * 100 + masked(0x81, b"all"))
    came = b""
    async with asyncio.timeout(30):
        while b"<all>" not in came:
            came = came[-10:] + await reader.read(1 << 20)
    assert not socket.ended.is_set()


async def test_a_goodbye_is_not_waited_for_without_end(town: Town) -> None:
    reader, _ = await town.open()
    await until(lambda: town.sockets)
    async with asyncio.timeout(30):
        await town.sockets[0].close(4002, "TOKEN_SUPERSEDED")
    assert await rest(reader) == b"\x88\x12" + (4002).to_bytes(2, "big") + b"TOKEN_SUPERSEDED"
    town.sockets[0].send(b"more")
    await town.sockets[0].close(1000)


async def test_nothing_stays_open_when_the_server_ends(town: Town) -> None:
    idle, _ = await town.raw("GET /echo")
    reader, _ = await town.open()
    async with asyncio.timeout(30):
        await town.web.aclose()
    assert await rest(idle) == await rest(reader) == b""
    await town.web.aclose()


async def test_no_path_is_written_to_a_log(town: Town, capsys: pytest.CaptureFixture[str]) -> None:
    await answer_to(town, "GET /fail/the-secret HTTP/1.1\r\nHost: HERE\r\n\r\n")
    out = capsys.readouterr()
    assert "request failed" in out.out + out.err
