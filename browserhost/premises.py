"""What belongs to one profile at this host, for whoever works on it without a token (rule 18)."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from browserhost import durable
from browserhost.gatekeeper import Gatekeeper
from browserhost.neighbours import LockService
from browserhost.paths import ProfilePaths
from browserhost.slot import Slot
from browserhost.tasks import Tasks, in_thread
from browserhost.underway import Underway
from browserhost.whereabouts import Whereabouts, changed
from browserhost.workshop import Workshop
from browserhost.yielding import YieldingLock
from tenure import token as tokens
from tenure.names import ProfileName


@dataclass(frozen=True, slots=True)
class Premises:
    """One profile's. The fence's queue comes before the browser lock, which comes before our flock."""

    paths: ProfilePaths
    workshop: Workshop
    fence: Gatekeeper
    slot: Slot
    browser_lock: YieldingLock
    locks: LockService
    underway: Underway
    tasks: Tasks

    @property
    def name(self) -> ProfileName:
        return self.paths.name

    @property
    def host(self) -> str:
        return self.workshop.host

    def refuse_when_held(self, revision: int) -> None:
        """Of what was granted up to `revision` nothing runs any more: it was drained. Raises TokenSuperseded
        when something later does.
        """
        marker = self.slot.record.marker
        later = marker is not None and marker.held and marker.token > self.token(revision)
        if later or self.underway.busy:
            raise changed(self.name, revision)

    @asynccontextmanager
    async def vacated(self, found: Whereabouts) -> AsyncIterator[None]:
        """The directory with nobody on it, to put another in its place: nothing that was granted up to what
        was found is served any more, nothing that was granted later has ever been, and whoever is let in now
        waits. The queue is left before, so what cuts somebody off does not wait for what is done in here.

        Raises TokenSuperseded, DiskFull, ProfileCorrupt.
        """
        async with self.fence.queue:
            await self.fence.retire(found)
            self._refuse_what_came_later(found.revision)
        async with self.browser_lock:
            self._refuse_what_came_later(found.revision)
            await self.slot.close()
            descriptor = await self.slot.directory.lock({})
            try:
                yield
            finally:
                os.close(descriptor)

    def _refuse_what_came_later(self, revision: int) -> None:
        """Once retired: whatever was served since, or closed without a browser, has raised the floor; only
        the very next token stands at it until its end, and then it is held or under way.
        """
        if self.fence.state.floor > self.token(revision) + 1:
            raise changed(self.name, revision)
        self.refuse_when_held(revision)

    def token(self, revision: int) -> int:
        """The highest token that can have been issued up to `revision`, as far as the floor's epoch tells."""
        return tokens.pack(self.fence.state.floor >> tokens.REVISION_BITS, revision)

    async def find(self, finding: str) -> None:
        """Put what is to be said of the directory on record. Raises DiskFull."""
        marker = self.slot.record.marker
        line = f"{time.time():.3f} {marker.token if marker else 0} {finding}"
        await in_thread(durable.append, self.paths.findings, line.encode())
