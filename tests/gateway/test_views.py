"""A view's socket between a person and a host, with a host in memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import aiohttp
import pytest
from aiohttp import WSMsgType, web

from gateway import views
from gateway.backends import Backends
from gateway.views import Views
from tenure.v1.host_pb2 import Host

SECRET = "s" * 43
WAIT_S = 30.0


class TheHost:
    """A host whose view tells what is put in `tells`, and hears into `heard`."""

    def __init__(self) -> None:
        self.status = 101
        self.address = ""
        self.heard: asyncio.Queue[str] = asyncio.Queue()
        self.tells: asyncio.Queue[bytes | str] = asyncio.Queue()
        self.left = asyncio.Event()

    async def alive_hosts(self, *, timeout: float) -> list[Host]:
        return [Host(name="hosts/h", cdp_address=self.address)]

    async def serve(self, request: web.Request) -> web.StreamResponse:
        if self.status != 101 or request.match_info["secret"] != SECRET:
            return web.Response(status=404 if self.status == 101 else self.status)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        telling = asyncio.create_task(self._tell(socket))
        async for message in socket:
            self.heard.put_nowait(message.data)
        telling.cancel()
        self.left.set()
        return socket

    async def _tell(self, socket: web.WebSocketResponse) -> None:
        while True:
            said = await self.tells.get()
            await (socket.send_str(said) if isinstance(said, str) else socket.send_bytes(said))


@asynccontextmanager
async def served(routes: list[web.RouteDef]) -> AsyncIterator[str]:
    app = web.Application()
    app.add_routes(routes)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


class Stage:
    def __init__(self, host: TheHost, gateway: Views, address: str, http: aiohttp.ClientSession) -> None:
        self.host, self.gateway, self.http = host, gateway, http
        self.url = f"http://{address}/view/h/{SECRET}"

    async def status(self, url: str, **headers: str) -> int:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await self.http.ws_connect(url, headers=headers)
        return refused.value.status


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    host = TheHost()
    async with aiohttp.ClientSession() as http, served([web.get("/view/{secret}", host.serve)]) as at:
        host.address = at
        gateway = Views(cast("Backends", host), http)
        async with served(gateway.routes()) as address:
            yield Stage(host, gateway, address, http)


async def receive(socket: aiohttp.ClientWebSocketResponse) -> Any:
    return await socket.receive(timeout=WAIT_S)


async def test_words_and_pictures_pass_both_ways(stage: Stage) -> None:
    async with stage.http.ws_connect(f"{stage.url}/socket") as socket:
        await socket.send_str("a word")
        assert await stage.host.heard.get() == "a word"
        for said in ('{"type": "control"}', b"picture", '{"type": "page", "url": "u"}'):
            stage.host.tells.put_nowait(said)
            assert (await receive(socket)).data == said
    await stage.host.left.wait()


async def test_a_stopping_gateway_says_so_and_lets_nobody_in(stage: Stage) -> None:
    async with stage.http.ws_connect(f"{stage.url}/socket") as socket:
        await socket.send_str("here")
        await stage.host.heard.get()
        stage.gateway.end()
        message = await receive(socket)
        assert (message.type, message.data, message.extra) == (WSMsgType.CLOSE, 1001, "GATEWAY_STOPPING")
    assert await stage.status(f"{stage.url}/socket") == 503


async def test_only_pages_of_this_very_address_are_let_in(stage: Stage) -> None:
    socket, here = f"{stage.url}/socket", stage.url.partition("/view")[0]
    assert await stage.status(socket, Origin="https://shop.example") == 403
    assert await stage.status(socket, Origin="null") == 403
    assert await stage.status(socket, Origin=here.replace("http", "https")) == 403
    assert await stage.status(socket, Host="shop.example") == 403
    async with stage.http.ws_connect(socket, headers={"Origin": here}):
        pass


@pytest.mark.parametrize(("answered", "told"), [(404, 404), (429, 429), (500, 502)])
async def test_a_person_is_told_what_the_host_refused(answered: int, told: int, stage: Stage) -> None:
    stage.host.status = answered
    assert await stage.status(f"{stage.url}/socket") == told


async def test_no_host_is_asked_for_what_is_no_secret(stage: Stage) -> None:
    assert await stage.status(f"{stage.url[:-1]}~/socket") == 404
    assert await stage.status(stage.url.replace("/h/", "/other/") + "/socket") == 404


# --- one who takes what there is slowly ----------------------------------------------------------


class Slow:
    """A person who takes nothing until `takes`."""

    def __init__(self) -> None:
        self.takes = asyncio.Event()
        self.got: asyncio.Queue[bytes] = asyncio.Queue()

    async def send_frame(self, data: bytes, kind: WSMsgType) -> None:
        await self.takes.wait()
        self.got.put_nowait(data)

    async def receive(self) -> Any:
        await asyncio.Event().wait()

    async def close(self, **_: Any) -> None:
        pass


class Fast:
    """A host that says all that it has at once, and is through with it then."""

    def __init__(self, said: list[bytes]) -> None:
        self.through = asyncio.Event()
        self.ends = asyncio.Event()
        self._said = said

    async def receive(self) -> aiohttp.WSMessage:
        if not self._said:
            self.through.set()
            await self.ends.wait()
            return aiohttp.WSMessage(WSMsgType.CLOSED, None, None)
        await asyncio.sleep(0)
        said = self._said.pop(0)
        return aiohttp.WSMessage(WSMsgType.TEXT if said[:1] == b"{" else WSMsgType.BINARY, said, None)


async def test_one_who_takes_it_slowly_gets_the_newest_picture_and_what_is_said_of_it() -> None:
    def page(number: int) -> bytes:
        return json.dumps({"type": "page", "url": f"{number}"}).encode()

    refused = [json.dumps({"type": "refused", "problem": f"{number}"}).encode() for number in range(2)]
    said = [refused[0]]
    for number in range(2 * views.WORDS_AHEAD):
        said += [page(number), b"picture %d" % number]
    person, host = Slow(), Fast([*said, refused[1]])
    showing = views._Showing(cast("Any", person), cast("Any", host))
    running = asyncio.create_task(showing.run())
    async with asyncio.timeout(WAIT_S):
        await host.through.wait()
        person.takes.set()
        got = [await person.got.get() for _ in range(4)]
    last = 2 * views.WORDS_AHEAD - 1
    assert got == [refused[0], refused[1], page(last), b"picture %d" % last]
    host.ends.set()
    await running
