"""What Chrome is told so that workers stop, go on, and end; without Chrome."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import Any

import pytest

from browserhost.workers import Workers
from tenure.cdp import CdpClient

PAUSE, END, DETACH = "Debugger.pause", "Target.closeTarget", "Target.detachFromTarget"


class Chrome:
    """The other end of the host's client. `deaf` targets take no notice of what their session is told."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, Any]]] = []
        self.deaf: set[str] = set()
        self.root = CdpClient(self._take)
        self.workers = Workers(self.root)

    def starts(self, target: str, kind: str = "service_worker", url: str = "http://a.test/w.js") -> None:
        info = {"targetId": target, "type": kind, "url": url}
        self.tell("Target.targetCreated", targetInfo=info)

    def tell(self, method: str, session: str = "", **params: Any) -> None:
        self.root.deliver(json.dumps({"method": method, "params": params, "sessionId": session}))

    def of(self, method: str) -> list[str]:
        """Of the calls the sessions that they are on, or of the browser's what they name."""
        named = [(session, params) for asked, session, params in self.asked if asked == method]
        return [session or params.get("targetId") or params["sessionId"] for session, params in named]

    def _take(self, text: str) -> None:
        call = json.loads(text)
        session, method, params = call.get("sessionId", ""), call["method"], call["params"]
        self.asked.append((method, session, params))
        if session.removeprefix("S-") in self.deaf:
            return
        if method == "Target.attachToTarget":
            info = {"targetId": params["targetId"], "type": "service_worker", "url": ""}
            named = f"S-{params['targetId']}"
            tell = partial(self.tell, "Target.attachedToTarget", sessionId=named, targetInfo=info)
            asyncio.get_running_loop().call_soon(tell)
        answer = json.dumps({"id": call["id"], "result": {}})
        asyncio.get_running_loop().call_soon(self.root.deliver, answer)


@pytest.fixture
async def chrome() -> Chrome:
    return Chrome()


async def a_turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_for_good_a_worker_is_paused_before_it_ends(chrome: Chrome) -> None:
    chrome.starts("W")
    chrome.workers.stop(for_good=True)
    (going,) = chrome.workers.going
    await a_turn()
    methods = [method for method, _, _ in chrome.asked]
    assert methods.index(PAUSE) < methods.index(END)
    assert not going.done()
    chrome.tell("Inspector.targetCrashed", "S-W")
    assert going.done()
    assert chrome.of(DETACH) == ["S-W"]
    await chrome.workers.departures()


async def test_one_that_takes_no_notice_is_never_gone(chrome: Chrome) -> None:
    chrome.starts("W")
    chrome.deaf = {"W"}
    chrome.workers.stop(for_good=True)
    await a_turn()
    assert chrome.of(END) == []
    chrome.tell("Target.detachedFromTarget", sessionId="S-W")
    chrome.tell("Target.targetDestroyed", targetId="W")
    assert [each.done() for each in chrome.workers.going] == [False]


async def test_one_that_ends_by_itself_is_waited_for_no_longer(chrome: Chrome) -> None:
    chrome.starts("W")
    chrome.workers.stop(for_good=True)
    chrome.tell("Target.targetDestroyed", targetId="W")
    assert chrome.workers.going == []


async def test_for_now_a_worker_waits_and_goes_on(chrome: Chrome) -> None:
    chrome.starts("W")
    chrome.workers.stop(for_good=False)
    await a_turn()
    assert (chrome.of(PAUSE), chrome.of(END), chrome.workers.going) == (["S-W"], [], [])
    chrome.workers.over()
    chrome.workers.resume(set())
    assert (chrome.of("Debugger.disable"), chrome.of(DETACH)) == (["S-W"], ["S-W"])
    chrome.workers.stop(for_good=False)
    await a_turn()
    assert chrome.of(PAUSE) == ["S-W", "S-W"]
    chrome.workers.stop(for_good=True)
    await a_turn()
    assert chrome.of(END) == ["W"]


async def test_one_that_is_to_end_does_not_go_on_nor_what_it_started(chrome: Chrome) -> None:
    chrome.starts("W")
    chrome.workers.stop(for_good=True)
    await a_turn()
    info = {"targetId": "below", "type": "worker", "url": ""}
    chrome.tell("Target.attachedToTarget", "S-W", sessionId="S-below", targetInfo=info)
    chrome.workers.resume({"S-page"})
    assert chrome.of(PAUSE) == ["S-W", "S-below"]
    assert chrome.of(DETACH) == []


async def test_what_starts_meanwhile_is_stopped_and_what_starts_after_is_not(chrome: Chrome) -> None:
    chrome.workers.stop(for_good=True)
    chrome.starts("W")
    await a_turn()
    assert chrome.of(END) == ["W"]
    chrome.workers.over()
    chrome.starts("next")
    await a_turn()
    assert chrome.of(END) == ["W"]


async def test_one_let_go_on_before_it_was_there_is_let_go(chrome: Chrome) -> None:
    chrome.starts("W")
    chrome.workers.stop(for_good=False)
    chrome.workers.over()
    chrome.workers.resume(set())
    await a_turn()
    assert (chrome.of(PAUSE), chrome.of(DETACH)) == ([], ["S-W"])


@pytest.mark.parametrize("url", ["chrome-extension://abc/w.js", "chrome://settings/w.js"])
async def test_workers_of_chromes_own_are_left_alone(chrome: Chrome, url: str) -> None:
    chrome.starts("W", url=url)
    chrome.workers.stop(for_good=True)
    await a_turn()
    assert chrome.asked == []


async def test_a_pages_workers_go_on_with_it_alone(chrome: Chrome) -> None:
    for page in ("S-1", "S-2"):
        info = {"targetId": f"W-{page}", "type": "worker", "url": ""}
        chrome.tell("Target.attachedToTarget", page, sessionId=f"{page}-W", targetInfo=info)
    assert [len(chrome.workers.of({page})) for page in ("S-1", "S-2")] == [1, 1]
    chrome.workers.resume({"S-2"})
    assert chrome.of(DETACH) == ["S-2-W"]
    assert [len(chrome.workers.of({page})) for page in ("S-1", "S-2")] == [1, 0]
