"""Looks at what all browsers cost, now and then, and closes those that are past the host's bounds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

import structlog

from browserhost import vitals
from browserhost.cache import Cache
from browserhost.vitals import Vitals
from tenure.errors import TenureError

SWEEP_S = 10.0

_log = structlog.get_logger("sweeper")


class Sweeper:
    """One host's. `chromes` gives the main process of every live browser by the profile's name."""

    def __init__(
        self,
        cache: Cache,
        chromes: Callable[[], Mapping[str, int]],
        *,
        scan: Callable[[Mapping[str, int]], dict[str, Vitals]] = vitals.scan,
        available: Callable[[], int] = vitals.available,
    ) -> None:
        self._cache = cache
        self._chromes = chromes
        self._scan = scan
        self._available = available

    @property
    def bytes(self) -> int:
        """What all browsers together took at the last look."""
        return sum(self._cache.sizes.values())

    async def sweep(self) -> None:
        """One look. Raises what closing a browser does."""
        found = await asyncio.to_thread(self._scan, self._chromes())
        self._cache.sizes = {key: seen.bytes for key, seen in found.items()}
        await self._cache.trim(available=self._available(), now=time.monotonic())

    async def run(self) -> None:
        """Look every SWEEP_S seconds until cancelled."""
        while True:
            await asyncio.sleep(SWEEP_S)
            try:
                await self.sweep()
            except (TenureError, OSError) as error:
                _log.warning("not swept", why=str(error))
