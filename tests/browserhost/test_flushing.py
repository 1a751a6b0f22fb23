"""When a browser flushes by itself, on a clock that the test moves and without Chrome."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from browserhost.flushing import _FLUSH, FLUSH_DELAY_S, Flushing
from browserhost.pages import Pages
from tenure.cdp import CdpClient

CLAIM_S = 2.0
"""What is promised of a navigation that settled."""


class Loop(asyncio.SelectorEventLoop):
    """Its clock stands still but for `pass_`."""

    now = 1000.0

    def time(self) -> float:
        return self.now

    async def pass_(self, seconds: float) -> None:
        self.now += seconds
        for _ in range(5):
            await asyncio.sleep(0)


class Chrome:
    """A browser with one tab, whose pipe ends here."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Loop)
        self.loop = loop
        self.calls: list[dict[str, Any]] = []
        self.asked_at: list[float] = []
        """When a flush was asked for."""
        self.root = CdpClient(self._write)
        self.flushing = Flushing(self.root, Pages(self.root))
        info = {"targetId": "T", "type": "page", "browserContextId": "C", "url": "about:blank"}
        self.tell("Target.attachedToTarget", sessionId="S", targetInfo=info)

    def commits(self, loader: str) -> None:
        frame = {"id": "T", "loaderId": loader, "url": f"https://example.com/{loader}"}
        self.tell("Page.frameNavigated", "S", frame=frame)

    def loads(self, loader: str) -> None:
        self.tell("Page.lifecycleEvent", "S", name="load", loaderId=loader, frameId="T")

    def answers_flush(self) -> None:
        call = [call for call in self.calls if call["method"] == _FLUSH][-1]
        self.root.deliver(json.dumps({"id": call["id"], "result": {}, "sessionId": "S"}))

    def tell(self, method: str, session: str = "", **params: Any) -> None:
        self.root.deliver(json.dumps({"method": method, "params": params, "sessionId": session}))

    def _write(self, text: str) -> None:
        call = json.loads(text)
        self.calls.append(call)
        if call["method"] == _FLUSH:
            self.asked_at.append(self.loop.now)


def on_its_clock(test: Callable[[Chrome, Loop], Awaitable[None]]) -> None:
    async def run() -> None:
        chrome = Chrome()
        await test(chrome, chrome.loop)

    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(run())


@pytest.mark.parametrize("settles", ["commits", "loads"])
def test_a_flush_is_asked_for_so_long_after_a_page_settled_and_not_before(settles: str) -> None:
    async def test(chrome: Chrome, loop: Loop) -> None:
        if settles == "loads":
            # Its flush is over before the page loads.
            chrome.commits("a")
            await loop.pass_(FLUSH_DELAY_S)
            chrome.asked_at.clear()
        settled = loop.now
        getattr(chrome, settles)("a")
        await loop.pass_(FLUSH_DELAY_S - 0.01)
        assert chrome.asked_at == []
        await loop.pass_(0.02)
        assert chrome.asked_at == [loop.now]
        assert loop.now - settled < CLAIM_S / 2, "the rest is Chrome's"
        await loop.pass_(3600)
        assert len(chrome.asked_at) == 1, "nothing settled since"

    on_its_clock(test)


def test_pages_that_settle_without_end_put_no_flush_off() -> None:
    async def test(chrome: Chrome, loop: Loop) -> None:
        settled: list[float] = []
        for number in range(100):
            settled.append(loop.now)
            chrome.commits(f"p{number}")
            chrome.loads(f"p{number}")
            await loop.pass_(FLUSH_DELAY_S / 10)
        await loop.pass_(FLUSH_DELAY_S)
        for moment in settled:
            first = min(at for at in chrome.asked_at if at > moment)
            assert first - moment <= FLUSH_DELAY_S * 1.1
        assert len(chrome.asked_at) <= 11, "one for a burst"

    on_its_clock(test)


def test_what_is_told_as_flushed_is_the_moment_it_was_asked_for_once_chrome_answered() -> None:
    async def test(chrome: Chrome, loop: Loop) -> None:
        chrome.commits("a")
        began = time.time()
        await loop.pass_(FLUSH_DELAY_S)
        asked = time.time()
        told = [chrome.flushing.at]
        chrome.answers_flush()
        await loop.pass_(0)
        told.append(chrome.flushing.at)
        assert told[0] is None, "Chrome may not have written yet"
        assert told[1] is not None
        assert began <= told[1] <= asked

    on_its_clock(test)
