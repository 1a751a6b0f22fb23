"""How many browsers a host keeps, and which one goes when another must come.

The cache maps a profile directory to its one live browser; the proxy key is a property of that
browser, so `(profile_dir, proxy_key)` hits, and another key closes it first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol

import structlog

from browserhost.limits import Standing, by_turn
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

    `draining`: the host is to be emptied, so none stays once nobody holds it.
    """

    def __init__(self, capacity: int, profiles: Mapping[str, Evictable]) -> None:
        self.capacity = capacity
        self.draining = False
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
            candidates = [self._profiles[each].standing() for each in self._taken - refused]
            turn = by_turn(candidates)
            if not turn:
                raise NoRoom(retry_after_s=_RETRY_S)
            chosen = turn[0].key
            if await self._profiles[chosen].evict():
                _log.info("evicted", profile=chosen, room_for=key)
            else:
                refused.add(chosen)
        # Safe without a lock: nothing is awaited between the last look at the count and this.
        self._taken.add(key)

    async def empty(self) -> None:
        """Close every browser that nobody holds or is at work on, as far as that can be had now."""
        idle = [self._profiles[each] for each in self._taken]
        standings = [(each, each.standing()) for each in idle]
        await asyncio.gather(*(each.evict() for each, now in standings if not (now.held or now.busy)))

    def free(self, key: str) -> None:
        """Give a place back. Idempotent."""
        self._taken.discard(key)
