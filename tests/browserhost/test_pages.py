"""What the host makes of Chrome's events, without Chrome."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from browserhost.page import Page
from browserhost.pages import Pages
from tenure.cdp import CdpClient
from tenure.errors import NavigationFailed


class Chrome:
    """The other end of the host's client: what was asked, and a way to answer and to tell."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.settled = 0
        self.root = CdpClient(lambda text: self.asked.append(json.loads(text)))
        self.pages = Pages(self.root)
        self.pages.documents.on_settled = self._settle

    def tell(self, method: str, session: str = "", **params: Any) -> None:
        self.root.deliver(json.dumps({"method": method, "params": params, "sessionId": session}))

    def attach(self, target: str = "T", *, kind: str = "page", context: str = "C") -> Page | None:
        info = {"targetId": target, "type": kind, "browserContextId": context, "url": "about:blank"}
        self.tell("Target.attachedToTarget", sessionId=f"S-{target}", targetInfo=info)
        return next((page for page in self.pages.all if page.target == target), None)

    def answer(self, method: str, **result: Any) -> None:
        call = [call for call in self.asked if call["method"] == method][-1]
        self.root.deliver(json.dumps({"id": call["id"], "result": result}))

    def commit(self, loader: str, url: str, target: str = "T", **more: Any) -> None:
        frame = {"id": target, "loaderId": loader, "url": url, **more}
        self.tell("Page.frameNavigated", f"S-{target}", frame=frame)

    def lifecycle(self, name: str, loader: str, frame: str = "T", target: str = "T") -> None:
        self.tell("Page.lifecycleEvent", f"S-{target}", name=name, loaderId=loader, frameId=frame)

    def methods(self) -> list[str]:
        return [call["method"] for call in self.asked]

    def _settle(self) -> None:
        self.settled += 1


@pytest.fixture
async def chrome() -> Chrome:
    return Chrome()


@pytest.fixture
async def page(chrome: Chrome) -> Page:
    attached = chrome.attach()
    assert attached is not None
    return attached


async def start(chrome: Chrome, page: Page, url: str) -> asyncio.Task[None]:
    task = asyncio.create_task(chrome.pages.documents.navigate(page, url))
    await asyncio.sleep(0)
    return task


async def test_a_new_page_is_attached_and_listened_to(chrome: Chrome) -> None:
    chrome.tell("Target.targetCreated", targetInfo={"targetId": "T", "type": "page"})
    assert chrome.asked[-1]["params"] == {"targetId": "T", "flatten": True}
    chrome.attach()
    assert chrome.methods()[1:] == [
        "Page.enable",
        "Page.getFrameTree",
        "Page.setLifecycleEventsEnabled",
        "Target.setAutoAttach",
    ]


async def test_a_clients_session_on_the_browser_is_no_page(chrome: Chrome) -> None:
    assert chrome.attach("B", kind="browser") is None
    assert not chrome.pages.first.done()


async def test_the_oldest_page_of_the_profile_is_in_front(chrome: Chrome, page: Page) -> None:
    chrome.attach("other")
    private = chrome.attach("private", context="incognito")
    assert chrome.pages.front is page
    assert private not in chrome.pages.own
    assert private in chrome.pages.others
    chrome.tell("Target.detachedFromTarget", sessionId="S-T")
    front = chrome.pages.front
    assert front is not None
    assert front.target == "other"
    assert page.broken


async def test_pages_that_were_told_of_are_waited_for_until_they_are_there_or_gone(chrome: Chrome) -> None:
    infos = [{"targetId": each, "type": "page", "browserContextId": "C", "url": ""} for each in "TU"]
    for info in infos:
        chrome.tell("Target.targetCreated", targetInfo=info)
    chrome.tell("Target.targetCreated", targetInfo={"targetId": "W", "type": "service_worker", "url": ""})
    waiting = asyncio.create_task(chrome.pages.arrivals())
    chrome.attach("T")
    first, second = [call["id"] for call in chrome.asked if call["method"] == "Target.attachToTarget"]
    chrome.root.deliver(json.dumps({"id": first, "result": {"sessionId": "S-T"}}))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not waiting.done()
    chrome.root.deliver(json.dumps({"id": second, "error": {"code": -32602, "message": "No target"}}))
    await waiting


