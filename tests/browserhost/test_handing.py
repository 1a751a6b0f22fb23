"""What is asked of Chrome when a browser is handed over, without Chrome."""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast

import pytest

from browserhost import handing
from browserhost.egress.forwarder import Forwarder
from browserhost.handing import Handing
from browserhost.pages import Pages
from browserhost.stilling import Stilling
from tenure.cdp import CdpClient

BOUNDS = {"left": 0, "top": 0, "width": 1280, "height": 800, "windowState": "normal"}
URL = "https://example.org/once"
LOOKS = ["Runtime.evaluate", "Target.getBrowserContexts", "Browser.getWindowForTarget"]


class Chrome:
    """Answers as a browser does in which all is well; `dumb` methods are not answered."""

    def __init__(self, *, ahead: bool = True) -> None:
        self.asked: list[str] = []
        self.urls: list[str] = []
        self.dumb: set[str] = set()
        self.contexts: list[str] = []
        self.bounds = BOUNDS
        self.root = CdpClient(self._take)
        self.pages = Pages(self.root)
        stilling = Stilling(self.root, self.pages)
        forwarder = cast("Forwarder", None)  # it is asked where a navigation fails
        self.handing = Handing(self.root, self.pages, stilling, forwarder, self._keep_downloads, ahead=ahead)

    async def begin(self) -> None:
        self.attach("T")
        front = self.pages.front
        assert front is not None
        self.handing.begin(front)
        await self.rest()
        self.asked.clear()

    def attach(self, target: str) -> None:
        info = {"targetId": target, "type": "page", "browserContextId": "C", "url": "about:blank"}
        self._tell("Target.attachedToTarget", sessionId=f"S-{target}", targetInfo=info)

    async def rest(self) -> None:
        """Let what was asked be answered."""
        for _ in range(5):
            await asyncio.sleep(0)

    async def hand_over(self) -> list[str]:
        """What is asked from the hand-over's begin to its navigation, that included."""
        self.asked.clear()
        await self.handing.hand_over(URL)
        return self.asked[: self.asked.index("Page.navigate") + 1]

    def _keep_downloads(self) -> None:
        self.root.post("Browser.setDownloadBehavior")

    def _tell(self, method: str, session: str = "", **params: Any) -> None:
        self.root.deliver(json.dumps({"method": method, "params": params, "sessionId": session}))

    def _take(self, text: str) -> None:
        call = json.loads(text)
        method = call["method"]
        self.asked.append(method)
        if method in self.dumb:
            self.dumb.discard(method)
            return
        result: dict[str, Any] = {}
        if method == "Target.getBrowserContexts":
            result = {"browserContextIds": self.contexts}
        elif method == "Browser.getWindowForTarget":
            result = {"windowId": 1, "bounds": self.bounds}
        elif method == "Page.navigate":
            self.urls.append(call["params"]["url"])
            result = {"loaderId": f"L{len(self.urls)}"}
        elif method == "Page.getFrameTree":
            result = {"frameTree": {"frame": {"id": "T", "loaderId": "L0", "url": "about:blank"}}}
        asyncio.get_running_loop().call_soon(self._answer, call, result)

    def _answer(self, call: dict[str, Any], result: dict[str, Any]) -> None:
        self.root.deliver(json.dumps({"id": call["id"], "result": result}))
        if call["method"] == "Page.navigate":
            loader = result["loaderId"]
            self._tell("Page.frameNavigated", "S-T", frame={"id": "T", "loaderId": loader, "url": URL})
            self._tell("Page.lifecycleEvent", "S-T", name="load", loaderId=loader, frameId="T")


@pytest.fixture
async def chrome() -> Chrome:
    made = Chrome()
    await made.begin()
    return made


def waits(asked: list[str]) -> bool:
    """Whether the hand-over looked for itself before it navigated."""
    return any(method in LOOKS for method in asked)


async def test_a_look_ahead_asks_and_changes_nothing(chrome: Chrome) -> None:
    chrome.handing.look()
    assert chrome.asked == LOOKS


async def test_what_was_seen_clean_is_handed_over_without_another_look(chrome: Chrome) -> None:
    chrome.handing.look()
    await chrome.rest()
    asked = await chrome.hand_over()
    assert not waits(asked)
    # All the same what needs no look is undone, and before the page is asked for, which is once.
    assert {"Browser.resetPermissions", "Browser.setDownloadBehavior"} < set(asked)
    assert chrome.urls == [URL]


