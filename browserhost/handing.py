"""Hands a browser to a session: what the one before left behind goes, then its page is opened."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from browserhost.egress.forwarder import Forwarder
from browserhost.navigating import BLANK
from browserhost.page import Page
from browserhost.pages import Pages
from browserhost.stilling import Stilling
from tenure.cdp import CdpClient, CdpError, Result
from tenure.errors import NavigationFailed, ProxyDown

WARM_URL = "http://warm.invalid/"
"""No such host: the forwarder has no address for it. An upstream is asked for it, and says what it likes."""
_AS_A_PAGE = {"disableCache": False, "includeCredentials": True}
# The second is drawn once the first was shown.
_TWO_FRAMES = "new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(() => drawn())))"
ANSWER_S = 3.0
"""How long a warm browser may take to prove that it answers."""
DEPARTURE_S = 1.0
"""How long tabs that were told to go are waited for."""


@dataclass(frozen=True, slots=True)
class _Look:
    """What Chrome was asked, or said, of a browser that nobody has: whether there is anything to clean up.

    `turn` is the browser's then, `at` when it was asked (seconds, monotonic).
    """

    front: Page
    turn: int
    at: float
    renderer: asyncio.Future[Result]
    contexts: asyncio.Future[Result]
    window: asyncio.Future[Result]

    def is_clean(self, bounds: Result) -> bool:
        """Whether all was answered, and there was nothing that a client had left but what needs no look."""
        answers = (self.renderer, self.contexts, self.window)
        if not all(each.done() and not each.cancelled() and each.exception() is None for each in answers):
            return False
        others: list[str] = self.contexts.result()["browserContextIds"]
        return not others and bool(self.window.result()["bounds"] == bounds)


class Handing:
    """One browser's. Everything may raise CdpError, CdpClosed, TimeoutError: then it is unusable."""

    def __init__(
        self,
        root: CdpClient,
        pages: Pages,
        stilling: Stilling,
        forwarder: Forwarder,
        keep_downloads: Callable[[], None],
        *,
        in_tab: bool = True,
        ahead: bool = True,
    ) -> None:
        self._root, self._pages, self._stilling, self._forwarder = root, pages, stilling, forwarder
        self.keep_downloads = keep_downloads
        self._in_tab, self._ahead = in_tab, ahead
        self._turn = 0
        self._look: _Look | None = None
        self._window: asyncio.Future[Result] = asyncio.get_running_loop().create_future()

    def begin(self, first: Page) -> None:
        """Take notice of how a new browser's window stands. Once, with its first page."""
        self._window = self._root.post("Browser.getWindowForTarget", {"targetId": first.target})

    @property
    def window(self) -> asyncio.Future[Result]:
        """Resolves with how the first window stood."""
        return self._window

    def resume(self, window: Result | None) -> None:
        """As `begin`, of a browser that another host began. Where that had not seen it, it stays as it is."""
        if window is not None:
            self._window.set_result(window)

    async def open(self, url: str) -> dict[str, float]:
        """Navigate the front tab and return once the document landed, with the seconds it took."""
        began = time.monotonic()
        self._turn += 1
        await self._navigate(await self._front(), url)
        return {"navigate": time.monotonic() - began}

    def look(self) -> None:
        """Ask Chrome how things stand, for a hand-over that may come at once. Changes nothing.

        So the answers are there by the time that the next token is proven. The caller sees to it that
        nobody is in session; whatever becomes of the browser after makes the look void.
        """
        front = self._pages.front
        if not self._ahead or front is None or not self._is_alone(front):
            return
        post = self._root.post
        self._look = _Look(
            front,
            self._turn,
            time.monotonic(),
            post("Runtime.evaluate", {"expression": "0"}, front.session),
            post("Target.getBrowserContexts"),
            post("Browser.getWindowForTarget", {"targetId": front.target}),
        )

    async def hand_over(self, url: str) -> dict[str, float]:
        """Clean up after clients that were all told to leave, then navigate; the seconds of each.

        Nothing is asked of the site before the tab is known to be fit: a start URL may work only once.
        """
        began = time.monotonic()
        front = self._seen_clean()
        if front is not None:
            self._tidy(front)
        else:
            front = await self._clean(await self._fit_front())
        cleaned = time.monotonic()
        await self._navigate(front, url)
        # A client takes the oldest tab that it finds for the session's: none that is going may be among them.
        with suppress(TimeoutError):
            async with asyncio.timeout(DEPARTURE_S):
                await self._pages.departures()
        return {"reset": cleaned - began, "navigate": time.monotonic() - cleaned}

    async def _navigate(self, page: Page, url: str) -> None:
        """As Pages.navigate; a failure has the forwarder's word on it, and is ProxyDown if the proxy's."""
        began = time.monotonic()
        try:
            await self._pages.documents.navigate(page, url)
        except NavigationFailed as failed:
            host = urlsplit(url).hostname or ""
            if down := self._forwarder.down_since(began, host):
                raise ProxyDown(proxy_key=self._forwarder.key, problem=down) from failed
            if said := self._forwarder.failed_since(began, host):
                failed.error = f"{failed.error} ({said})"
            raise

    async def _front(self) -> Page:
        return self._pages.front or await self._pages.open_tab()

    async def warm_up(self) -> None:
        """Return once what a first navigation needs is there: the network's process has asked for an address
        that nobody serves, through the forwarder, and the window has been drawn.

        No other page is opened for it: the renderer that Chrome keeps ready would go to that one, and the
        session's would have to be started.
        """
        front = await self._front()
        wish = {"frameId": front.target, "url": WARM_URL, "options": _AS_A_PAGE}
        async with asyncio.timeout(ANSWER_S):
            asked = self._root.post("Network.loadNetworkResource", wish, front.session)
            await self._root.post(
                "Runtime.evaluate", {"expression": _TWO_FRAMES, "awaitPromise": True}, front.session
            )
            await asked

    async def prepare(self) -> None:
        """After a session: what a client may have left something in goes, and a fresh tab waits instead.

        So the next hand-over has little to do. Changes nothing where nothing is tainted.
        """
        self._turn += 1
        if not all(map(self._is_fit, self._pages.all)):
            front = await self._fit_front()
            async with asyncio.timeout(ANSWER_S):
                await asyncio.gather(*self._end_others(front))

    def _seen_clean(self) -> Page | None:
        """The tab to go on with where a look, just now, has shown that there is nothing to wait for."""
        look, self._look = self._look, None
        turn, self._turn = self._turn, self._turn + 1
        if look is None or look.turn != turn or time.monotonic() - look.at > ANSWER_S:
            return None
        if not self._window.done() or self._window.exception() is not None or not self._is_alone(look.front):
            return None
        return look.front if look.is_clean(self._window.result()["bounds"]) else None

    def _is_alone(self, front: Page) -> bool:
        """Whether a page is the only one, and fit to be handed on, and no client left anything anywhere."""
        nothing_left = not (self._pages.tainting or self._pages.arriving or self._stilling.workers.going)
        return self._pages.all == [front] and nothing_left and self._is_fit(front)

    async def _fit_front(self) -> Page:
        """The tab that the next session is handed: the front one where nothing was left in it."""
        workers = self._stilling.workers
        if self._pages.tainting:
            workers.stop(for_good=True)
        async with asyncio.timeout(ANSWER_S):
            await workers.departures()
        self._pages.tainting = False
        front = self._pages.front
        if front is not None and self._is_fit(front):
            return front
        self._stilling.over()
        return await self._pages.open_tab()

    def _is_fit(self, page: Page) -> bool:
        """Whether nothing is left in it, or it is one that nobody used where each session has its own."""
        if page.tainted or page.dialog or page.stuck or page.broken:
            return False
        return self._in_tab or page.url == BLANK

    async def _clean(self, front: Page) -> Page:
        """What hand_over does before it navigates, in one round trip where all is well.

        Answers the page to go on with: another where that one's renderer proves to hang.
        """
        root, pages = self._root, self._pages
        self._tidy(front)
        renderer = root.post("Runtime.evaluate", {"expression": "0"}, front.session)
        contexts = root.post("Target.getBrowserContexts")
        waits = self._end_others(front)
        window = root.post("Browser.getWindowForTarget", {"targetId": front.target})
        async with asyncio.timeout(ANSWER_S):
            await asyncio.gather(*waits)
            for other in (await contexts)["browserContextIds"]:
                root.post("Target.disposeBrowserContext", {"browserContextId": other})
            # What a client opened last may only now be told of.
            await pages.arrivals()
            await asyncio.gather(*self._end_others(front))
        try:
            async with asyncio.timeout(ANSWER_S):
                await renderer
                await self._restore_window(await window)
        except (TimeoutError, CdpError):
            return await self._replace(front)
        return front

    def _tidy(self, front: Page) -> None:
        """Undo what it takes no look to undo, before whatever is sent after."""
        self._stilling.wake(front)
        self._root.post("Browser.resetPermissions")
        self.keep_downloads()
        self._pages.end_downloads()

    def _end_others(self, front: Page) -> list[asyncio.Future[None]]:
        """End every page that is there but the one."""
        others = [page for page in self._pages.all if page is not front and not page.closing]
        return [asyncio.ensure_future(self._stilling.end(page)) for page in others]

    async def _restore_window(self, found: Result) -> None:
        """Give a window that a client moved or minimised its place and size again."""
        before = (await asyncio.shield(self._window))["bounds"]
        if found["bounds"] != before:
            size = {name: before[name] for name in ("left", "top", "width", "height")}
            for wish in ({"windowState": "normal"}, size):  # the protocol wants them apart
                bounds = {"windowId": found["windowId"], "bounds": wish}
                await self._root.post("Browser.setWindowBounds", bounds)

    async def _replace(self, front: Page) -> Page:
        """Leave a tab whose renderer hangs or crashed for a new one."""
        fresh = await self._pages.open_tab()
        front.stuck = True
        await self._stilling.end(front)
        return fresh
