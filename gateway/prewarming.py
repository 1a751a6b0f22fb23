"""Has a free profile's host launch its browser ahead: on request, or once a session was closed."""

from __future__ import annotations

import asyncio

import structlog

from gateway.backends import Backends, repeatable
from servicekit import call
from tenure.errors import NotFound, TenureError
from tenure.internal.v1.browser_host_service_pb2 import PrewarmBrowserRequest, PrewarmBrowserResponse
from tenure.names import ProfileName

AFTER_S = 60.0
"""How long a launch may take that was asked for with the end of a session."""

_log = structlog.get_logger("prewarming")


class Prewarming:
    """What is asked for with a session's end is a hint: it is lost when the gateway ends."""

    def __init__(self, backends: Backends) -> None:
        self._backends = backends
        self._after: set[asyncio.Task[None]] = set()

    async def prewarm(self, profile: ProfileName, proxy_key: str) -> PrewarmBrowserResponse:
        """Launch, or find it warm. Idempotent. Raises what the public Prewarm documents."""
        located = await self._backends.locate(profile)
        if not located.home:
            raise NotFound(name=str(profile))
        request = PrewarmBrowserRequest(
            profile=str(profile), proxy_key=proxy_key, config_generation=located.config_generation
        )
        if located.HasField("config"):
            request.config.CopyFrom(located.config)
        host = self._backends.host_among(located.hosts, located.home)
        with repeatable(located.home):
            return await self._backends.invoke(host.PrewarmBrowser, request)

    def after(self, profile: ProfileName, proxy_key: str) -> None:
        """The same for a profile that was just released, behind the answer to that. Does not raise."""
        task = asyncio.create_task(self._try(profile, proxy_key), name=f"prewarm {profile}")
        self._after.add(task)
        task.add_done_callback(self._after.discard)

    async def _try(self, profile: ProfileName, proxy_key: str) -> None:
        call.limit(AFTER_S)
        try:
            await self.prewarm(profile, proxy_key)
        except TenureError as error:
            _log.info("not prewarmed", profile=str(profile), why=str(error))
