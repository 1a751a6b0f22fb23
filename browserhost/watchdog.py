"""Asks every browser whether it answers, and ends the one that hangs.

Not a browser that is slow: `hang` tells the two apart. A hung one's hold is lost to a known cause, and
its profile is inspected before the next start, as after every such end.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from browserhost import hang, vitals
from browserhost.hang import Beat, Finding
from browserhost.tasks import Tasks
from browserhost.vitals import Vitals
from browserhost.workshop import LiveBrowser

LOOK_S = 5.0
_LONGEST_PAUSE_S = 2 * LOOK_S + 2.0

_log = structlog.get_logger("watchdog")


@dataclass(slots=True)
class _Watched:
    browser: LiveBrowser
    asked: asyncio.Task[None]
    beat: Beat


class Watchdog:
    """One host's. `browsers` gives every live one by the profile's name. `aclose` when done."""

    def __init__(
        self,
        browsers: Callable[[], Mapping[str, LiveBrowser]],
        *,
        now: Callable[[], float] = time.monotonic,
        scan: Callable[[Mapping[str, int]], dict[str, Vitals]] = lambda pids: vitals.scan(pids, memory=False),
    ) -> None:
        self._browsers = browsers
        self._now = now
        self._scan = scan
        self._tasks = Tasks()
        self._watched: dict[str, _Watched] = {}

    @property
    def silent(self) -> list[str]:
        """Those that have not answered yet, by the profile's name."""
        return [key for key, each in self._watched.items() if not each.asked.done()]

    async def look(self) -> None:
        """One look: who has answered what the last one asked; each that has is asked anew."""
        live = dict(self._browsers())
        self._watched = {
            key: watched for key, watched in self._watched.items() if watched.browser is live.get(key)
        }
        silent = {key: each.browser.pid for key, each in self._watched.items() if not each.asked.done()}
        found = await asyncio.to_thread(self._scan, silent) if silent else {}
        now = self._now()
        for key, browser in live.items():
            watched = self._watched.get(key)
            if watched is None:
                self._watched[key] = _Watched(browser, self._ask(browser), Beat(now))
                continue
            signs = found[key].signs if key in found else None
            answered = watched.asked.done()
            watched.beat, finding = hang.beat(
                watched.beat, now, answered, signs, longest_pause=_LONGEST_PAUSE_S
            )
            if answered:
                watched.asked = self._ask(browser)
            elif finding is Finding.HUNG:
                self._end(key, browser, watched.beat)

    async def run(self) -> None:
        """Look every LOOK_S seconds until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self.look()
            except OSError as error:
                _log.warning("not looked", why=str(error))

    async def aclose(self) -> None:
        """Stop waiting for answers. Idempotent."""
        await self._tasks.aclose()

    def _ask(self, browser: LiveBrowser) -> asyncio.Task[None]:
        # One that breaks meanwhile has answered as well as it can: its end is told elsewhere.
        return self._tasks.spawn(browser.answers(), detached=True)

    def _end(self, key: str, browser: LiveBrowser, beat: Beat) -> None:
        state = beat.signs.state if beat.signs is not None else "?"
        _log.warning("hung", profile=key, misses=beat.misses, state=state)
        browser.put_down(f"it hung: no answer to {beat.misses} looks, and nothing computed")
