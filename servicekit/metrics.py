"""What a service counts, for Prometheus: `GET /metrics` on an address of its own."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Self

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from pydantic import AfterValidator

from servicekit.server import BindError
from servicekit.settings import check_loopback

if TYPE_CHECKING:
    from aiohttp import web

_log = structlog.get_logger("metrics")


def _check(text: str) -> str:
    return check_loopback(text) if text else text


# "" turns it off.
MetricsAddress = Annotated[str, AfterValidator(_check)]


class MetricsServer:
    """Make it with `start`; `aclose` (or `async with`) stops it. A scrape runs on the event loop, so what
    the registry collects may look at anything there.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.address = ""
        self._registry = registry
        self._runner: web.AppRunner | None = None

    @classmethod
    async def start(cls, listen: str, registry: CollectorRegistry) -> Self:
        """Listen at `host:port`; port 0 takes a free one, and "" listens nowhere. Raises BindError."""
        server = cls(registry)
        if not listen:
            return server
        # Here, because a service without metrics need not import it.
        from aiohttp import web

        app = web.Application()
        app.router.add_get("/metrics", server._answer)
        server._runner = web.AppRunner(app, access_log=None)
        await server._runner.setup()
        host, _, port = listen.rpartition(":")
        try:
            await web.TCPSite(server._runner, host.strip("[]"), int(port)).start()
        except OSError as error:
            await server.aclose()
            raise BindError(listen, (error.strerror or str(error)).lower(), "metrics-listen") from error
        server.address = f"{host}:{server._runner.addresses[0][1]}"
        _log.info("metrics", address=f"http://{server.address}/metrics")
        return server

    async def aclose(self) -> None:
        """Stop. Idempotent."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _answer(self, request: web.Request) -> web.Response:
        from aiohttp import web

        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(self._registry), headers={"Content-Type": content_type})
