"""The gateway's HTTP side: DevTools WebSockets, live view, and health for who speaks no gRPC."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp import web

from gateway.backends import Backends
from gateway.relay import Relay
from gateway.views import Views
from servicekit.server import BindError

_HEADS = 32 << 10
"""Bytes of a request's first line, and of each header."""


class HttpServer:
    """Make it with `start`; `aclose` (or `async with`) ends every socket and stops listening.

    `away` tells what keeps the gateway from serving, and why; empty while it serves.
    """

    def __init__(self, relay: Relay, views: Views, client: aiohttp.ClientSession) -> None:
        self.address = ""
        self._relay, self._views = relay, views
        self._client = client
        self._runner: web.AppRunner | None = None

    @classmethod
    async def start(
        cls, listen: str, backends: Backends, away: Callable[[], Mapping[str, str]], *, resume_s: float
    ) -> Self:
        """Listen at `host:port`; port 0 takes a free one. `resume_s` as Relay has it. Raises BindError."""

        async def healthz(request: web.Request) -> web.Response:
            problems = [f"{name}: {why}" for name, why in sorted(away().items())]
            return web.Response(status=503 if problems else 200, text="\n".join(problems or ["ok"]) + "\n")

        client = aiohttp.ClientSession()
        relay = Relay(backends, client, resume_s)
        views = Views(backends, client)
        server = cls(relay, views, client)
        app = web.Application()
        app.add_routes(relay.routes())
        app.router.add_get("/healthz", healthz)
        app.add_routes(views.routes())
        # A log of its paths would be a log of secrets.
        runner = web.AppRunner(app, access_log=None, max_line_size=_HEADS, max_field_size=_HEADS)
        server._runner = runner
        await runner.setup()
        host, _, port = listen.rpartition(":")
        try:
            await web.TCPSite(runner, host.strip("[]"), int(port)).start()
        except OSError as error:
            await server.aclose()
            raise BindError(listen, (error.strerror or str(error)).lower(), "http-listen") from error
        except BaseException:
            await server.aclose()
            raise
        server.address = f"{host}:{runner.addresses[0][1]}"
        return server

    async def aclose(self) -> None:
        """Tell every client, then stop. Idempotent."""
        self._relay.end()
        self._views.end()
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()
        await self._client.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
