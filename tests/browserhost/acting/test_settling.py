"""Watching a page to see it rest, with hands that fail. Without a browser."""

from __future__ import annotations

from typing import Any, cast

import pytest

from browserhost.acting.page import ActedPage
from browserhost.acting.settling import Settling
from browserhost.hands_host import Hands
from tenure.errors import BrowserCrashed


class Acted:
    """A page and the hands on it; they do not get to know whether they watch."""

    def __init__(self) -> None:
        self.client, self.done = self, list[str]()

    def listen(self, listener: Any) -> None:
        pass

    def call(self, method: str, **params: Any) -> None:
        pass

    async def do(self, line: str) -> str:
        self.done.append(line)
        if line == "watch":
            raise BrowserCrashed(problem="it does not answer")
        return ""


async def test_hands_that_may_watch_already_are_told_to_stop() -> None:
    acted = Acted()
    settling = Settling(cast("ActedPage", acted), cast("Hands", acted))
    with pytest.raises(BrowserCrashed):
        async with settling.watching(0):
            raise AssertionError("nothing is acted unwatched")
    assert acted.done == ["watch", "unwatch"]
