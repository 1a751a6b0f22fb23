"""Waiting until what was written up to a revision has arrived in the mirror."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable

# A watch tells in under a millisecond, on a machine at its limits much later. Revisions of keys that are not
# watched (steps, checkpoints) never come.
QUIET_S = 0.25


class Arrivals:
    """Wakes each who waits once, when its revision is there: a fleet's renewals wait by the thousand, and one
    that another's arrival wakes would have to wait anew.

    `reached`: up to which revision the mirror has everything. `seen`: the highest that any answer showed.
    """

    def __init__(self, reached: Callable[[], int], seen: Callable[[], int]) -> None:
        self._reached = reached
        self._seen = seen
        # By revision, some of whom wait no more.
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._joined = itertools.count()
        self._timer: asyncio.TimerHandle | None = None
        # Nothing has come since then, when no more than this was written, as far as one knew.
        self._silent_since = 0.0
        self._written = 0
        # The highest that anybody waits for; what was written up to `_quiet` either came or never will.
        self._wanted = 0
        self._quiet = 0

    async def until(self, revision: int) -> None:
        """Return once all up to `revision` is there, or nothing has come for a moment."""
        if revision <= self._reached() or revision <= self._quiet:
            return
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()
        first = not self._waiting
        heapq.heappush(self._waiting, (revision, next(self._joined), waiter))
        self._wanted = max(self._wanted, revision)
        if first:
            self._begin_silence(loop)
        if self._timer is None:
            self._timer = loop.call_at(self._silent_since + QUIET_S, self._listened, loop)
        await waiter

    def came(self) -> None:
        """Say that something has arrived."""
        if not self._waiting:
            return
        self._wake(self._reached())
        self._begin_silence(asyncio.get_running_loop())

    def _begin_silence(self, loop: asyncio.AbstractEventLoop) -> None:
        self._silent_since = loop.time()
        self._written = max(self._wanted, self._seen())

    def _listened(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        if self._waiting and loop.time() >= self._silent_since + QUIET_S:
            # Of all that was written before that silence nothing is to come: whoever waits for each write of
            # what is not watched, one after the other, waits once.
            self._quiet = max(self._quiet, self._written)
            self._wake(self._quiet)
            self._begin_silence(loop)
        if self._waiting:
            self._timer = loop.call_at(self._silent_since + QUIET_S, self._listened, loop)

    def _wake(self, upto: int) -> None:
        while self._waiting and self._waiting[0][0] <= upto:
            _, _, waiter = heapq.heappop(self._waiting)
            if not waiter.done():
                waiter.set_result(None)
        if not self._waiting:
            self._wanted = 0