async def test_navigation_ends_when_the_document_it_led_to_has_loaded(chrome: Chrome, page: Page) -> None:
    task = await start(chrome, page, "http://a/")
    chrome.answer("Page.navigate", loaderId="L1")
    chrome.lifecycle("load", "L0")
    chrome.commit("L1", "http://a/")
    await asyncio.sleep(0)
    chrome.commit("L2", "http://a/next", urlFragment="#part")
    chrome.lifecycle("load", "L1")
    chrome.lifecycle("load", "L2", frame="child")
    await asyncio.sleep(0)
    assert not task.done()
    chrome.lifecycle("load", "L2")
    await asyncio.wait_for(task, 30)
    assert page.url == "http://a/next#part"


async def test_a_commit_that_is_told_only_as_lifecycle_counts(chrome: Chrome, page: Page) -> None:
    task = await start(chrome, page, "http://a/")
    chrome.lifecycle("commit", "L1")
    chrome.lifecycle("load", "L1")
    chrome.answer("Page.navigate", loaderId="L1")
    await asyncio.wait_for(task, 30)


async def test_a_page_tells_where_it_stood_before_it_was_listened_to(chrome: Chrome, page: Page) -> None:
    frame = {"id": "T", "loaderId": "L1", "url": "http://a/"}
    chrome.answer("Page.getFrameTree", frameTree={"frame": frame})
    await asyncio.sleep(0)
    assert (page.url, page.is_at("L1"), chrome.settled) == ("http://a/", True, 1)


async def test_where_a_page_stood_is_no_news_after_what_it_went_to_since(chrome: Chrome, page: Page) -> None:
    chrome.answer("Page.getFrameTree", frameTree={"frame": {"id": "T", "loaderId": "L0", "url": ""}})
    chrome.commit("L1", "http://a/")
    chrome.lifecycle("load", "L1")
    await asyncio.sleep(0)
    assert (page.url, page.is_at("L1"), page.loaded) == ("http://a/", True, True)


async def test_an_error_of_the_network_is_told(chrome: Chrome, page: Page) -> None:
    task = await start(chrome, page, "http://a/")
    chrome.answer("Page.navigate", loaderId="L1", errorText="net::ERR_NAME_NOT_RESOLVED")
    with pytest.raises(NavigationFailed, match="ERR_NAME_NOT_RESOLVED"):
        await task


async def test_landing_on_chromes_error_page_is_a_failure(chrome: Chrome, page: Page) -> None:
    task = await start(chrome, page, "http://a/")
    chrome.answer("Page.navigate", loaderId="L1")
    chrome.commit("L1", "http://a/")
    chrome.commit("L2", "chrome-error://chromewebdata/", unreachableUrl="http://b/")
    chrome.lifecycle("load", "L2")
    with pytest.raises(NavigationFailed, match="did not load"):
        await task


@pytest.mark.parametrize("event", ["crash", "close"])
async def test_a_tab_that_breaks_on_the_way_is_told_at_once(chrome: Chrome, page: Page, event: str) -> None:
    task = await start(chrome, page, "http://a/")
    chrome.answer("Page.navigate", loaderId="L1")
    await asyncio.sleep(0)
    if event == "crash":
        chrome.tell("Target.targetCrashed", targetId="T")
    else:
        chrome.tell("Target.detachedFromTarget", sessionId="S-T")
    with pytest.raises(NavigationFailed, match="crashed or was closed"):
        await asyncio.wait_for(task, 30)


