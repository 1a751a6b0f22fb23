"""What Chrome is told so that pages stop, go on, and end; without Chrome."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from browserhost import stilling
from browserhost.page import Page
from browserhost.pages import Pages
from browserhost.stilling import Stilling
from tenure.cdp import CdpClient

SCRIPTS, LIFE = "Emulation.setScriptExecutionDisabled", "Page.setWebLifecycleState"


class Chrome:
    """The other end of the host's client; it answers every call but those of `deaf` sessions."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, Any]]] = []
        self.deaf: set[str] = set()
        self.root = CdpClient(self._take)
        self.pages = Pages(self.root)
        self.stilling = Stilling(self.root, self.pages)

    def page(self, target: str = "T") -> Page:
        info = {"targetId": target, "type": "page", "browserContextId": "C", "url": "about:blank"}
        self.tell("Target.attachedToTarget", sessionId=f"S-{target}", targetInfo=info)
        return next(page for page in self.pages.all if page.target == target)

    def worker(self, page: Page, session: str) -> None:
        info = {"targetId": session, "type": "worker", "url": "blob:"}
        self.tell("Target.attachedToTarget", page.session, sessionId=session, targetInfo=info)

    def tell(self, method: str, session: str = "", **params: Any) -> None:
        self.root.deliver(json.dumps({"method": method, "params": params, "sessionId": session}))

    def of(self, method: str) -> list[tuple[str, dict[str, Any]]]:
        return [(session, params) for asked, session, params in self.asked if asked == method]

    def _take(self, text: str) -> None:
        call = json.loads(text)
        session = call.get("sessionId", "")
        self.asked.append((call["method"], session, call["params"]))
        if session not in self.deaf:
            answer = json.dumps({"id": call["id"], "result": {"targetId": "made"}})
            asyncio.get_running_loop().call_soon(self.root.deliver, answer)


@pytest.fixture
async def chrome() -> Chrome:
    return Chrome()


async def test_for_good_a_page_and_its_frames_have_no_scripts_no_network_and_are_frozen(
    chrome: Chrome,
) -> None:
    page = chrome.page()
    page.tainted = True
    page.frames.add("S-frame")
    await chrome.stilling.still(for_good=True)
    both = [(page.session, {"value": True}), ("S-frame", {"value": True})]
    assert sorted(chrome.of(SCRIPTS)) == sorted(both)
    offline = [
        session for session, params in chrome.of("Network.emulateNetworkConditions") if params["offline"]
    ]
    assert sorted(offline) == ["S-T", "S-frame"]
    assert chrome.of(LIFE) == [(page.session, {"state": "frozen"})]
    assert (page.still, page.stuck) == (True, False)


async def test_a_page_that_may_be_handed_on_is_not_frozen_which_would_hide_it(chrome: Chrome) -> None:
    page = chrome.page()
    await chrome.stilling.still(for_good=True)
    assert chrome.of(SCRIPTS)
    chrome.stilling.wake(page)
    assert chrome.of(LIFE) == []
    assert chrome.of(SCRIPTS)[-1] == (page.session, {"value": False})


async def test_for_now_a_page_loses_neither_timers_nor_requests(chrome: Chrome) -> None:
    page = chrome.page()
    await chrome.stilling.still(for_good=False)
    assert chrome.of(SCRIPTS) == chrome.of("Network.emulateNetworkConditions") == []
    assert chrome.of(LIFE) == [(page.session, {"state": "frozen"})]


async def test_workers_are_paused_those_below_them_too_and_woken_with_their_page(chrome: Chrome) -> None:
    page = chrome.page()
    await chrome.stilling.still(for_good=False)
    chrome.worker(page, "W1")
    assert chrome.of("Debugger.pause") == [("W1", {})]
    assert "W1" in [session for session, _ in chrome.of("Target.setAutoAttach")]
    chrome.stilling.wake(page)
    assert chrome.of("Debugger.disable") == [("W1", {})]
    assert chrome.of(LIFE)[-1] == (page.session, {"state": "active"})
    assert chrome.of("Target.createTarget"), "else it would go on as hidden"


async def test_a_page_that_opens_in_stilled_ones_is_stilled_and_one_opened_after_is_not(
    chrome: Chrome,
) -> None:
    chrome.page()
    await chrome.stilling.still(for_good=True)
    assert chrome.page("popup").still
    chrome.stilling.over()
    assert not chrome.page("fresh").still


async def test_a_page_that_takes_no_notice_is_stuck_and_keeps_nobody_waiting(
    chrome: Chrome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stilling, "STILL_S", 0.3)
    busy, idle = chrome.page("busy"), chrome.page("idle")
    chrome.deaf.add(busy.session)
    await chrome.stilling.still(for_good=True)
    assert (busy.stuck, idle.stuck) == (True, False)


async def test_a_page_with_a_worker_that_takes_no_notice_is_stuck(
    chrome: Chrome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stilling, "STILL_S", 0.3)
    page, other = chrome.page(), chrome.page("U")
    chrome.deaf = {"W"}
    chrome.worker(page, "W")
    chrome.worker(other, "V")
    await chrome.stilling.still(for_good=True)
    assert (page.stuck, other.stuck) == (True, False)


@pytest.mark.parametrize("left", ["dialog", "stuck"])
async def test_what_may_wait_in_a_page_ends_with_its_renderer_before_it_is_closed(
    chrome: Chrome, left: str
) -> None:
    page = chrome.page()
    page.tainted = True
    setattr(page, left, "confirm" if left == "dialog" else True)
    await chrome.stilling.end(page)
    methods = [method for method, _, _ in chrome.asked]
    assert methods.index("Page.crash") < methods.index("Target.closeTarget")
    chrome.tell("Page.javascriptDialogOpening", page.session, type="beforeunload")
    assert "Page.handleJavaScriptDialog" not in [method for method, _, _ in chrome.asked]


async def test_a_page_that_is_still_is_closed_as_it_is(chrome: Chrome) -> None:
    page = chrome.page()
    await chrome.stilling.still(for_good=True)
    await chrome.stilling.end(page)
    assert chrome.of("Page.crash") == []
    assert chrome.of("Target.closeTarget") == [("", {"targetId": "T"})]


async def test_what_a_client_touches_taints_what_is_there_and_what_comes(chrome: Chrome) -> None:
    before = chrome.page("before")
    chrome.stilling.taint()
    assert [page.tainted for page in (before, chrome.page("after"))] == [True, True]
    chrome.pages.tainting = False
    assert not chrome.page("next").tainted
