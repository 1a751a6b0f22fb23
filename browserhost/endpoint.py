"""Where DevTools clients connect: `ws://127.0.0.1:PORT/cdp/SECRET`, one secret a session.

Every frame, both ways, passes the session's gate at the moment it would be passed on. When the
gate closes, or the session is cut, the socket is closed at once with a code and the reason's name.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from aiohttp import web

from browserhost.browser import Browser
from browserhost.client import Client, Issued

REST_S = 3.0
"""How long a page may take to come to what clients sent to it before they were cut."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What a session's client needs. `url` holds the secret: it is not to be logged."""

    url: str
    secret: str


class CdpEndpoint:
    """The server. Make it with `start`; `aclose` (or `async with`) cuts every client."""

    def __init__(self) -> None:
        self._issued: dict[str, Issued] = {}
        self._runner: web.AppRunner | None = None
        self.address = ""
        self._names: frozenset[str] = frozenset()

    @classmethod
    async def start(cls, host: str, port: int) -> Self:
        """Listen. Port 0 takes a free one. Raises OSError when the port is taken."""
        endpoint = cls()
        app = web.Application()
        app.router.add_get("/cdp/{secret}", endpoint._serve)
        runner = web.AppRunner(app, access_log=None)  # a log of its paths would be a log of secrets
        await runner.setup()
        endpoint._runner = runner
        try:
            await web.TCPSite(runner, host, port).start()
        except BaseException:
            await runner.cleanup()
            raise
        name, bound = runner.addresses[0][:2]
        endpoint.address = f"[{name}]:{bound}" if ":" in name else f"{name}:{bound}"
        endpoint._names = frozenset({endpoint.address, f"localhost:{bound}"})
        return endpoint

    def issue(
        self,
        browser: Browser,
        gate: Callable[[], None],
        on_end: Callable[[], None],
        on_call: Callable[[str], None],
    ) -> Grant:
        """Let clients in under a new secret, until it is cut.

        `gate` raises a TenureError when the session's token may act no more; it is asked for every
        frame, so it must only look at memory. `on_end` is called when a client asks for the
        browser's end: that ends its own connection, and what else it ends is the caller's to say.
        `on_call` hears the method of each call right before it is passed on; it must not block.
        """
        secret = secrets.token_urlsafe(32)
        self._issued[secret] = Issued(browser, gate, on_end, on_call)
        return Grant(f"ws://{self.address}/cdp/{secret}", secret)

    async def cut(self, secret: str, reason: str) -> None:
        """End a grant and close its sockets. When this returns Chrome executes nothing of theirs any more.

        Idempotent. From the call on, before anything is awaited, no frame passes either way.
        """
        issued = self._issued.pop(secret, None)
        if issued is None:
            return
        clients = tuple(issued.clients)
        for client in clients:
            client.close(reason)
        members = [client.member for client in clients if client.member is not None]
        with suppress(TimeoutError):  # a browser that does not answer is the next hand-over's to find out
            await asyncio.gather(*(issued.browser.mux.leave(member) for member in members))
            # Chrome let go of them, but what they sent to a page that is busy is in that page's queue.
            async with asyncio.timeout(REST_S):
                await issued.browser.come_to_rest()

    async def aclose(self) -> None:
        """Cut every grant and stop listening. Idempotent."""
        for secret in tuple(self._issued):
            await self.cut(secret, "SESSION_ENDED")
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if "Origin" in request.headers:
            # Only pages send one, and no page has business here, whatever secret it came by.
            raise web.HTTPForbidden(text="DevTools clients only.\n")
        if request.headers.get("Host", "").lower() not in self._names:
            # A name of a page's own that was made to lead here (DNS rebinding).
            raise web.HTTPForbidden(text=f"This is {self.address}, under no other name.\n")
        issued = self._issued.get(request.match_info["secret"])
        if issued is None:
            raise web.HTTPNotFound(text="There is no such session, or it has ended.\n")
        client = Client(issued)
        # Nothing is awaited between the look-up and this, so a cut finds either no grant or this client.
        issued.clients.add(client)
        try:
            return await client.run(request)
        finally:
            issued.clients.discard(client)
            if request.transport is not None:
                request.transport.abort()  # a client that never read on must not keep its buffers
