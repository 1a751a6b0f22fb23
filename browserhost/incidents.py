"""Holds that went wrong at this host: ended here, on record, and reported until that was heard."""

from __future__ import annotations

import asyncio

from browserhost.gatekeeper import Gatekeeper
from browserhost.neighbours import LockService
from browserhost.record import Record
from browserhost.tasks import Tasks
from tenure.errors import HoldRevoked, ProfileQuarantined, StoreUnavailable, TenureError
from tenure.names import ProfileName

REPORT_WAIT_S = 5.0


class Incidents:
    """One profile's."""

    def __init__(
        self, name: ProfileName, fence: Gatekeeper, record: Record, locks: LockService, tasks: Tasks
    ) -> None:
        self._name = name
        self._fence = fence
        self._record = record
        self._locks = locks
        self._tasks = tasks
        self._report: asyncio.Task[None] | None = None
        marker = record.marker
        if marker is not None and marker.suspected:
            fence.remember(marker.token, self.revoked(marker.token))

    def is_one(self, token: int) -> bool:
        """Whether the token's hold has become an incident, as far as is known here."""
        marker = self._record.marker
        return marker is not None and marker.token == token and bool(marker.report or marker.suspected)

    def quarantined(self) -> ProfileQuarantined:
        """What is answered about a hold that has become an incident."""
        return ProfileQuarantined(profile=str(self._name), state="SUSPECTED_STALE")

    def revoked(self, token: int) -> HoldRevoked:
        """What a worker is told whose hold became an incident for a cause that this host does not know.

        Not LEASE_EXPIRED: its lease may well go on. HOLD_REVOKED is true of every cause, says that the
        hold is over, and that its work must stop.
        """
        return HoldRevoked(profile=str(self._name), token=token)

    async def recover(self, boot_id: str) -> None:
        """At the start of the service: end a hold that an earlier one left open (rule 17). Does not raise."""
        marker = self._record.marker
        if marker is None or not marker.held or marker.suspected:
            return
        cause = marker.report or "HOST_RESTARTED"
        await self.condemn(marker.token, cause, marker.detail or _ended_how(marker.boot_id, boot_id))

    async def condemn(self, token: int, cause: str, detail: str, error: TenureError | None = None) -> None:
        """End a token whose hold went wrong here, and report it until that is heard. Does not raise.

        `error` is what whoever uses the token is told from now on.
        """
        async with self._fence.queue:
            marker = self._record.marker
            if marker is not None and marker.token > token:
                # A later hold was let in meanwhile, so a decision has dealt with this one.
                return
            if self._report is not None and self.is_one(token):
                # Its browser's end and what it broke are both seen: one incident, told once.
                return
            await self._fence.end(token, error or self.quarantined())
            await self._record.condemn(token, cause, detail)
            self._report = self._tasks.spawn(self._tell(token, cause, detail), detached=True)

    async def wait_until_told(self) -> None:
        """Nothing is served before the lock service has heard of what went wrong. Raises StoreUnavailable."""
        if self._report is not None and not self._report.done():
            await asyncio.wait([self._report], timeout=REPORT_WAIT_S)
            if not self._report.done():
                raise StoreUnavailable("The last hold's end is not yet reported to the lock service.")

    async def _tell(self, token: int, cause: str, detail: str) -> None:
        suspected = await self._locks.suspect(self._name, token, cause, detail)
        async with self._fence.queue:
            await self._record.reported(token, suspected)


def _ended_how(before: str, now: str) -> str:
    """In words, from the boot under which the browser was started and this one."""
    if before and before != now:
        return "the host's machine was started anew while the hold lasted"
    return "the browser host restarted while the hold lasted"
