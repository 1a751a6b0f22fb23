"""Live view through the gateway: a page for people at `/view/{host}/{secret}`, and its socket below it.

The host's fence judges what is shown and done, as it does for DevTools clients; here only pages of this
very address are let in, and whoever takes pictures slowly gets the newest one and none of those before,
and so with what is said of the page.
Nothing of a secret is written anywhere.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import WSCloseCode, WSMsgType, web

from gateway.backends import Backends
from gateway.reach import CLOSE_S, NEVER_SENT, Upstream, connect, reach, refuse_elsewhere
from tenure.errors import HostUnreachable

LARGEST = 8 << 20
"""Bytes of a picture."""
LONGEST = 128 << 10
"""Bytes of what a person says at once: more than the host takes, which tells the person so."""
WORDS_AHEAD = 1000
"""How many words may wait for one who takes none."""
_PAGE = Path(__file__).with_name("view.html")
_SCRIPT = Path(__file__).with_name("view.js")
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; "
    "img-src blob: data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def view_url(address: str, host: str, secret: str) -> str:
    """Where a person sees it, at the gateway's HTTP `address`. It has the secret in it."""
    return f"http://{address}/view/{host.removeprefix('hosts/')}/{secret}"


class Views:
    """Serves the routes, until `end`."""

    def __init__(self, backends: Backends, http: aiohttp.ClientSession) -> None:
        self._backends, self._http = backends, http
        self._showings: set[_Showing] = set()
        self._stopping = False

    def routes(self) -> list[web.RouteDef]:
        """What an HTTP server is to serve of this."""
        return [
            web.get("/view.js", self._script),
            web.get("/view/{host}/{secret}", self._page),
            web.get("/view/{host}/{secret}/{what:socket|words}", self._socket),
        ]

    def end(self) -> None:
        """Have every socket closed as GATEWAY_STOPPING, and let no more in. Idempotent."""
        self._stopping = True
        for showing in self._showings:
            showing.end("GATEWAY_STOPPING")

    async def _page(self, request: web.Request) -> web.Response:
        refuse_elsewhere(request)
        text = await asyncio.to_thread(_PAGE.read_text)
        return web.Response(text=text, content_type="text/html", headers=_HEADERS)

    async def _script(self, request: web.Request) -> web.Response:
        refuse_elsewhere(request)
        text = await asyncio.to_thread(_SCRIPT.read_text)
        return web.Response(text=text, content_type="text/javascript", headers=_HEADERS)

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        refuse_elsewhere(request)
        origin = request.headers.get("Origin")
        if origin is not None and origin != f"http://{request.host}":
            raise web.HTTPForbidden(text="Not for pages of other sites.\n")
        host, secret = request.match_info["host"], request.match_info["secret"]
        below = "/words" if request.match_info["what"] == "words" else ""
        async with reach(self._backends, host, secret) as address:
            upstream = await connect(self._http, f"ws://{address}/view/{secret}{below}", LARGEST)
        person = web.WebSocketResponse(
            max_msg_size=LONGEST, compress=False, timeout=CLOSE_S, autoclose=False, decode_text=False
        )
        showing = _Showing(person, upstream)
        try:
            if self._stopping:
                raise web.HTTPServiceUnavailable(text="The gateway is stopping.\n")
            await person.prepare(request)
            self._showings.add(showing)
            await showing.run()
        finally:
            self._showings.discard(showing)
            await upstream.close()
            if person.prepared and request.transport is not None:
                request.transport.abort()
        return person


class _Showing:
    """One person's socket and the host's."""

    def __init__(self, person: web.WebSocketResponse, host: Upstream) -> None:
        self._person, self._host = person, host
        self._words: deque[bytes] = deque()
        self._page: bytes | None = None
        """What is to be said of the page that is shown."""
        self._picture: bytes | None = None
        self._arrived = asyncio.Event()
        self._ending: tuple[int, str] = (WSCloseCode.GOING_AWAY, "")
        self._over = asyncio.Event()

    def end(self, reason: str) -> None:
        """Have it end as going away."""
        self._ending = (WSCloseCode.GOING_AWAY, reason)
        self._over.set()

    async def run(self) -> None:
        """Pass on until either side ends; the person is told with which code and reason the host did."""
        passing = (self._from_person(), self._from_host(), self._to_person(), self._over.wait())
        tasks: list[asyncio.Task[Any]] = [asyncio.create_task(each) for each in passing]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            code, reason = self._ending
            with suppress(ConnectionError, TimeoutError):
                async with asyncio.timeout(CLOSE_S):
                    await self._person.close(code=code, message=reason.encode()[:123])

    async def _from_person(self) -> None:
        with suppress(ConnectionError):
            while (message := await self._person.receive()).type is WSMsgType.TEXT:
                # Waits while the host takes no more; nothing is read of the person either then.
                await self._host.send_frame(message.data, message.type)

    async def _from_host(self) -> None:
        while (message := await self._host.receive()).type in (WSMsgType.TEXT, WSMsgType.BINARY):
            if message.type is WSMsgType.BINARY:
                self._picture = message.data
            elif json.loads(message.data)["type"] == "page":
                self._page = message.data
            elif len(self._words) < WORDS_AHEAD:
                self._words.append(message.data)
            self._arrived.set()
        code, reason = WSCloseCode.BAD_GATEWAY, HostUnreachable.reason
        if message.type is WSMsgType.CLOSE:
            code, reason = message.data or WSCloseCode.OK, str(message.extra or "")
        self._ending = (WSCloseCode.GOING_AWAY if code in NEVER_SENT else code, reason)

    async def _to_person(self) -> None:
        with suppress(ConnectionError):
            while await self._arrived.wait():
                self._arrived.clear()
                while self._words:
                    await self._person.send_frame(self._words.popleft(), WSMsgType.TEXT)
                if self._page is not None:
                    page, self._page = self._page, None
                    await self._person.send_frame(page, WSMsgType.TEXT)
                if self._picture is not None:
                    picture, self._picture = self._picture, None
                    await self._person.send_frame(picture, WSMsgType.BINARY)