async def test_an_address_that_differs_in_its_fragment_is_loaded_by_way_of_a_blank(
    chrome: Chrome, page: Page
) -> None:
    chrome.commit("L1", "http://a/")
    task = await start(chrome, page, "http://a/#part")
    assert chrome.asked[-1]["params"] == {"url": "about:blank"}
    chrome.answer("Page.navigate", loaderId="L2")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert chrome.asked[-1]["params"] == {"url": "http://a/#part"}
    chrome.answer("Page.navigate", loaderId="L3")
    chrome.commit("L3", "http://a/", urlFragment="#part")
    chrome.lifecycle("load", "L3")
    await asyncio.wait_for(task, 30)


async def test_a_page_that_is_left_is_not_heard(chrome: Chrome, page: Page) -> None:
    task = await start(chrome, page, "http://a/")
    chrome.tell("Page.javascriptDialogOpening", "S-T", type="beforeunload")
    assert chrome.asked[-1]["method"] == "Page.handleJavaScriptDialog"
    task.cancel()


async def test_only_downloads_that_go_on_are_cancelled(chrome: Chrome, page: Page) -> None:
    for guid in ("done", "going"):
        chrome.tell("Browser.downloadWillBegin", guid=guid)
        chrome.tell("Browser.downloadProgress", guid=guid, state="inProgress")
    chrome.tell("Browser.downloadProgress", guid="done", state="completed")
    chrome.pages.end_downloads()
    chrome.pages.end_downloads()
    cancelled = [
        call["params"]["guid"] for call in chrome.asked if call["method"] == "Browser.cancelDownload"
    ]
    assert cancelled == ["going"]


async def test_every_page_that_moves_is_told_to_have_settled(chrome: Chrome, page: Page) -> None:
    chrome.attach("client's")
    chrome.commit("L1", "http://a/", target="client's")
    chrome.lifecycle("load", "L1", frame="client's", target="client's")
    assert chrome.settled == 2
    chrome.commit("L2", "http://a/frame", target="client's", parentId="client's")
    assert chrome.settled == 2


# --- who is told ----------------------------------------------------------------------------


class Told:
    """Notes what an observer hears."""

    def __init__(self) -> None:
        self.commits: list[tuple[str, bool]] = []
        self.forms: set[str] = set()

    def committed(self, url: str, *, own: bool) -> None:
        self.commits.append((url, own))

    def submits(self, frame: str) -> None:
        self.forms.add(frame)

    def landed(self, frame: str) -> None:
        self.forms.discard(frame)


@pytest.fixture
def told(chrome: Chrome) -> Told:
    chrome.pages.documents.observer = heard = Told()
    return heard


async def test_each_document_is_told_once_in_whatever_ways_chrome_tells_it(
    chrome: Chrome, page: Page, told: Told
) -> None:
    frame = {"id": "T", "loaderId": "L", "url": "http://a.test/"}
    chrome.answer("Page.getFrameTree", frameTree={"frame": frame})
    chrome.commit("L", "http://a.test/")
    chrome.lifecycle("commit", "L")
    chrome.commit("M", "http://a.test/2")
    await asyncio.sleep(0)
    assert told.commits == [("http://a.test/", False), ("http://a.test/2", False)]


async def test_what_a_page_showed_before_this_host_came_is_no_news_however_late_it_is_known(
    chrome: Chrome, told: Told
) -> None:
    resuming = asyncio.create_task(chrome.pages.resume("C"))
    await asyncio.sleep(0)
    chrome.tell("Target.targetCreated", targetInfo={"targetId": "T", "type": "page"})
    chrome.answer("Target.getTargets", targetInfos=[{"targetId": "T"}])
    chrome.tell("Target.targetCreated", targetInfo={"targetId": "U", "type": "page"})  # in the same read
    await asyncio.sleep(0)
    page = chrome.attach()
    await resuming
    frame = {"id": "T", "loaderId": "L", "url": "http://a.test/"}
    chrome.answer("Page.getFrameTree", frameTree={"frame": frame})
    await asyncio.sleep(0)
    assert page is not None
    assert (page.url, page.is_at("L"), told.commits) == ("http://a.test/", True, [])
    chrome.commit("M", "http://a.test/2")
    chrome.attach("U")
    frame = {"id": "U", "loaderId": "N", "url": "http://a.test/popup"}
    chrome.answer("Page.getFrameTree", frameTree={"frame": frame})
    await asyncio.sleep(0)
    assert told.commits == [("http://a.test/2", False), ("http://a.test/popup", False)]


