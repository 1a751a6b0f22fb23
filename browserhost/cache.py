"""How many browsers a host keeps, and which one goes when another must come.

The cache maps a profile directory to its one live browser; the proxy key is a property of that
browser, so `(profile_dir, proxy_key)` hits, and another key closes it first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import structlog

from tenure.errors import NoRoom

_RETRY_S = 5.0

_log = structlog.get_logger("cache")


@dataclass(frozen=True, slots=True)
class Standing:
    """A browser's claim to stay. `held`: its hold was not closed here. `last_used` in seconds, any clock."""

    key: str
    held: bool
    busy: bool
    last_used: float


def victim(standings: Iterable[Standing]) -> str | None:
    """The least recently used browser that nobody holds or is at work on; None when there is none. Pure."""
    idle = [each for each in standings if not each.held and not each.busy]
    return min(idle, key=lambda each: each.last_used).key if idle else None


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
            chosen = victim(candidates)
            if chosen is None:
                raise NoRoom(retry_after_s=_RETRY_S)
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
