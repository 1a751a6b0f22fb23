"""Looking at profiles: soon after something happened to them, and at all that matter on every sweep.

So a level and not an edge: whatever got lost, the next look finds it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable

import structlog

from tenure.names import ProfileName

SWEEP_S = 1.0
# So many looks are under way at once: a worker may die with a thousand holds.
_AT_ONCE = 64

_log = structlog.get_logger("rounds")


class Rounds:
    """Calls `look` for each profile that was noted, when it is due, and every `sweep_s` seconds, a bit less
    at random so that replicas do not march in step, for each that `level` names.
    """

    def __init__(
        self,
        look: Callable[[ProfileName], Awaitable[None]],
        level: Callable[[], Iterable[ProfileName]],
        sweep_s: float,
    ) -> None:
        self._look = look
        self._level = level
        self._sweep_s = sweep_s
        self._due: dict[ProfileName, float] = {}
        self._stirred = asyncio.Event()

    def note(self, profile: ProfileName, after_s: float) -> None:
        """Look at a profile in `after_s` seconds, unless that is due earlier anyway."""
        self._due.setdefault(profile, asyncio.get_running_loop().time() + after_s)
        self._stirred.set()

    async def run(self) -> None:
        """Look until cancelled."""
        loop = asyncio.get_running_loop()
        next_sweep = loop.time() + self._pause_s()
        while True:
            self._stirred.clear()
            try:
                async with asyncio.timeout_at(min([next_sweep, *self._due.values()])):
                    await self._stirred.wait()
            except TimeoutError:
                now = loop.time()
                due = [profile for profile, at in self._due.items() if at <= now]
                for profile in due:
                    del self._due[profile]
                await self._look_at(due)
                if now >= next_sweep:
                    await self._look_at(list(self._level()))
                    next_sweep = loop.time() + self._pause_s()

    async def _look_at(self, profiles: list[ProfileName]) -> None:
        for start in range(0, len(profiles), _AT_ONCE):
            batch = profiles[start : start + _AT_ONCE]
            for profile, outcome in zip(
                batch, await asyncio.gather(*map(self._look, batch), return_exceptions=True), strict=True
            ):
                if isinstance(outcome, Exception):
                    # One that cannot be read must not keep the others from being looked at.
                    _log.error("not looked at", profile=str(profile), exc_info=outcome)

    def _pause_s(self) -> float:
        return self._sweep_s * random.uniform(0.5, 1)
