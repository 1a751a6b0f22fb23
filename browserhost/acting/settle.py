"""Whether a page has come to rest: nothing painted, nothing loading, nothing asked for."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from browserhost.acting.page import ActedPage
from tenure.cdp import Result

QUIET_S = 0.15
"""Without a sign of life for as long, and with nothing outstanding, a page is settled. A caret blinks
every 0.5 s."""
PATIENCE_S = 1.0
"""A request that takes longer is taken for one that is meant to: a long poll, a stream."""

# Each frame tells that something was painted; what is on it is of no interest.
_SCREENCAST = {"format": "jpeg", "quality": 1, "maxWidth": 16, "maxHeight": 16}
_AWAITED = frozenset({"Document", "Stylesheet", "Script", "XHR", "Fetch"})
_DONE = frozenset({"Network.loadingFinished", "Network.loadingFailed"})


class Settling:
    """Watches from `begin` on."""

    def __init__(self, page: ActedPage) -> None:
        self._page = page
        self._clock = asyncio.get_running_loop().time
        self._last = 0.0
        self._requests: dict[str, float] = {}
        self._loading: set[str] = set()
        self._changed = asyncio.Event()
        self._stop = page.client.listen(self._event)

    def begin(self) -> None:
        """Ask to be told, from the page's own process on: what comes after is seen."""
        self._page.call("Network.enable", maxTotalBufferSize=0, maxResourceBufferSize=0)
        self._page.call("Page.startScreencast", **_SCREENCAST)

    async def wait(self, cap_s: float) -> str:
        """Return `settled`, or `cap` after `cap_s` seconds without; `none` when that is 0."""
        if not cap_s:
            return "none"
        now = self._last = self._clock()
        cap = now + cap_s
        while now < cap:
            at = self._quiet_at(now)
            if at <= now:
                return "settled"
            self._changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(min(at, cap) - now):
                    await self._changed.wait()
            now = self._clock()
        return "cap"

    def _quiet_at(self, now: float) -> float:
        """When the page is settled, should nothing come meanwhile."""
        self._requests = {n: t for n, t in self._requests.items() if t + PATIENCE_S > now}
        if self._loading:
            return float("inf")
        return max(self._last + QUIET_S, *(t + PATIENCE_S for t in self._requests.values()), 0.0)

    def _event(self, method: str, params: Result, session: str) -> None:
        if session != self._page.session:
            return
        match method:
            case "Page.screencastFrame":
                self._page.call("Page.screencastFrameAck", sessionId=params["sessionId"])
            case "Page.frameStartedLoading":
                self._loading.add(params["frameId"])
            case "Page.frameStoppedLoading" | "Page.frameDetached":
                self._loading.discard(params["frameId"])
            case "Network.requestWillBeSent" if params.get("type") in _AWAITED:
                self._requests[params["requestId"]] = self._clock()
            case _ if method in _DONE and params["requestId"] in self._requests:
                del self._requests[params["requestId"]]
            case _:
                return
        self._last = self._clock()
        self._changed.set()
