"""What may be done to a profile that nobody holds, where no token stands for it (rule 18)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import structlog

from browserhost.gatekeeper import Gatekeeper
from browserhost.neighbours import LockService
from browserhost.slot import Slot
from browserhost.tasks import Tasks
from browserhost.whereabouts import Whereabouts
from tenure.errors import DiskFull, TenureError
from tenure.names import ProfileName

_log = structlog.get_logger("unheld")


class Unheld:
    """One profile's. `busy` says whether anybody is at work on it."""

    def __init__(
        self,
        name: ProfileName,
        host: str,
        locks: LockService,
        fence: Gatekeeper,
        slot: Slot,
        browser_lock: asyncio.Lock,
        tasks: Tasks,
        busy: Callable[[], bool],
    ) -> None:
        self._name = name
        self._host = host
        self._locks = locks
        self._fence = fence
        self._slot = slot
        self._browser_lock = browser_lock
        self._tasks = tasks
        self._busy = busy

    @property
    def held(self) -> bool:
        """Whether the last hold was not closed here; an incident's is nobody's any more."""
        marker = self._slot.record.marker
        return marker is not None and marker.held and not marker.suspected

    async def evict(self) -> bool:
        """Close the browser if it is unheld and idle; whether it is gone. Goes on when the caller gives up.

        A hold granted after that was seen waits for the queue, so nobody's browser is closed under him.
        """
        return await self._tasks.whole(self._evict())

    async def _evict(self) -> bool:
        try:
            # Detached: another profile's open asks for this, and its deadline and tenant are not this one's.
            found = await self._tasks.spawn(self._locks.locate(self._name), detached=True)
        except TenureError as error:
            _log.warning("not evicted", profile=str(self._name), why=str(error))
            return False
        if not found.closable_by(self._host) or self.held or self._busy() or self._fence.queue.locked():
            return False
        try:
            async with self._retired(found) as free:
                if free:
                    await self._slot.close()
                return free
        except DiskFull as full:
            _log.warning("not evicted", profile=str(self._name), why=str(full))
            return False

    @asynccontextmanager
    async def _retired(self, found: Whereabouts) -> AsyncIterator[bool]:
        """The browser lock, with the floor above every token that was issued up to what was found.

        False, and no lock, when somebody was at work by then. Raises DiskFull.
        """
        async with self._fence.queue:
            await self._fence.retire(found)
            if self._busy():
                yield False
                return
            async with self._browser_lock:
                yield True
