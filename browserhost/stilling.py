"""Stops what a browser's pages do once the token they were driven under is cut, and does away with them.

No one thing of Chrome's is enough (seen on Chrome 156). With scripts off no timer, listener, socket or
frame of a page runs any more, nor what it would do on being closed; but a promise whose fetch was under
way goes on: offline it comes to nothing. Workers are not reached by either: see browserhost.workers. Frozen,
a page stops altogether, but a picture of it, or its coming into view again, thaws it; one that is told of
its freezing could act on that; and it counts as hidden after, so what is handed on is not frozen. All of
these outlast what clients did and none can be undone by one. A page that shows a dialog takes notice of
nothing; closing it would run what waited behind the dialog, so its renderer is ended first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from browserhost.page import Page
from browserhost.pages import Pages
from browserhost.workers import Workers
from tenure.cdp import CdpClient, CdpError, Result

STILL_S = 1.0
"""How long a page may take to take notice, before it counts as one that cannot."""

_SCRIPTS, _LIFE = "Emulation.setScriptExecutionDisabled", "Page.setWebLifecycleState"
_NETWORK = "Network.emulateNetworkConditions"
_RATES = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
_FOLLOW = {"autoAttach": True, "waitForDebuggerOnStart": False, "flatten": True}
_FRAMES: list[dict[str, Any]] = [{"type": "iframe"}, {"exclude": True}]
_FRAMES_AND_WORKERS = [{"type": "worker"}, *_FRAMES]


class Stilling:
    """One browser's. `still` when a token is cut, `wake` what is handed on, `end` what is not to stay."""

    def __init__(self, root: CdpClient, pages: Pages) -> None:
        self._root, self._pages = root, pages
        self._still = self._silent = False
        self.workers = Workers(root)
        pages.on_attached = self._attached

    def taint(self) -> None:
        """A client is about to do what may leave something in the pages that are there, or still to come."""
        self._pages.tainting = True
        for page in self._pages.all:
            page.tainted = True

    def stop_loading(self) -> None:
        """Give up what pages are navigating to: until it comes they take notice of nothing."""
        for page in self._pages.all:
            self._root.post("Page.stopLoading", {}, page.session)

    async def still(self, *, for_good: bool) -> None:
        """Return once the pages are still, or STILL_S have passed: see `Page.stuck`. Idempotent.

        Without `for_good` they can be woken with nothing lost. What opens meanwhile is stilled too, and
        so are the workers of no page where a client may have left something.
        """
        until = asyncio.get_running_loop().time() + STILL_S
        self._still, self._silent = True, self._silent or for_good
        waits = {page: self._post(page) for page in self._pages.all if not (page.broken or page.closing)}
        if self._pages.tainting:
            self.workers.stop(for_good=self._silent)
        await _all([each for page, asked in waits.items() if not page.dialog for each in asked], until)
        # Chrome has told of the pages' workers before it answered.
        for page, asked in waits.items():
            asked += self.workers.of({page.session, *page.frames})
        able = [each for page, asked in waits.items() if not page.dialog for each in asked]
        await _all([*able, *self.workers.going], until)
        for page, asked in waits.items():
            page.stuck = not all(each.done() for each in asked)

    def thawed(self) -> None:
        """A picture was taken, which thaws its page: freeze anew."""
        for page in self._pages.all:
            if page.frozen:
                self._root.post(_LIFE, {"state": "frozen"}, page.session)

    def over(self) -> None:
        """What opens from now on is live; what is there stays as it is."""
        self._still = self._silent = False
        self.workers.over()

    def wake(self, *pages: Page) -> None:
        """Let pages go on, before whatever is sent to them after. Idempotent."""
        self.over()
        self.workers.resume({session for page in pages for session in (page.session, *page.frames)})
        for page in pages:
            if page.still:
                for session in (page.session, *page.frames):
                    self._root.post(_SCRIPTS, {"value": False}, session)
                    self._root.post(_NETWORK, {"offline": False, **_RATES}, session)
                    self._root.post("Network.disable", {}, session)
                    self._follow(session, _FRAMES)
                page.still = False
            if page.frozen:
                self._root.post(_LIFE, {"state": "active"}, page.session)
                page.frozen = False
                # It counted as hidden, and would go on so until a tab before it was closed.
                before = self._root.post("Target.createTarget", {"url": "about:blank"})
                before.add_done_callback(self._close)

    async def end(self, page: Page) -> None:
        """Close a page so that nothing of it runs any more, not even what waits behind a dialog.

        Raises CdpClosed.
        """
        if page.dialog or page.stuck:
            for session in (*page.frames, page.session):
                self._root.post("Page.crash", {}, session)
        with suppress(CdpError):  # it is gone already
            await self._pages.close(page)

    def _post(self, page: Page) -> list[asyncio.Future[Result]]:
        page.still, asked = True, []
        for session in (page.session, *page.frames):
            if self._silent:
                asked.append(self._root.post(_SCRIPTS, {"value": True}, session))
                self._root.post("Network.enable", {}, session)
                asked.append(self._root.post(_NETWORK, {"offline": True, **_RATES}, session))
            asked.append(self._follow(session, _FRAMES_AND_WORKERS))
        if page.tainted or not self._silent:
            page.frozen = True
            asked.append(self._root.post(_LIFE, {"state": "frozen"}, page.session))
        return asked

    def _close(self, made: asyncio.Future[Result]) -> None:
        if not made.cancelled() and made.exception() is None:
            self._root.post("Target.closeTarget", {"targetId": made.result()["targetId"]})

    def _follow(self, session: str, kinds: list[dict[str, Any]]) -> asyncio.Future[Result]:
        return self._root.post("Target.setAutoAttach", {**_FOLLOW, "filter": kinds}, session)

    def _attached(self, page: Page) -> None:
        if self._still:
            self._post(page)


async def _all(answers: Sequence[asyncio.Future[Any]], until: float) -> None:
    """Return once they are all done, or it is `until` by the loop's clock."""
    if answers:
        await asyncio.wait(answers, timeout=max(0.0, until - asyncio.get_running_loop().time()))
