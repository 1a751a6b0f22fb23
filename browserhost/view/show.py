"""What one browser shows, as it changes, for all who look at it. Nothing is asked of it while nobody does."""

from __future__ import annotations

import asyncio
import base64
from contextlib import suppress
from typing import Any

from browserhost.browser import Browser
from browserhost.page import Page
from browserhost.picture import NoPicture
from browserhost.view.viewer import Viewer
from tenure.cdp import CdpClosed, CdpError, Result

LOOK_S = 1.0
"""How often it is looked, at least, which page is in view and what is to be said of it."""
LONGEST = 2 << 10
"""Characters of an address, or of what a dialog asks, that are told."""
_CAST = {"format": "jpeg", "quality": 60, "maxWidth": 1280, "maxHeight": 800}
_FRAME = "Page.screencastFrame"
_DIALOG = "Page.javascriptDialogOpening"
_TELLING = frozenset(
    {
        "Page.frameNavigated",
        "Page.javascriptDialogClosed",
        "Page.javascriptDialogOpening",
        "Page.navigatedWithinDocument",
        "Page.screencastVisibilityChanged",
        "Target.attachedToTarget",
        "Target.detachedFromTarget",
    }
)
"""After these another page may be in view, or something else is to be said of it."""


class Show:
    """`join` and `leave`; both at once, so that a cut finds everybody who looks."""

    def __init__(self, browser: Browser) -> None:
        self.page: Page | None = None
        """The one that is shown."""
        self._browser = browser
        self._root = browser.mux.root
        self._viewers: set[Viewer] = set()
        self._showing: asyncio.Task[None] | None = None
        self._casting: Page | None = None
        """The page that draws, for those who want pictures."""
        self._changed = asyncio.Event()
        self._last: bytes | None = None
        self._facts: dict[str, Any] = {}
        self._size: tuple[float, float] = (0, 0)
        self._asks = ""
        self._owed: list[Result] = []

    @property
    def seen(self) -> bool:
        """Somebody looks."""
        return bool(self._viewers)

    def join(self, viewer: Viewer) -> None:
        """Have someone look, who sees at once what was shown last."""
        self._viewers.add(viewer)
        viewer.on_room = self._pay
        if self._facts:
            viewer.hear(self._facts)
        if self._last is not None:
            viewer.see(self._last)
        self._changed.set()
        if self._showing is None or self._showing.done():
            self._showing = asyncio.create_task(self._show(), name=f"view of browser {self._browser.pid}")

    async def leave(self, viewer: Viewer) -> None:
        """The last one who leaves ends it."""
        self._viewers.discard(viewer)
        self._changed.set()
        if not self._viewers and self._showing is not None:
            showing, self._showing = self._showing, None
            showing.cancel()
            await asyncio.gather(showing, return_exceptions=True)

    def tell(self, word: dict[str, Any]) -> None:
        """Say something to everybody who looks."""
        for viewer in tuple(self._viewers):
            viewer.hear(word)

    async def _show(self) -> None:
        stop = self._root.listen(self._event)
        try:
            while True:
                self._changed.clear()
                await self._look()
                self._say()
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_S):
                        await self._changed.wait()
        except CdpClosed:
            pass  # the browser ended: its session is cut, and with it everybody who looks
        finally:
            stop()
            self._stop()
            self.page, self._facts = None, {}

    async def _look(self) -> None:
        """Show the page that is in view."""
        try:
            page = await self._browser.in_view()
        except (NoPicture, CdpError):
            return
        self.page = page
        wanted = page if any(viewer.wants_pictures for viewer in self._viewers) else None
        if wanted is not self._casting:
            self._stop()
            self._casting = wanted
            if wanted is not None:
                self._root.post("Page.startScreencast", _CAST, wanted.session)

    def _stop(self) -> None:
        """Have nothing drawn."""
        page, self._casting, self._last = self._casting, None, None
        self._owed.clear()
        if page is not None:
            self._root.post("Page.stopScreencast", {}, page.session)

    def _event(self, method: str, params: Result, session: str) -> None:
        if method == _FRAME:
            if self._casting is not None and session == self._casting.session:
                self._drawn(params)
        elif method in _TELLING:
            if method == _DIALOG and self.page is not None and session == self.page.session:
                self._asks = str(params["message"])[:LONGEST]
            self._changed.set()

    def _drawn(self, params: Result) -> None:
        self._last = base64.b64decode(params["data"])
        metadata = params["metadata"]
        size = (metadata["deviceWidth"], metadata["deviceHeight"])
        if size != self._size:
            self._size = size
            self._say()
        for viewer in tuple(self._viewers):
            viewer.see(self._last)
        self._owed.append(params)
        self._pay()

    def _pay(self) -> None:
        """Have the browser draw on, once somebody has taken what it drew."""
        pictured = [viewer for viewer in self._viewers if viewer.wants_pictures]
        if pictured and all(viewer.busy for viewer in pictured):
            return
        owed, self._owed = self._owed, []
        for params in owed:
            if self._casting is not None:
                shown = {"sessionId": params["sessionId"]}
                self._root.post("Page.screencastFrameAck", shown, self._casting.session)

    def _say(self) -> None:
        """Tell what is shown, when it is another than before."""
        page = self.page
        if page is None:
            return
        width, height = self._size
        facts = {"type": "page", "url": page.url[:LONGEST], "width": width, "height": height}
        facts |= {"dialog": page.dialog, "message": self._asks if page.dialog else ""}
        if facts != self._facts:
            self._facts = facts
            self.tell(facts)
