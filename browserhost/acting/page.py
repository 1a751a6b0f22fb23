"""The page that Act acts on, asked over DevTools sessions of Act's own, which end with it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from browserhost.acting.plan import View, view_of
from browserhost.browser import Browser
from browserhost.mux import CdpMux, MuxClient
from browserhost.page import Page
from browserhost.picture import NoPicture
from browserhost.tasks import to_its_end
from tenure.cdp import CdpClient, CdpClosed, CdpError, Result
from tenure.errors import BrowserCrashed, InvalidField

ANSWER_S = 10.0
"""How long the page may take to answer: longer than a slow client may hold all others up."""
SHOWN_S = 1.0
"""How long a new document may take to be drawn."""
_WORLD = "tenure-act"
_VIEW = "[innerWidth, innerHeight, devicePixelRatio]"
# A page that has just been loaded is given the keyboard a moment later.
_KEYBOARD = """document.hasFocus() || new Promise(answer => {
    addEventListener("focus", () => answer(true), {once: true});
    setTimeout(() => answer(document.hasFocus()), 300);
})"""
# A Tab beyond the last element leaves the page with nothing focused, whatever a client lets it believe.
_FOCUSED = (
    "document.hasFocus() && ![null, document.body, document.documentElement].includes(document.activeElement)"
)


# What the page does about the next right button: it may keep the browser's menu from opening.
_LISTEN_FOR_MENU = """void (globalThis.kept = new Promise(answer => addEventListener("contextmenu",
    event => setTimeout(() => answer(event.defaultPrevented)), {capture: true, once: true})))"""
_KEPT = "Promise.race([globalThis.kept, new Promise(answer => setTimeout(answer, 250, null))])"
# Two frames on, what was sent to the page before has been done, and drawn. One that is not in view has none.
_THROUGH = """new Promise(answer => {
    let left = 2;
    const next = () => left-- ? requestAnimationFrame(next) : answer(0);
    next();
    setTimeout(answer, 200, 0);
})"""


class ActedPage:
    """Get it from `of`. Everything raises BrowserCrashed when the browser, or the page, does not answer."""

    def __init__(self, browser: Browser, client: CdpClient, page: Page) -> None:
        self.client = client
        self.page = page
        self.session = ""
        self._browser = browser
        self._world = 0

    @classmethod
    @asynccontextmanager
    async def of(cls, browser: Browser) -> AsyncIterator[ActedPage]:
        """The page in view, which pictures are taken of."""
        try:
            page = await browser.in_view()
            async with _client(browser.mux) as client:
                acted = cls(browser, client, page)
                target = {"targetId": page.target, "flatten": True}
                answer = await client.call("Target.attachToTarget", target, timeout=ANSWER_S)
                acted.session = answer["sessionId"]
                acted.call("Page.enable")
                # Its window would be over the page for good, and is no page's to be acted on.
                acted.call("Page.setInterceptFileChooserDialog", enabled=True, cancel=True)
                yield acted
        except (CdpError, CdpClosed, NoPicture) as error:
            raise _unusable(str(error)) from error
        except TimeoutError as error:
            raise _unusable(f"it did not answer within {ANSWER_S:g} s") from error

    def call(self, method: str, **params: Any) -> asyncio.Future[Result]:
        """A call on the page's session."""
        return self.client.post(method, params, self.session)

    async def view(self) -> View:
        """Where the viewport is now. Raises InvalidField when a DevTools client has put up another one."""
        await self._check_in_view()
        found = await self.client.call(
            "Browser.getWindowForTarget", {"targetId": self.page.target}, timeout=ANSWER_S
        )
        bounds = found["bounds"]
        width, height, scale = await self._ask(_VIEW)
        window = (bounds["left"], bounds["top"], bounds["width"], bounds["height"])
        view = view_of(window, (width, height), scale)
        if view is None:
            raise InvalidField(
                field="session",
                value=f"{width} x {height}",
                problem="is a viewport that a DevTools client has put up, and not the window's",
                remedy="take it down with Emulation.clearDeviceMetricsOverride",
            )
        return view

    async def has_keyboard(self) -> bool:
        """Whether keys go to the page, waiting a moment for one that is just coming up."""
        await self._check_in_view()
        return bool(await self._ask(_KEYBOARD))

    async def kept_keyboard(self) -> bool:
        """Whether keys still go to the page after one that may have led out of it."""
        # The browser hears of it from the page, and tells the page: twice there and back is enough.
        await self._ask(_FOCUSED)
        return bool(await self._ask(_FOCUSED))

    async def listen_for_menu(self) -> None:
        """Have `keeps_menu` say what becomes of the next right button that goes down."""
        await self._ask(_LISTEN_FOR_MENU)

    async def keeps_menu(self) -> bool:
        """Whether the page kept the browser's menu from opening; False when that is not known.

        A frame within it may have kept it too, unseen.
        """
        self._check_dialog()
        return await self._ask(_KEPT) is True

    async def through(self) -> None:
        """Return when the page has done what was sent to it, or a dialog keeps it. The caller bounds it."""
        if not self.page.dialog:
            await self._evaluate(_THROUGH)

    async def shown(self) -> None:
        """Return when the present document is drawn; a page that is too busy for it is not waited for."""
        with suppress(TimeoutError):
            async with asyncio.timeout(SHOWN_S):
                await self.through()

    async def _check_in_view(self) -> None:
        """Raises InvalidField when what is seen is another page, or a dialog."""
        self._check_dialog()
        if self.page.broken or await self._browser.in_view() is not self.page:
            raise InvalidField(
                field="session",
                value=self.page.url,
                problem="is a page that another one has come before, or that is gone",
                remedy="look at a new screenshot",
            )

    def _check_dialog(self) -> None:
        """Raises InvalidField while a dialog of the page's is open: it answers nothing then."""
        if self.page.dialog:
            raise InvalidField(
                field="session",
                value=self.page.dialog,
                problem="is a dialog that is open on the page",
                remedy="answer it through the DevTools address with Page.handleJavaScriptDialog",
            )

    async def _ask(self, expression: str) -> Any:
        """As `_evaluate`. Raises TimeoutError when the page does not answer."""
        async with asyncio.timeout(ANSWER_S):
            return await self._evaluate(expression)

    async def _evaluate(self, expression: str) -> Any:
        """Evaluate in a world of its own, where no page can have put other answers."""
        while True:
            if not self._world:
                world = {"frameId": self.page.target, "worldName": _WORLD}
                made = await self.client.post("Page.createIsolatedWorld", world, self.session)
                self._world = made["executionContextId"]
            wanted = {"expression": expression, "contextId": self._world, "returnByValue": True}
            try:
                answer = await self.client.post(
                    "Runtime.evaluate", {**wanted, "awaitPromise": True}, self.session
                )
            except CdpError:
                self._world = 0  # another document has come
                continue
            return answer["result"].get("value")


def _unusable(problem: str) -> BrowserCrashed:
    return BrowserCrashed(f"The page in view cannot be acted on: {problem}.", problem=problem)


@asynccontextmanager
async def _client(mux: CdpMux) -> AsyncIterator[CdpClient]:
    """One more client of the browser, which leaves with the block."""
    lost = CdpClosed("the browser ended")
    client = CdpClient(lambda text: mux.send(member, json.loads(text)))
    member: MuxClient = await mux.join(client.deliver, lambda reason: client.lost(CdpClosed(reason)))
    try:
        yield client
    finally:
        client.lost(lost)
        await to_its_end(mux.leave(member))
