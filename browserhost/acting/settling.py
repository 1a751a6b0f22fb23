"""Waits until a page has come to rest: what its display and its browser tell, put together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Self

from browserhost.acting.page import ActedPage
from browserhost.acting.settle import Reason, Rest
from browserhost.hands_host import Hands
from tenure.cdp import CdpClosed, CdpError, Result
from tenure.errors import BrowserCrashed


class Settling:
    """Watches within `watching`. One wait."""

    def __init__(self, page: ActedPage, hands: Hands) -> None:
        self._page, self._hands = page, hands
        self._clock = asyncio.get_running_loop().time
        self._changed = asyncio.Event()
        self._rest = Rest(0)

    @asynccontextmanager
    async def watching(self, top: int) -> AsyncIterator[Self]:
        """Be told in the block. `top`: where on the display the page begins. Raises BrowserCrashed."""
        self._rest.top = top
        self._page.client.listen(self._event)
        self._page.call("Network.enable", maxTotalBufferSize=0, maxResourceBufferSize=0)
        self._hands.drawn = self._drawn
        try:
            await self._hands.do("watch")
            yield self
        finally:
            with suppress(BrowserCrashed):
                await self._hands.do("unwatch")

    async def wait(self, minimum_s: float, cap_s: float) -> Reason:
        """SETTLED, and not before `minimum_s` seconds; or CAP after `cap_s` seconds without."""
        through = asyncio.ensure_future(self._page.through())
        through.add_done_callback(self._heard)
        try:
            return await self._wait(minimum_s, cap_s)
        finally:
            through.cancel()
            with suppress(asyncio.CancelledError, CdpError, CdpClosed):
                await through

    async def _wait(self, minimum_s: float, cap_s: float) -> Reason:
        began = now = self._clock()
        earliest, cap = began + minimum_s, began + cap_s
        while True:
            at = self._rest.at(now, earliest)
            if at <= now:
                return Reason.SETTLED
            if now >= cap:
                return Reason.CAP
            self._changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(min(at, cap) - now):
                    await self._changed.wait()
            now = self._clock()

    def _heard(self, through: asyncio.Future[None]) -> None:
        if not through.cancelled():
            self._rest.hears(self._clock())
            self._changed.set()

    def _drawn(self, left: int, top: int, width: int, height: int) -> None:
        if self._rest.drawn(self._clock(), top, width, height):
            self._changed.set()

    def _event(self, method: str, params: Result, session: str) -> None:
        if session != self._page.session:
            return
        now, rest = self._clock(), self._rest
        match method:
            case "Page.frameStartedLoading":
                rest.loads(now, params["frameId"])
            case "Page.frameStoppedLoading" | "Page.frameDetached":
                rest.loaded(now, params["frameId"])
            case "Network.requestWillBeSent":
                rest.asked(now, params["requestId"], params.get("type", ""))
            case "Network.loadingFinished" | "Network.loadingFailed":
                rest.answered(now, params["requestId"])
            case "Page.javascriptDialogOpening":
                rest.hears(now)  # and it answers nothing until that is closed
            case _:
                return
        self._changed.set()