async def test_what_the_host_asked_for_is_known_though_it_lands_before_the_answer(
    chrome: Chrome, page: Page, told: Told
) -> None:
    navigating = await start(chrome, page, "http://a.test/")
    chrome.commit("OLD", "http://old.test/")
    chrome.commit("L", "http://a.test/home")
    assert told.commits == []
    chrome.answer("Page.navigate", loaderId="L")
    chrome.lifecycle("load", "L")
    await navigating
    assert told.commits == [("http://old.test/", False), ("http://a.test/home", True)]
    chrome.commit("M", "http://a.test/next")
    assert told.commits[2:] == [("http://a.test/next", False)]


async def test_an_address_that_does_not_load_is_told_as_what_was_asked_for(
    chrome: Chrome, page: Page, told: Told
) -> None:
    navigating = await start(chrome, page, "http://a.test/")
    chrome.commit("L", "chrome-error://chromewebdata/", unreachableUrl="http://a.test/")
    chrome.answer("Page.navigate", loaderId="L", errorText="net::ERR_CONNECTION_REFUSED")
    with pytest.raises(NavigationFailed):
        await navigating
    assert told.commits == [("http://a.test/", True)]


async def test_an_empty_tab_is_nothing_to_tell(chrome: Chrome, page: Page, told: Told) -> None:
    chrome.commit("L", "about:blank")
    assert told.commits == []


async def test_a_document_that_the_host_only_passes_through_is_nobodys(
    chrome: Chrome, page: Page, told: Told
) -> None:
    page.url = "http://a.test/#x"
    navigating = await start(chrome, page, "http://a.test/#y")
    chrome.commit("BLANK", "about:blank")
    chrome.answer("Page.navigate", loaderId="BLANK")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    chrome.commit("L", "http://a.test/", urlFragment="#y")
    chrome.answer("Page.navigate", loaderId="L")
    chrome.lifecycle("load", "L")
    await navigating
    assert told.commits == [("http://a.test/#y", True)]


async def test_a_page_that_moves_within_its_document_is_told(chrome: Chrome, page: Page, told: Told) -> None:
    chrome.tell("Page.navigatedWithinDocument", "S-T", frameId="T", url="http://a.test/#/pay")
    chrome.tell("Page.navigatedWithinDocument", "S-T", frameId="F", url="http://a.test/frame#x")
    assert told.commits == [("http://a.test/#/pay", False)]


async def test_a_form_is_in_flight_until_its_frame_lands(chrome: Chrome, page: Page, told: Told) -> None:
    def asks(session: str, frame: str, reason: str) -> None:
        chrome.tell(
            "Page.frameRequestedNavigation", session, frameId=frame, reason=reason, url="http://a.test/"
        )

    asks("S-T", "T", "anchorClick")
    assert told.forms == set()
    asks("S-T", "T", "formSubmissionPost")
    asks("S-T", "F", "formSubmissionGet")
    assert told.forms == {"T", "F"}
    chrome.commit("L", "http://a.test/paid")
    chrome.tell("Page.frameNavigated", "S-T", frame={"id": "F", "parentId": "T", "url": "x", "loaderId": "M"})
    assert told.forms == set()


