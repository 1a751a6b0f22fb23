"""Watches one session: what is called and committed in its browser, and a picture every so often."""

from __future__ import annotations

import asyncio
from typing import Protocol

from browserhost.page import Observer
from browserhost.picture import NoPicture, Picture, Wish
from browserhost.tasks import Tasks
from browserhost.witness.ledger import NOTE, SCREENSHOT, STEP, Item
from browserhost.witness.recording import Recording
from browserhost.witness.touch import observes
from tenure.errors import TenureError

EVERY_S = 10.0
"""At most one picture in this time, however much goes on."""
DELAY_S = 1.0
"""From the first activity to its picture: what was done should show on it."""
PICTURE_S = 3.0
"""How long a picture may take; one that takes longer is given up."""
STEP_S = 1.5
"""How long a step may be kept waiting for its picture; less than the gateway waits, whose caller has the time
for that, so that it is on record when there is none.
"""
_WISH = Wish("image/jpeg")


class Watched(Protocol):
    """A browser, as a watch sees it."""

    async def picture(self, wish: Wish) -> Picture: ...

    def watch(self, observer: Observer) -> None: ...


class Watch:
    """One session's. `stop` when its session is cut; what is recorded stays."""

    def __init__(self, recording: Recording, browser: Watched, tasks: Tasks) -> None:
        self.recording = recording
        self._browser = browser
        self._tasks = tasks
        self._timer: asyncio.TimerHandle | None = None
        self._next = 0.0
        self._stopped = False

    def called(self, method: str) -> None:
        """A client's call is about to be passed on."""
        if not observes(method):
            self.touched(method)

    def touched(self, what: str) -> None:
        """Something is about to be done to the account."""
        self.recording.touch(what)
        self._active()

    def committed(self, url: str, *, own: bool) -> None:
        """A main frame shows another document."""
        self.recording.committed(url, own=own)
        self._active()

    def submits(self, frame: str) -> None:
        """A form is being sent."""
        self.recording.submits(frame)

    def landed(self, frame: str) -> None:
        """A frame within a page shows another document."""
        self.recording.landed(frame)

    async def step(self, seq: int, name: str) -> Item | None:
        """Record that a step begins, with a picture when one can be had in time."""
        why = "the session was cut, or its host left"
        try:
            async with asyncio.timeout(STEP_S):
                taken = await self._browser.picture(_WISH)
        except (NoPicture, TenureError, TimeoutError) as error:
            why = str(error) or f"it took longer than {STEP_S:g} s"
        else:
            if not self._stopped:
                keep = self.recording.keep
                return await keep(STEP, taken.data, taken.media_type, text=name, step_seq=seq)
        return await self.recording.step(seq, name, why)

    async def last(self, text: str) -> Item | None:
        """Take a picture of a session that was cut. The caller keeps the browser as it is, and bounds it."""
        return await self._shoot(text)

    def resume(self) -> None:
        """Go on after a `stop`."""
        self._stopped = False

    def stop(self) -> None:
        """Take no more pictures by itself. Idempotent."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _active(self) -> None:
        if self._timer is None and not self._stopped:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(max(loop.time() + DELAY_S, self._next), self._due)

    def _due(self) -> None:
        self._timer = None
        self._next = asyncio.get_running_loop().time() + EVERY_S
        self._tasks.spawn(self._shoot(""), detached=True)

    async def _shoot(self, text: str) -> Item | None:
        """A picture's item; None, and a note that says why, when none could be had."""
        was_stopped = self._stopped
        try:
            async with asyncio.timeout(PICTURE_S):
                taken = await self._browser.picture(_WISH)
        except (NoPicture, TenureError, TimeoutError) as error:
            why = str(error) or f"it took longer than {PICTURE_S:g} s"
            self.recording.say(NOTE, f"no picture: {why}")
            return None
        if self._stopped != was_stopped:
            return None  # it may show the next session's page
        return await self.recording.keep(SCREENSHOT, taken.data, taken.media_type, text=text)
