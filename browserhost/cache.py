"""How many browsers a host keeps, and which one goes when another must come.

The cache maps a profile directory to its one live browser; the proxy key is a property of that
browser, so `(profile_dir, proxy_key)` hits, and another key closes it first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

import structlog

from browserhost.limits import Bounds, Standing, by_turn, too_many
from tenure.errors import NoRoom

_RETRY_S = 5.0

_log = structlog.get_logger("cache")


class Evictable(Protocol):
    """A profile, as the cache sees it."""

    def standing(self) -> Standing: ...

    async def evict(self) -> bool:
        """Close the browser cleanly if it is still unheld and idle; whether it is gone."""
        ...


class Cache:
    """Counts the places that browsers take, also those that are just being launched.

    `bounds` beside the count take effect with `trim`. `draining`: the host is to be emptied, so none
    stays once nobody holds it. `sizes`: bytes by key, as whoever measures last found them.
    """

    def __init__(
        self, capacity: int, profiles: Mapping[str, Evictable], bounds: Bounds | None = None
    ) -> None:
        self.capacity = capacity
        self.draining = False
        self.sizes: Mapping[str, int] = {}
        self.bounds = bounds or Bounds(capacity)
        self._profiles = profiles
        self._taken: set[str] = set()

    @property
    def taken(self) -> int:
        return len(self._taken)

    async def reserve(self, key: str) -> None:
        """Take a place for a profile's browser, evicting another when all are taken. Idempotent.

        Raises NoRoom when every browser is held or at work. A held one is never evicted.
        """
        refused: set[str] = set()
        while key not in self._taken and len(self._taken) >= self.capacity:
            if not await self._evict_one(refused, "another takes its place"):
                raise NoRoom(retry_after_s=_RETRY_S)
        # Safe without a lock: nothing is awaited between the last look at the count and this.
        self._taken.add(key)

    def take(self, key: str) -> None:
        """Take a place for a browser that runs already, though there be none left. Idempotent."""
        self._taken.add(key)

    async def make_room(self) -> bool:
        """Close the browser whose turn it is to go; False when there is none that may."""
        return await self._evict_one(set(), "another needs its memory")

    async def trim(self, *, available: int, now: float) -> None:
        """Close what is past the bounds. `available` bytes the machine could give; `now` as `last_used`."""
        bounds = replace(self.bounds, places=self.capacity)
        for key, why in too_many(self._standings(), bounds, available=available, now=now).items():
            await self._evict(key, why)

    async def empty(self) -> None:
        """Close every browser that nobody holds or is at work on, as far as that can be had now."""
        turn = by_turn(self._standings())
        await asyncio.gather(*(self._profiles[each.key].evict() for each in turn))

    def free(self, key: str) -> None:
        """Give a place back. Idempotent."""
        self._taken.discard(key)

    def _standings(self) -> list[Standing]:
        stand = (self._profiles[each].standing() for each in self._taken)
        return [replace(each, bytes=self.sizes.get(each.key, 0)) for each in stand]

    async def _evict_one(self, refused: set[str], why: str) -> bool:
        """Close the next that may go and can; those that could not are `refused`, and not asked again."""
        while True:
            turn = by_turn(each for each in self._standings() if each.key not in refused)
            if not turn:
                return False
            if await self._evict(turn[0].key, why):
                return True
            refused.add(turn[0].key)

    async def _evict(self, key: str, why: str) -> bool:
        gone = await self._profiles[key].evict()
        if gone:
            _log.info("evicted", profile=key, why=why)
        return gone
