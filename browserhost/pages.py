"""A browser's pages as the host sees them: which there are, where they stand, what was loaded.

The host keeps a session of its own on every page, also on those that clients open, so that it
learns of each navigation and can flush cookies after it whatever a client does or leaves undone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urldefrag

from tenure.cdp import CdpClient, Result
from tenure.errors import NavigationFailed

COMMIT_S = 30.0
"""How long a page may take to answer."""
LOAD_S = 10.0
"""How long it may then go on loading before it counts as landed all the same."""

_NEW_TAB_S = 10.0
_ONLY_PAGES = [{"type": "page"}, {"exclude": True}]


@dataclass(eq=False, slots=True)
class Page:
    """One tab or window."""

    target: str
    session: str
    context: str
    url: str
    dialog: str = ""
    """The kind of the dialog that is open: alert, confirm, prompt, beforeunload; "" when none is."""
    loaders: deque[str] = field(default_factory=lambda: deque(maxlen=16))
    """Documents committed in the main frame, the present one last."""
    loaded: bool = False
    failed: bool = False
    """The present document is Chrome's own error page."""
    leaving: bool = False
    """The host navigates or closes it: a page that asks whether to stay is not heard."""
    broken: bool = False
    """Its renderer crashed, or the tab is gone."""
    closing: bool = False
    """It is about to go; Chrome takes up to 0.2 s for that after it has said yes."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def is_at(self, loader: str) -> bool:
        """Whether that document is the present one."""
        return bool(self.loaders) and self.loaders[-1] == loader

    def commits(self, loader: str) -> None:
        """Take notice of a document, of which Chrome tells in more than one way."""
        self.broken = False
        if not self.is_at(loader):
            self.loaders.append(loader)
            self.loaded = False

    def landed(self, loader: str) -> bool:
        """Whether that document, or one it led to, has been loaded."""
        return loader in self.loaders and self.loaded


class Pages:
    """Follows the pages through the host's client. `on_settled` is called when one committed or loaded.

    `first` resolves with the page that Chrome starts with.
    """

    def __init__(self, root: CdpClient, on_settled: Callable[[], None]) -> None:
        self._root, self._on_settled = root, on_settled
        self._by_session: dict[str, Page] = {}
        self._downloads: set[str] = set()
        self._arrived = asyncio.Event()
        self.first: asyncio.Future[Page] = asyncio.get_running_loop().create_future()
        root.listen(self._event)

    def follow(self) -> asyncio.Future[Result]:
        """Begin, once a browser. Chrome may not even have started: the pipe keeps the call for it."""
        # Not setAutoAttach: with that on the whole browser a page's window.open() waits, on Chrome 156,
        # until somebody sends Runtime.runIfWaitingForDebugger, and that may come too early for a client.
        return self._root.post("Target.setDiscoverTargets", {"discover": True, "filter": _ONLY_PAGES})

    @property
    def all(self) -> list[Page]:
        """Every page that is there."""
        return list(self._by_session.values())

    @property
    def own(self) -> list[Page]:
        """Those that show the profile, the oldest first; a client's incognito contexts are none of them."""
        context = self.first.result().context
        return [page for page in self._by_session.values() if page.context == context and not page.closing]

    @property
    def front(self) -> Page | None:
        """The tab that sessions are handed; the oldest there is. None when a client closed them all."""
        return next(iter(self.own), None)

    @property
    def others(self) -> list[Page]:
        """Every page but the front one, in whatever context."""
        front = self.front
        return [page for page in self._by_session.values() if page is not front and not page.closing]

    async def open_tab(self) -> Page:
        """Open an empty tab. Raises CdpError, CdpClosed, TimeoutError."""
        async with asyncio.timeout(_NEW_TAB_S):
            made = await self._root.post("Target.createTarget", {"url": "about:blank"})
            while True:
                for page in self._by_session.values():
                    if page.target == made["targetId"]:
                        return page
                self._arrived.clear()
                await self._arrived.wait()

    async def close(self, page: Page) -> None:
        """Close a tab, without asking it. Raises CdpError when it is gone already."""
        page.leaving = page.closing = True
        await self._root.call("Target.closeTarget", {"targetId": page.target})

    def end_dialog(self, page: Page) -> None:
        """Dismiss the dialog that is open on a page, if one is; before whatever is sent after."""
        if page.dialog:
            self._answer_dialog(page, accept=page.dialog == "beforeunload")

    def end_downloads(self) -> list[asyncio.Future[Result]]:
        """Cancel what is still downloading."""
        guids, self._downloads = self._downloads, set()
        return [self._root.post("Browser.cancelDownload", {"guid": guid}) for guid in guids]

    async def navigate(self, page: Page, url: str) -> None:
        """Navigate a page and return when a document has landed, not merely been accepted.

        Raises NavigationFailed, CdpError, CdpClosed.
        """
        page.leaving = True
        try:
            async with asyncio.timeout(COMMIT_S):
                loader = await self._start(page, url)
                while loader not in page.loaders:
                    await _change(page, url)
            with suppress(TimeoutError):
                async with asyncio.timeout(LOAD_S):
                    while not page.landed(loader):
                        await _change(page, url)
        except TimeoutError:
            raise NavigationFailed(url=url, error=f"no answer within {COMMIT_S:g} s") from None
        finally:
            page.leaving = False
        if page.failed:
            raise NavigationFailed(url=url, error="it led to an address that did not load")

    async def _start(self, page: Page, url: str) -> str:
        if "#" in url and urldefrag(url).url == urldefrag(page.url).url:
            # Chrome would only scroll, and leave the last run's document in place.
            await self._start(page, "about:blank")
        answer = await self._root.call("Page.navigate", {"url": url}, page.session, timeout=COMMIT_S)
        if "errorText" in answer:
            raise NavigationFailed(url=url, error=answer["errorText"])
        return str(answer["loaderId"])

    def _event(self, method: str, params: Result, session: str) -> None:
        if not session:
            handler = _ON_BROWSER.get(method)
            if handler is not None:
                handler(self, params)
            return
        page = self._by_session.get(session)
        on_page = _ON_PAGE.get(method)
        if page is not None and on_page is not None:
            on_page(self, page, params)

    def _created(self, params: Result) -> None:
        target = params["targetInfo"]["targetId"]
        self._root.post("Target.attachToTarget", {"targetId": target, "flatten": True})

    def _attached(self, params: Result) -> None:
        info = params["targetInfo"]
        if info["type"] != "page":
            return  # a client's own session on the browser
        page = Page(info["targetId"], params["sessionId"], info.get("browserContextId", ""), info["url"])
        self._by_session[page.session] = page
        self._root.post("Page.enable", {}, page.session)
        # The renderer may take notice only after the first commit: then this tells what was missed,
        # and enabling lifecycle events repeats those of the present document.
        tree = self._root.post("Page.getFrameTree", {}, page.session)
        tree.add_done_callback(lambda answer: self._stands(page, answer))
        self._root.post("Page.setLifecycleEventsEnabled", {"enabled": True}, page.session)
        self._arrived.set()
        if not self.first.done():
            self.first.set_result(page)

    def _detached(self, params: Result) -> None:
        page = self._by_session.pop(params["sessionId"], None)
        if page is not None:
            self._breaks(page)

    def _crashed(self, params: Result) -> None:
        for page in self._by_session.values():
            if page.target == params["targetId"]:
                self._breaks(page)

    def _breaks(self, page: Page) -> None:
        page.broken = True
        page.changed.set()

    def _download_begins(self, params: Result) -> None:
        self._downloads.add(params["guid"])

    def _download_goes_on(self, params: Result) -> None:
        if params["state"] != "inProgress":
            self._downloads.discard(params["guid"])

    def _stands(self, page: Page, answer: asyncio.Future[Result]) -> None:
        if not answer.cancelled() and answer.exception() is None:
            self._committed(page, answer.result()["frameTree"])

    def _committed(self, page: Page, params: Result) -> None:
        frame = params["frame"]
        if "parentId" not in frame:
            page.url = frame["url"] + frame.get("urlFragment", "")
            page.failed = "unreachableUrl" in frame
            page.commits(frame["loaderId"])
            self._settled(page)

    def _moved_within(self, page: Page, params: Result) -> None:
        if params["frameId"] == page.target:
            page.url = params["url"]

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
        self._on_settled()

    def _dialog_opens(self, page: Page, params: Result) -> None:
        page.dialog = params["type"]
        if page.leaving:
            self._answer_dialog(page, accept=page.dialog == "beforeunload")

    def _dialog_closes(self, page: Page, params: Result) -> None:
        page.dialog = ""

    def _answer_dialog(self, page: Page, *, accept: bool) -> None:
        self._root.post("Page.handleJavaScriptDialog", {"accept": accept}, page.session)


