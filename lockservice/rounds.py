"""Looking at profiles: soon after something happened to them, and at all that matter on every sweep.

So a level and not an edge: whatever got lost, the next look finds it.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

import structlog

from lockservice.core.turns import Turns
from tenure.names import ProfileName

SWEEP_S = 1.0
# So many looks are under way at once: a worker may die with a thousand holds. A tenant has at most half of
# what the others leave, so looks that take long, all of one tenant, do not keep another's from beginning.
# Half each time, rounded up: 64, 32, 16, 8, 4, 2, 1, 1. Eight tenants of nothing but such looks have all, and
# everybody else waits until one of those ends.
AT_ONCE = 128
# For so long profiles are looked through before others get a turn.
SLICE_S = 0.002

_log = structlog.get_logger("rounds")


class Rounds:
    """Calls `look` for each profile that was noted, when it is due, and every `sweep_s` seconds, a bit less
    at random so that replicas do not march in step, for each that `level` names and that `matters`.

    Tenants take turns, and none has all the looks under way, so that neither a storm in one nor looks that
    take long delay anybody else's by more than one look of each tenant; and a profile is looked at by one
    call at a time.
    """

    def __init__(
        self,
        look: Callable[[ProfileName], Coroutine[Any, Any, None]],
        level: Callable[[], Sequence[ProfileName]],
        sweep_s: float,
        matters: Callable[[ProfileName], bool] = lambda _: True,
    ) -> None:
        self._look = look
        self._level = level
        self._matters = matters
        self._sweep_s = sweep_s
        # When each noted profile is due; and those moments in order, some of which count no more.
        self._due: dict[ProfileName, float] = {}
        self._moments: list[tuple[float, int, ProfileName]] = []
        self._noted = itertools.count()
        self._turns = Turns()
        self._looking: dict[ProfileName, asyncio.Task[None]] = {}
        # How many of these are a tenant's.
        self._looking_of: Counter[str] = Counter()
        self._stirred = asyncio.Event()

    def note(self, profile: ProfileName, after_s: float) -> None:
        """Look at a profile in `after_s` seconds, unless that is due earlier anyway."""
        at = asyncio.get_running_loop().time() + after_s
        if at >= self._due.get(profile, float("inf")):
            return
        self._due[profile] = at
        heapq.heappush(self._moments, (at, next(self._noted), profile))
        if self._moments[0][2] is profile:
            self._stirred.set()

    async def run(self) -> None:
        """Look until cancelled."""
        next_sweep = self._after_pause()
        try:
            while True:
                self._stirred.clear()
                if asyncio.get_running_loop().time() >= next_sweep:
                    next_sweep = await self._sweep()
                self._take_due()
                self._start()
                at = min(next_sweep, self._moments[0][0]) if self._moments else next_sweep
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout_at(at):
                        await self._stirred.wait()
        finally:
            looking = list(self._looking.values())
            for task in looking:
                task.cancel()
            await asyncio.gather(*looking, return_exceptions=True)

    def _take_due(self) -> None:
        now = asyncio.get_running_loop().time()
        while self._moments and self._moments[0][0] <= now:
            at, _, profile = heapq.heappop(self._moments)
            if self._due.get(profile) == at:
                del self._due[profile]
                self._turns.add(profile)

    async def _sweep(self) -> float:
        """Give all that matter a turn. Returns when to do it again."""
        loop = asyncio.get_running_loop()
        began = since = loop.time()
        for profile in self._level():
            if self._matters(profile):
                self._turns.add(profile)
            if loop.time() - since >= SLICE_S:
                # There may be a hundred thousand, or one with a queue of thousands: calls, and what is due,
                # go on meanwhile.
                self._take_due()
                self._start()
                await asyncio.sleep(0)
                since = loop.time()
        # Where very much is to be looked through, a tenth of the time is enough for it.
        return max(self._after_pause(), loop.time() + 9 * (loop.time() - began))

    def _start(self) -> None:
        """Look at those whose turn it is, as many as may be looked at at once."""
        busy = []
        while len(self._looking) < AT_ONCE:
            profile = self._turns.take(self._has_room)
            if profile is None:
                break
            if profile in self._looking:
                busy.append(profile)
                continue
            task = asyncio.create_task(self._look(profile), name=f"look at {profile}")
            self._looking[profile] = task
            self._looking_of[profile.tenant] += 1
            task.add_done_callback(partial(self._looked, profile))
        for profile in busy:
            # What happened while it was looked at is looked at after that.
            self._turns.add(profile)

    def _has_room(self, tenant: str) -> bool:
        own = self._looking_of[tenant]
        return 2 * own < AT_ONCE - (len(self._looking) - own)

    def _looked(self, profile: ProfileName, task: asyncio.Task[None]) -> None:
        del self._looking[profile]
        self._looking_of[profile.tenant] -= 1
        if not self._looking_of[profile.tenant]:
            del self._looking_of[profile.tenant]
        self._stirred.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            # One that cannot be read must not keep the others from being looked at.
            _log.error("not looked at", profile=str(profile), exc_info=error)

    def _after_pause(self) -> float:
        return asyncio.get_running_loop().time() + self._sweep_s * random.uniform(0.5, 1)
