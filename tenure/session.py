"""An open browser under a hold, as its worker works with it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from tenure.duration import to_duration, to_seconds
from tenure.files import SessionFiles
from tenure.hold import CALL_TIMEOUT_S, HeldProfile
from tenure.retry import call
from tenure.v1 import (
    hold_service_pb2_grpc,
    session_pb2,
    session_service_pb2,
    session_service_pb2_grpc,
)

if TYPE_CHECKING:
    from tenure.page import Page

# A hundred actions, some of which wait, and the settling after them.
ACT_TIMEOUT_S = 120.0


class Session(HeldProfile):
    """A real browser on the profile, fenced by the hold's token.

    Drive it with `cdp()`, or give `cdp_url` to Playwright or Puppeteer
    (`connect_over_cdp(session.cdp_url)`). When the hold ends, however it ends, the address
    is closed at once; the browser itself stays warm for the profile's next session.
    """

    def __init__(
        self,
        holds: hold_service_pb2_grpc.HoldServiceStub,
        sessions: session_service_pb2_grpc.SessionServiceStub,
        opened: session_service_pb2.OpenSessionResponse,
    ) -> None:
        restored = opened.checkpoint if opened.HasField("checkpoint") else None
        super().__init__(holds, opened.hold, restored)
        self.name = opened.session.name
        self.cdp_url = opened.session.cdp_url
        """WebSocket address with its secret in it: not to be logged."""
        self.gateway_cdp_url = opened.session.gateway_cdp_url
        """The same through the gateway, for clients that cannot reach the host."""
        self.reused_session = opened.reused_session
        """True when a live browser was used again, and no launch was paid."""
        self.prewarmed = opened.prewarmed
        self.timings: Mapping[str, float] = {
            timing.phase: to_seconds(timing.duration) for timing in opened.timings
        }
        """Seconds by phase: acquire, verify, inspect, launch, attach, reset, navigate, flush."""
        self._sessions = sessions
        self._clients = AsyncExitStack()

    async def cdp(self) -> Page:
        """Attach a DevTools client to the page in front. It is closed with the session."""
        # Here, because aiohttp costs most of what importing the client would.
        from tenure.page import Page

        return await self._clients.enter_async_context(Page.attach(self.cdp_url))

    async def act(
        self,
        *actions: session_pb2.Action,
        settle: float | None = None,
        settle_minimum: float | None = None,
        screenshot: session_service_pb2.ScreenshotOptions | None = None,
    ) -> session_service_pb2.ActResponse:
        """Do actions in order, through the browser's display; `settle` and `settle_minimum`: seconds to wait
        at most, and at least, until the page has come to rest after them.

        Never repeated: after OutcomeUnknown some may be done. Raises HoldLost, ProfileQuarantined,
        InvalidField, BrowserCrashed, Unavailable.
        """
        request = session_service_pb2.ActRequest(
            session=self.name,
            fencing_token=self.fencing_token,
            actions=actions,
            settle=None if settle is None else to_duration(settle, "settle"),
            settle_minimum=None if settle_minimum is None else to_duration(settle_minimum, "settle_minimum"),
            screenshot=screenshot,
        )
        return await call(self._sessions.Act, request, timeout=ACT_TIMEOUT_S)

    async def screenshot(
        self, options: session_service_pb2.ScreenshotOptions | None = None
    ) -> session_pb2.Screenshot:
        """Take a picture of the page in front, passwords masked. Raises as `act`."""
        request = session_service_pb2.CaptureScreenshotRequest(
            session=self.name, fencing_token=self.fencing_token, options=options
        )
        return (await call(self._sessions.CaptureScreenshot, request, timeout=CALL_TIMEOUT_S)).screenshot

    @property
    def files(self) -> SessionFiles:
        """What is given to its browser, and what that downloads; all of it is gone with the session."""
        return SessionFiles(self._sessions, self.name, self.fencing_token)

    async def issue_cdp_url(self, *, ttl: float = 60.0) -> session_service_pb2.IssueCdpUrlResponse:
        """Make a further DevTools address, for somebody else: at the host, through the gateway, and for tools
        that ask by HTTP first. It may be used to connect for `ttl` seconds, at most 3,600; who is connected
        by then stays until the session ends. Its secret is in it: not to be logged.

        Each call makes another one. Raises HoldLost, ProfileQuarantined, InvalidField, QuotaExceeded,
        BrowserCrashed, Unavailable.
        """
        request = session_service_pb2.IssueCdpUrlRequest(
            session=self.name, fencing_token=self.fencing_token, ttl=to_duration(ttl, "ttl")
        )
        return await call(self._sessions.IssueCdpUrl, request, timeout=CALL_TIMEOUT_S)

    async def view_url(self, *, control: bool = False, ttl: float = 60.0) -> str:
        """An address where a person sees the session in a browser of their own; with `control`, drives it
        too, under this session's hold. It has a secret in it, and may be used to connect for `ttl` seconds.
        """
        request = session_service_pb2.IssueViewUrlRequest(
            session=self.name, fencing_token=self.fencing_token, control=control, ttl=to_duration(ttl, "ttl")
        )
        return (await call(self._sessions.IssueViewUrl, request, timeout=CALL_TIMEOUT_S)).url

    async def disconnect(self) -> None:
        """Close the DevTools clients that `cdp` made. Idempotent; the session goes on."""
        await self._clients.aclose()
