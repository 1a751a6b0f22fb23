"""A browser's pages as the host sees them: which there are, with their frames, dialogs and downloads.

The host keeps a session of its own on every page, also on those that clients open, so that it
learns of each navigation and can flush cookies after it whatever a client does or leaves undone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from browserhost.documents import Documents
from browserhost.navigating import BLANK
from browserhost.page import Page
from browserhost.workers import LASTING
from tenure.cdp import CdpClient, Result

_NEW_TAB_S = 10.0
_ONLY_PAGES = [{"type": "page"}, {"exclude": True}]
_FOLLOWED = [*({"type": each} for each in ("page", *LASTING)), {"exclude": True}]
_ONLY_FRAMES = [{"type": "iframe"}, {"exclude": True}]


class Pages:
    """Follows the pages through the host's client. `documents` is what they show; `on_attached` is called
    when there is a new one, which is tainted while `tainting`.

    `first` resolves with the page that Chrome starts with; `context` is the profile's.
    """

    def __init__(self, root: CdpClient) -> None:
        self._root = root
        self.documents = Documents(root)
        self.on_attached: Callable[[Page], None] = lambda page: None
        self.tainting = False
        self._by_session: dict[str, Page] = {}
        self._by_frame: dict[str, Page] = {}
        self._downloads: set[str] = set()
        self._coming: set[str] = set()
        self._stood: set[str] = set()
        self._found: asyncio.Future[Result] | None = None
        self._arrived = asyncio.Event()
        self._left = asyncio.Event()
        self.first: asyncio.Future[Page] = asyncio.get_running_loop().create_future()
        self.context = ""
        root.listen(self._event)

    def follow(self) -> asyncio.Future[Result]:
        """Begin, once a browser. Chrome may not even have started: the pipe keeps the call for it."""
        # Not setAutoAttach: with that on the whole browser a page's window.open() waits, on Chrome 156,
        # until somebody sends Runtime.runIfWaitingForDebugger, and that may come too early for a client.
        return self._root.post("Target.setDiscoverTargets", {"discover": True, "filter": _FOLLOWED})

    async def resume(self, context: str) -> None:
        """As `follow`, of a browser that another host followed: return once its pages are known.

        `context` is the profile's. Raises CdpError, CdpClosed; the caller bounds it.
        """
        self.context = context
        self._root.post("Target.setDiscoverTargets", {"discover": False})
        self.follow()
        # Chrome tells of all that stand before it answers this.
        self._found = self._root.post("Target.getTargets", {"filter": _ONLY_PAGES})
        found = await self._found
        wanted = {each["targetId"] for each in found["targetInfos"]}
        while not wanted <= {page.target for page in self._by_session.values()}:
            self._arrived.clear()
            await self._arrived.wait()

    @property
    def all(self) -> list[Page]:
        """Every page that is there."""
        return list(self._by_session.values())

    @property
    def own(self) -> list[Page]:
        """Those that show the profile, the oldest first; a client's incognito contexts are none of them."""
        mine = self.context
        return [page for page in self._by_session.values() if page.context == mine and not page.closing]

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
            made = await self._root.post("Target.createTarget", {"url": BLANK})
            return await self.arrival(made["targetId"])

    async def arrival(self, target: str) -> Page:
        """The page of that target, once it is there. The caller bounds it."""
        while True:
            for page in self._by_session.values():
                if page.target == target:
                    return page
            self._arrived.clear()
            await self._arrived.wait()

    @property
    def arriving(self) -> bool:
        """Whether Chrome has told of a page that is not there yet."""
        return bool(self._coming)

    async def arrivals(self) -> None:
        """Return once every page that Chrome has told of is there. The caller bounds it."""
        while self._coming:
            self._arrived.clear()
            await self._arrived.wait()

    async def come_to_rest(self) -> None:
        """Return once every page has come to what was sent to it before; one that shows a dialog cannot.

        A client's calls wait in a busy page, also after the client was put out.
        """
        able = [page for page in self._by_session.values() if not (page.dialog or page.broken)]
        sessions = [session for page in able for session in (page.session, *page.frames)]
        asked = [self._root.post("Runtime.evaluate", {"expression": "0"}, session) for session in sessions]
        await asyncio.gather(*asked, return_exceptions=True)

    async def close(self, page: Page) -> None:
        """Close a tab, without asking it. Raises CdpError when it is gone already."""
        page.leaving = page.closing = True
        await self._root.call("Target.closeTarget", {"targetId": page.target})

    async def departures(self) -> None:
        """Return once none that is about to go is there any more. The caller bounds it."""
        while any(page.closing for page in self._by_session.values()):
            self._left.clear()
            await self._left.wait()

    def end_downloads(self) -> list[asyncio.Future[Result]]:
        """Cancel what is still downloading."""
        guids, self._downloads = self._downloads, set()
        return [self._root.post("Browser.cancelDownload", {"guid": guid}) for guid in guids]

    def _event(self, method: str, params: Result, session: str) -> None:
        if not session:
            on_browser = _ON_BROWSER.get(method)
            if on_browser is not None:
                on_browser(self, params)
            return
        own = self._by_session.get(session)
        page = own or self._by_frame.get(session)
        if page is None:
            return
        handler = (_ON_PAGE if own else _ON_FRAME).get(method)
        if handler is not None:
            handler(self, page, params)
        else:
            self.documents.hear(method, page, params, framed=own is None)

    def _created(self, params: Result) -> None:
        info = params["targetInfo"]
        if info["type"] == "page":
            target = info["targetId"]
            self._coming.add(target)
            if self._found is not None and not self._found.done():
                self._stood.add(target)
            attached = self._root.post("Target.attachToTarget", {"targetId": target, "flatten": True})
            attached.add_done_callback(lambda _: self._came(target))

    def _came(self, target: str) -> None:
        """It is there, or went before it was."""
        self._coming.discard(target)
        self._stood.discard(target)
        self._arrived.set()

    def _attached(self, params: Result) -> None:
        info = params["targetInfo"]
        if info["type"] != "page":
            return  # a client's own session on the browser, or a worker's
        page = Page(info["targetId"], params["sessionId"], info.get("browserContextId", ""), info["url"])
        self._by_session[page.session] = page
        self.documents.follow(page, news=page.target not in self._stood)
        self._follow_frames(page.session)
        page.tainted = self.tainting
        self.on_attached(page)
        self._arrived.set()
        if not self.first.done():
            self.context = self.context or page.context
            self.first.set_result(page)

    def _detached(self, params: Result) -> None:
        page = self._by_session.pop(params["sessionId"], None)
        if page is not None:
            for frame in page.frames:
                self._by_frame.pop(frame, None)
            self._breaks(page)
            self._left.set()

    def _follow_frames(self, session: str) -> None:
        """Attach to the frames below that run in processes of their own, now and later."""
        wish = {"autoAttach": True, "waitForDebuggerOnStart": False, "flatten": True, "filter": _ONLY_FRAMES}
        self._root.post("Target.setAutoAttach", wish, session)

    def _frame_attached(self, page: Page, params: Result) -> None:
        if params["targetInfo"]["type"] != "iframe":
            return
        session = params["sessionId"]
        page.frames.add(session)
        self._by_frame[session] = page
        self._root.post("Page.enable", {}, session)
        self._follow_frames(session)

    def _frame_detached(self, page: Page, params: Result) -> None:
        page.frames.discard(params["sessionId"])
        self._by_frame.pop(params["sessionId"], None)

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

    def _dialog_opens(self, page: Page, params: Result) -> None:
        page.dialog = params["type"]
        if page.leaving and not page.tainted:
            self._answer_dialog(page, accept=page.dialog == "beforeunload")

    def _dialog_closes(self, page: Page, params: Result) -> None:
        page.dialog = ""

    def _answer_dialog(self, page: Page, *, accept: bool) -> None:
        self._root.post("Page.handleJavaScriptDialog", {"accept": accept}, page.session)


_ON_BROWSER: dict[str, Callable[[Pages, Any], None]] = {
    "Target.targetCreated": Pages._created,  # noqa: SLF001
    "Target.targetCrashed": Pages._crashed,  # noqa: SLF001
    "Target.attachedToTarget": Pages._attached,  # noqa: SLF001 - the table is the class's own
    "Target.detachedFromTarget": Pages._detached,  # noqa: SLF001
    "Browser.downloadWillBegin": Pages._download_begins,  # noqa: SLF001
    "Browser.downloadProgress": Pages._download_goes_on,  # noqa: SLF001
}
_ON_FRAME: dict[str, Callable[[Pages, Page, Any], None]] = {
    "Target.attachedToTarget": Pages._frame_attached,  # noqa: SLF001
    "Target.detachedFromTarget": Pages._frame_detached,  # noqa: SLF001
}
_ON_PAGE = _ON_FRAME | {  # which is told of its frames' dialogs too
    "Page.javascriptDialogOpening": Pages._dialog_opens,  # noqa: SLF001
    "Page.javascriptDialogClosed": Pages._dialog_closes,  # noqa: SLF001
}
