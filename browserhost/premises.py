"""What belongs to one profile at this host, for whoever works on it without a token (rule 18)."""

from __future__ import annotations

import time
from dataclasses import dataclass

from browserhost import durable
from browserhost.gatekeeper import Gatekeeper
from browserhost.neighbours import LockService
from browserhost.paths import ProfilePaths
from browserhost.slot import Slot
from browserhost.tasks import Tasks, in_thread
from browserhost.underway import Underway
from browserhost.whereabouts import changed
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

    def token(self, revision: int) -> int:
        """The highest token that can have been issued up to `revision`, as far as the floor's epoch tells."""
        return tokens.pack(self.fence.state.floor >> tokens.REVISION_BITS, revision)

    async def find(self, finding: str) -> None:
        """Put what is to be said of the directory on record. Raises DiskFull."""
        marker = self.slot.record.marker
        line = f"{time.time():.3f} {marker.token if marker else 0} {finding}"
        await in_thread(durable.append, self.paths.findings, line.encode())
