"""A browser's pages as the host sees them: which there are, where they stand, what was loaded.

The host keeps a session of its own on every page, also on those that clients open, so that it
learns of each navigation and can flush cookies after it whatever a client does or leaves undone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from browserhost.frame_forms import FrameForms
from browserhost.navigating import BLANK, Navigating
from browserhost.page import Observer, Page
from tenure.cdp import CdpClient, Result

_NEW_TAB_S = 10.0
_ONLY_PAGES = [{"type": "page"}, {"exclude": True}]
_ONLY_FRAMES = [{"type": "iframe"}, {"exclude": True}]


class Pages:
    """Follows the pages through the host's client. `on_settled` is called when one committed or loaded,
    `on_attached` when there is a new one, which is tainted while `tainting`.

    `first` resolves with the page that Chrome starts with; `context` is the profile's.
    """

    def __init__(self, root: CdpClient) -> None:
        self._root = root
        self.on_settled: Callable[[], None] = lambda: None
        self.on_attached: Callable[[Page], None] = lambda page: None
        self.tainting = False
        self._by_session: dict[str, Page] = {}
        self._by_frame: dict[str, Page] = {}
        self._downloads: set[str] = set()
        self._forms = FrameForms()
        self._navigating = Navigating(root, self._tell)
        self._arrived = asyncio.Event()
        self._left = asyncio.Event()
        self.first: asyncio.Future[Page] = asyncio.get_running_loop().create_future()
        self.context = ""
        self.observer: Observer | None = None
        root.listen(self._event)

    def follow(self) -> asyncio.Future[Result]:
        """Begin, once a browser. Chrome may not even have started: the pipe keeps the call for it."""
        # Not setAutoAttach: with that on the whole browser a page's window.open() waits, on Chrome 156,
        # until somebody sends Runtime.runIfWaitingForDebugger, and that may come too early for a client.
        return self._root.post("Target.setDiscoverTargets", {"discover": True, "filter": _ONLY_PAGES})

    async def resume(self, context: str) -> None:
        """As `follow`, of a browser that another host followed: return once its pages are known.

        `context` is the profile's. Raises CdpError, CdpClosed; the caller bounds it.
        """
        self.context = context
        self._root.post("Target.setDiscoverTargets", {"discover": False})
        self.follow()
        found = await self._root.post("Target.getTargets", {"filter": _ONLY_PAGES})
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

    async def navigate(self, page: Page, url: str) -> None:
        """Navigate a page and return when a document has landed, not merely been accepted.

        Raises NavigationFailed, CdpError, CdpClosed.
        """
        await self._navigating.navigate(page, url)

    def _event(self, method: str, params: Result, session: str) -> None:
        if not session:
            on_browser = _ON_BROWSER.get(method)
            if on_browser is not None:
                on_browser(self, params)
            return
        page, table = self._by_session.get(session), _ON_PAGE
        if page is None:
            page, table = self._by_frame.get(session), _ON_FRAME
        handler = table.get(method)
        if page is not None and handler is not None:
            handler(self, page, params)

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

    def _frame_committed(self, page: Page, params: Result) -> None:
        self._landed(params["frame"])

    def _landed(self, frame: Result) -> None:
        # Chrome's own error page answers no form: what was sent may have arrived all the same.
        if "unreachableUrl" in frame or not self._forms.lands(frame["id"], frame["loaderId"]):
            return
        if self.observer is not None:
            self.observer.landed(frame["id"])

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

    def _moved_within(self, page: Page, params: Result) -> None:
        if params["frameId"] == page.target:
            page.url = params["url"]
            if self.observer is not None:
                self.observer.committed(page.url, own=False)

    def _asked_to_navigate(self, page: Page, params: Result) -> None:
        if params["reason"].startswith("formSubmission"):
            self._forms.submits(params["frameId"], params["url"])
            if self.observer is not None:
                self.observer.submits(params["frameId"])

    def _starts_to_navigate(self, page: Page, params: Result) -> None:
        self._forms.starts(params["frameId"], params["loaderId"], params["url"])

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
    "Page.frameNavigated": Pages._frame_committed,  # noqa: SLF001
    "Page.frameRequestedNavigation": Pages._asked_to_navigate,  # noqa: SLF001
    "Page.frameStartedNavigating": Pages._starts_to_navigate,  # noqa: SLF001
    "Target.attachedToTarget": Pages._frame_attached,  # noqa: SLF001
    "Target.detachedFromTarget": Pages._frame_detached,  # noqa: SLF001
}
_ON_PAGE: dict[str, Callable[[Pages, Page, Any], None]] = {
    "Page.frameNavigated": Pages._committed,  # noqa: SLF001
    "Page.navigatedWithinDocument": Pages._moved_within,  # noqa: SLF001
    "Page.frameRequestedNavigation": Pages._asked_to_navigate,  # noqa: SLF001
    "Page.frameStartedNavigating": Pages._starts_to_navigate,  # noqa: SLF001
    "Target.attachedToTarget": Pages._frame_attached,  # noqa: SLF001
    "Target.detachedFromTarget": Pages._frame_detached,  # noqa: SLF001
    "Page.lifecycleEvent": Pages._lifecycle,  # noqa: SLF001
    "Page.javascriptDialogOpening": Pages._dialog_opens,  # noqa: SLF001
    "Page.javascriptDialogClosed": Pages._dialog_closes,  # noqa: SLF001
}