@pytest.mark.parametrize("way", ["prepare", "hand_over"])
async def test_a_browser_whose_tabs_do_not_close_in_time_is_not_handed_on(
    chrome: Chrome, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr(handing, "ANSWER_S", 0.05)
    chrome.attach("U")
    chrome.pages.all[-1].tainted = True
    chrome.dumb = {"Target.closeTarget"}
    with pytest.raises(TimeoutError):
        await (chrome.handing.prepare() if way == "prepare" else chrome.hand_over())
    assert chrome.urls == []


async def test_a_page_that_was_told_of_and_arrives_meanwhile_is_closed_too(chrome: Chrome) -> None:
    info = {"targetId": "U", "type": "page", "browserContextId": "C", "url": "about:blank"}
    chrome.dumb = {"Target.attachToTarget"}
    chrome._tell("Target.targetCreated", targetInfo=info)
    handed = asyncio.create_task(chrome.hand_over())
    await chrome.rest()
    await chrome.rest()
    assert chrome.urls == []
    chrome.attach("U")
    chrome.pages._came("U")
    asked = await handed
    assert "Target.closeTarget" in asked


async def test_without_a_look_the_hand_over_looks(chrome: Chrome) -> None:
    assert waits(await chrome.hand_over())


async def test_a_look_serves_one_hand_over(chrome: Chrome) -> None:
    chrome.handing.look()
    await chrome.rest()
    await chrome.hand_over()
    assert waits(await chrome.hand_over())


@pytest.mark.parametrize("method", LOOKS)
async def test_what_was_not_answered_yet_is_asked_again(chrome: Chrome, method: str) -> None:
    chrome.dumb.add(method)
    chrome.handing.look()
    await chrome.rest()
    assert waits(await chrome.hand_over())
    assert chrome.urls == [URL]


async def test_another_context_or_a_moved_window_is_cleaned_up_as_ever(chrome: Chrome) -> None:
    chrome.contexts = ["incognito"]
    chrome.handing.look()
    await chrome.rest()
    assert "Target.disposeBrowserContext" in await chrome.hand_over()
    chrome.contexts, chrome.bounds = [], {**BOUNDS, "windowState": "minimized"}
    chrome.handing.look()
    await chrome.rest()
    assert "Browser.setWindowBounds" in await chrome.hand_over()


async def test_a_page_that_came_after_the_look_or_is_tainted_since_voids_it(chrome: Chrome) -> None:
    chrome.handing.look()
    await chrome.rest()
    chrome.attach("U")
    chrome.asked.clear()
    task = asyncio.create_task(chrome.handing.hand_over(URL))
    await chrome.rest()
    assert "Target.closeTarget" in chrome.asked
    chrome._tell("Target.detachedFromTarget", sessionId="S-U")
    await task
    chrome.handing.look()
    await chrome.rest()
    front = chrome.pages.front
    assert front is not None
    front.tainted = True
    assert chrome.handing._seen_clean() is None


async def test_a_page_on_its_way_voids_a_look(chrome: Chrome) -> None:
    chrome.handing.look()
    await chrome.rest()
    info = {"targetId": "U", "type": "page", "browserContextId": "C", "url": "about:blank", "attached": False}
    chrome._tell("Target.targetCreated", targetInfo=info)
    assert chrome.handing._seen_clean() is None


async def test_what_a_client_may_have_left_since_voids_a_look(chrome: Chrome) -> None:
    chrome.handing.look()
    await chrome.rest()
    chrome.pages.tainting = True
    assert chrome.handing._seen_clean() is None


async def test_a_browser_with_more_than_one_tab_is_not_looked_at(chrome: Chrome) -> None:
    chrome.attach("U")
    chrome.asked.clear()
    chrome.handing.look()
    assert chrome.asked == []


async def test_whoever_had_the_browser_since_voids_a_look(chrome: Chrome) -> None:
    chrome.handing.look()
    await chrome.rest()
    await chrome.handing.open(URL)
    assert waits(await chrome.hand_over())


async def test_an_old_look_proves_nothing(chrome: Chrome, monkeypatch: pytest.MonkeyPatch) -> None:
    chrome.handing.look()
    await chrome.rest()
    monkeypatch.setattr(handing, "ANSWER_S", -1.0)
    assert chrome.handing._seen_clean() is None


async def test_it_can_be_turned_off() -> None:
    chrome = Chrome(ahead=False)
    await chrome.begin()
    chrome.handing.look()
    assert chrome.asked == []