async def _change(page: Page, url: str) -> None:
    if page.broken:
        raise NavigationFailed(url=url, error="its tab crashed or was closed")
    page.changed.clear()
    await page.changed.wait()


_ON_BROWSER: dict[str, Callable[[Pages, Any], None]] = {
    "Target.targetCreated": Pages._created,  # noqa: SLF001
    "Target.targetCrashed": Pages._crashed,  # noqa: SLF001
    "Target.attachedToTarget": Pages._attached,  # noqa: SLF001 - the table is the class's own
    "Target.detachedFromTarget": Pages._detached,  # noqa: SLF001
    "Browser.downloadWillBegin": Pages._download_begins,  # noqa: SLF001
    "Browser.downloadProgress": Pages._download_goes_on,  # noqa: SLF001
}
_ON_PAGE: dict[str, Callable[[Pages, Page, Any], None]] = {
    "Page.frameNavigated": Pages._committed,  # noqa: SLF001
    "Page.navigatedWithinDocument": Pages._moved_within,  # noqa: SLF001
    "Page.lifecycleEvent": Pages._lifecycle,  # noqa: SLF001
    "Page.javascriptDialogOpening": Pages._dialog_opens,  # noqa: SLF001
    "Page.javascriptDialogClosed": Pages._dialog_closes,  # noqa: SLF001
}
