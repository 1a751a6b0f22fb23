"""An open browser under a hold, as its worker works with it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from tenure.duration import to_seconds
from tenure.hold import HeldProfile
from tenure.v1 import hold_service_pb2_grpc, session_service_pb2

if TYPE_CHECKING:
    from tenure.page import Page


class Session(HeldProfile):
    """A real browser on the profile, fenced by the hold's token.

    Drive it with `cdp()`, or give `cdp_url` to Playwright or Puppeteer
    (`connect_over_cdp(session.cdp_url)`). When the hold ends, however it ends, the address
    is closed at once; the browser itself stays warm for the profile's next session.
    """

    def __init__(
        self,
        holds: hold_service_pb2_grpc.HoldServiceStub,
        opened: session_service_pb2.OpenSessionResponse,
    ) -> None:
        restored = opened.checkpoint if opened.HasField("checkpoint") else None
        super().__init__(holds, opened.hold, restored)
        self.name = opened.session.name
        self.cdp_url = opened.session.cdp_url
        """WebSocket address with its secret in it: not to be logged."""
        self.reused_session = opened.reused_session
        """True when a live browser was used again, and no launch was paid."""
        self.prewarmed = opened.prewarmed
        self.timings: Mapping[str, float] = {
            timing.phase: to_seconds(timing.duration) for timing in opened.timings
        }
        """Seconds by phase: acquire, verify, inspect, launch, attach, reset, navigate, flush."""
        self._clients = AsyncExitStack()

    async def cdp(self) -> Page:
        """Attach a DevTools client to the page in front. It is closed with the session."""
        # Here, because aiohttp costs most of what importing the client would.
        from tenure.page import Page

        return await self._clients.enter_async_context(Page.attach(self.cdp_url))

    async def disconnect(self) -> None:
        """Close the DevTools clients that `cdp` made. Idempotent; the session goes on."""
        await self._clients.aclose()