async def test_a_form_is_not_answered_by_what_is_no_answer(chrome: Chrome, page: Page, told: Told) -> None:
    frame = {"id": "T", "loaderId": "L", "url": "http://a.test/"}
    chrome.commit("L", "http://a.test/")
    for name in ("T", "F"):
        chrome.tell(
            "Page.frameRequestedNavigation", "S-T", frameId=name, reason="formSubmissionPost", url="x"
        )
    chrome.tell("Page.navigatedWithinDocument", "S-T", frameId="T", url="http://a.test/#sent")
    chrome.answer("Page.getFrameTree", frameTree={"frame": frame})
    await asyncio.sleep(0)
    gone = {"url": "chrome-error://chromewebdata/", "loaderId": "M", "unreachableUrl": "http://a.test/pay"}
    chrome.tell("Page.frameNavigated", "S-T", frame={"id": "F", "parentId": "T", **gone})
    chrome.tell("Page.frameNavigated", "S-T", frame={"id": "T", **gone})
    assert told.forms == {"T", "F"}
    chrome.commit("N", "http://a.test/paid")
    assert told.forms == {"F"}


async def test_a_frame_in_a_process_of_its_own_is_followed_and_so_are_those_in_it(
    chrome: Chrome, page: Page, told: Told
) -> None:
    info = {"targetId": "F", "type": "iframe", "url": "http://pay.test/"}
    chrome.tell("Target.attachedToTarget", "S-T", sessionId="S-F", targetInfo=info)
    assert page.frames == {"S-F"}
    assert [(c["method"], c.get("sessionId")) for c in chrome.asked[-2:]] == [
        ("Page.enable", "S-F"),
        ("Target.setAutoAttach", "S-F"),
    ]
    chrome.tell("Target.attachedToTarget", "S-F", sessionId="S-G", targetInfo={**info, "targetId": "G"})
    assert page.frames == {"S-F", "S-G"}
    chrome.tell("Page.frameRequestedNavigation", "S-G", frameId="G", reason="formSubmissionPost", url="x")
    assert told.forms == {"G"}
    chrome.tell("Page.frameNavigated", "S-G", frame={"id": "G", "url": "http://pay.test/", "loaderId": "N"})
    assert told.forms == set()
    assert told.commits == []
    chrome.tell("Target.detachedFromTarget", "S-F", sessionId="S-G")
    assert page.frames == {"S-F"}
    chrome.tell("Target.detachedFromTarget", sessionId="S-T")
    chrome.tell("Page.frameRequestedNavigation", "S-F", frameId="F", reason="formSubmissionPost", url="x")
    assert told.forms == set()


async def test_a_browser_that_nobody_watches_tells_nobody(chrome: Chrome, page: Page) -> None:
    chrome.commit("L", "http://a.test/")
    chrome.tell("Page.navigatedWithinDocument", "S-T", frameId="T", url="http://a.test/#x")
    chrome.tell("Page.frameRequestedNavigation", "S-T", frameId="T", reason="formSubmissionPost", url="x")
    chrome.tell("Page.frameNavigated", "S-T", frame={"id": "F", "parentId": "T", "url": "x", "loaderId": "M"})
    assert page.url == "http://a.test/#x"


async def test_a_dialog_of_a_frame_is_answered_once_though_chrome_tells_of_it_twice(
    chrome: Chrome, page: Page
) -> None:
    info = {"targetId": "F", "type": "iframe", "url": "https://b.example/"}
    chrome.tell("Target.attachedToTarget", page.session, sessionId="S-F", targetInfo=info)
    page.leaving = True
    for session in ("S-F", page.session):
        chrome.tell("Page.javascriptDialogOpening", session, type="beforeunload", url="")
    assert chrome.methods().count("Page.handleJavaScriptDialog") == 1
    chrome.tell("Page.javascriptDialogClosed", "S-F")
    assert page.dialog == "beforeunload"
    chrome.tell("Page.javascriptDialogClosed", page.session)
    assert page.dialog == ""
