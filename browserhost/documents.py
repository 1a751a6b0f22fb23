"""What a browser's pages show: which documents came there, where each page stands, what is sent from it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from browserhost.frame_forms import FrameForms
from browserhost.navigating import BLANK, Navigating
from browserhost.page import Observer, Page
from tenure.cdp import CdpClient, Result


class Documents:
    """One browser's. `on_settled` is called when a page committed or loaded one; `observer` is told of each,
    once, and of forms.
    """

    def __init__(self, root: CdpClient) -> None:
        self.on_settled: Callable[[], None] = lambda: None
        self.observer: Observer | None = None
        self._root = root
        self._forms = FrameForms()
        self._asked: dict[Page, tuple[asyncio.Future[Result], bool]] = {}
        self._navigating = Navigating(root, self._tell)

    def follow(self, page: Page, *, news: bool = True) -> None:
        """Have Chrome tell of a page's documents, the present one included.

        That one is no `news` where another host followed the page before: the observer is not told of it.
        """
        self._root.post("Page.enable", {}, page.session)
        # The renderer may take notice only after the first commit: then this tells what was missed,
        # and enabling lifecycle events repeats those of the present document.
        tree = self._root.post("Page.getFrameTree", {}, page.session)
        self._asked[page] = tree, news
        tree.add_done_callback(lambda _: self._stands(page))
        self._root.post("Page.setLifecycleEventsEnabled", {"enabled": True}, page.session)

    async def navigate(self, page: Page, url: str) -> None:
        """Navigate a page and return when a document has landed, not merely been accepted.

        Raises NavigationFailed, CdpError, CdpClosed.
        """
        await self._navigating.navigate(page, url)

    def hear(self, method: str, page: Page, params: Result, *, framed: bool) -> None:
        """An event of a page's session; `framed`: of one on a frame that runs in a process of its own."""
        if page in self._asked:
            self._stands(page)
        handler = (_OF_FRAMES if framed else _OF_PAGES).get(method)
        if handler is not None:
            handler(self, page, params)

    def _stands(self, page: Page) -> None:
        """Take where Chrome said that a page stands, once it has: before what it told after that, of which
        much may come in one read, while a future calls back a turn of the loop later.
        """
        answer, news = self._asked.get(page, (None, True))
        if answer is None or not answer.done():
            return
        del self._asked[page]
        if answer.cancelled() or answer.exception() is not None:
            return
        tree = answer.result()["frameTree"]
        if not news:
            page.told.append(tree["frame"]["loaderId"])
        self._committed(page, tree)

    def _committed(self, page: Page, params: Result) -> None:
        frame = params["frame"]
        if "parentId" in frame:
            self._frame_committed(page, params)
            return
        if frame["loaderId"] not in page.told:
            self._landed(frame)
        page.url = frame["url"] + frame.get("urlFragment", "")
        page.failed = "unreachableUrl" in frame
        page.commits(frame["loaderId"])
        # An error page has an address of its own; what it stands for is what was gone to.
        self._note(page, frame["loaderId"], frame.get("unreachableUrl", page.url))
        self._settled(page)

    def _frame_committed(self, page: Page, params: Result) -> None:
        self._landed(params["frame"])

    def _moved_within(self, page: Page, params: Result) -> None:
        if params["frameId"] == page.target:
            page.url = params["url"]
            if self.observer is not None:
                self.observer.committed(page.url, own=False)

    def _lifecycle(self, page: Page, params: Result) -> None:
        if params["frameId"] != page.target:
            return
        if params["name"] == "commit":
            page.commits(params["loaderId"])
        elif params["name"] == "load" and page.is_at(params["loaderId"]):
            page.loaded = True
            self._settled(page)

    def _settled(self, page: Page) -> None:
        page.changed.set()
        self.on_settled()

    def _note(self, page: Page, loader: str, url: str) -> None:
        """Tell the observer of a document, once; of what the host asked for once it is known to be that."""
        if loader in page.told:
            return
        page.told.append(loader)
        if page.unsaid is not None:
            page.unsaid.append((loader, url))
        else:
            self._tell(page, loader, url)

    def _tell(self, page: Page, loader: str, url: str) -> None:
        own = loader == page.own
        if self.observer is not None and (own or url != BLANK):
            self.observer.committed(url, own=own)

    # --- forms ------------------------------------------------------------------------------

    def _asked_to_navigate(self, page: Page, params: Result) -> None:
        if params["reason"].startswith("formSubmission"):
            self._forms.submits(params["frameId"], params["url"])
            if self.observer is not None:
                self.observer.submits(params["frameId"])

    def _starts_to_navigate(self, page: Page, params: Result) -> None:
        self._forms.starts(params["frameId"], params["loaderId"], params["url"])

    def _landed(self, frame: Result) -> None:
        # Chrome's own error page answers no form: what was sent may have arrived all the same.
        if "unreachableUrl" in frame or not self._forms.lands(frame["id"], frame["loaderId"]):
            return
        if self.observer is not None:
            self.observer.landed(frame["id"])


_OF_FRAMES: dict[str, Callable[[Documents, Page, Any], None]] = {
    "Page.frameNavigated": Documents._frame_committed,  # noqa: SLF001 - the tables are the class's own
    "Page.frameRequestedNavigation": Documents._asked_to_navigate,  # noqa: SLF001
    "Page.frameStartedNavigating": Documents._starts_to_navigate,  # noqa: SLF001
}
_OF_PAGES: dict[str, Callable[[Documents, Page, Any], None]] = {
    **_OF_FRAMES,
    "Page.frameNavigated": Documents._committed,  # noqa: SLF001
    "Page.navigatedWithinDocument": Documents._moved_within,  # noqa: SLF001
    "Page.lifecycleEvent": Documents._lifecycle,  # noqa: SLF001
}
