"""Rule 4 for those whose callers wait elsewhere or nowhere: a free profile with a queue is granted to its
head.

On every event and on a sweep, so a level and not an edge: whatever got lost, the next look finds it.
"""

from __future__ import annotations

import asyncio
import random
import time

import structlog

from lockservice.committer import Committer
from lockservice.core import grant, suspect
from lockservice.core.decision import Decision
from lockservice.core.hold import Hold
from lockservice.core.keys import Keys
from lockservice.core.record import State
from lockservice.core.snapshot import Sight, Snapshot, Waiter
from lockservice.mirror import Mirror, Touched
from lockservice.parking import Parking
from tenure.errors import TenureError
from tenure.names import ProfileName

SWEEP_S = 2.0
# The replica where the head's caller is parked grants at once; the others give it this much.
JITTER_S = (0.05, 0.25)
_TXN_S = 5.0

_log = structlog.get_logger("granter")


class Granter:
    """Looks at touched profiles after a jitter, and at all that have a queue every `sweep_s` seconds."""

    def __init__(
        self, committer: Committer, mirror: Mirror, parking: Parking, sweep_s: float = SWEEP_S
    ) -> None:
        self._committer = committer
        self._mirror = mirror
        self._parking = parking
        self._sweep_s = sweep_s
        self._due: dict[ProfileName, float] = {}
        self._stirred = asyncio.Event()

    @property
    def _keys(self) -> Keys:
        return self._mirror.keys

    def look_at(self, touched: list[Touched]) -> None:
        """Note profiles that may be grantable now."""
        now = asyncio.get_running_loop().time()
        for profile, _ in touched:
            place = self._claimant(profile)
            if place is not None and not self._parking.is_parked(profile, place.request_id):
                self._due.setdefault(profile, now + random.uniform(*JITTER_S))
                self._stirred.set()

    async def run(self) -> None:
        """Grant until cancelled."""
        loop = asyncio.get_running_loop()
        next_sweep = loop.time() + self._sweep_s * random.uniform(0.5, 1)
        while True:
            wake_at = min([next_sweep, *self._due.values()])
            self._stirred.clear()
            try:
                async with asyncio.timeout_at(wake_at):
                    await self._stirred.wait()
            except TimeoutError:
                now = loop.time()
                due = [profile for profile, at in self._due.items() if at <= now]
                for profile in due:
                    del self._due[profile]
                    await self._grant(profile)
                if now >= next_sweep:
                    await self._sweep()
                    next_sweep = loop.time() + self._sweep_s * random.uniform(0.5, 1)

    async def _sweep(self) -> None:
        for profile in self._mirror.queued():
            await self._grant(profile)
        for profile in self._mirror.profiles():
            hold = self._mirror.hold(profile)
            if hold is not None and hold.record.epoch != self._mirror.epoch.number:
                await self._suspect_restored(profile, hold.token)

    async def _grant(self, profile: ProfileName) -> None:
        place = self._claimant(profile)
        if place is None:
            return
        keys = self._keys
        sight = Sight(keys=keys, profile=profile, worker=place.ask.worker, request_id=place.request_id)

        def decide(snapshot: Snapshot) -> Decision[Hold | None]:
            return grant.decide(keys, profile, snapshot, now_ms())

        try:
            granted = await self._committer.settle(sight, decide, _deadline())
        except TenureError as error:
            # The sweep will try again.
            _log.warning("not granted to the head of the queue", profile=str(profile), why=str(error))
            return
        if granted is not None:
            _log.info("granted to the head of the queue", profile=str(profile), request=place.request_id)

    async def _suspect_restored(self, profile: ProfileName, token: int) -> None:
        keys = self._keys
        sight = Sight(keys=keys, profile=profile, token=token)

        def decide(snapshot: Snapshot) -> Decision[suspect.Suspected]:
            return suspect.decide(
                keys,
                profile,
                snapshot,
                token=token,
                cause=suspect.RESTORED,
                detail="the epoch was raised after a restore",
                now_ms=now_ms(),
            )

        try:
            await self._committer.settle(sight, decide, _deadline())
        except TenureError as error:
            _log.warning("a hold of the old epoch is not yet suspect", profile=str(profile), why=str(error))

    def _claimant(self, profile: ProfileName) -> Waiter | None:
        """Whoever is to be granted a profile now, as far as the mirror shows."""
        snapshot = self._mirror.guess(Sight(keys=self._keys, profile=profile))
        if grant.is_free(snapshot.record):
            return snapshot.head
        if snapshot.record is not None and snapshot.record.state is State.RESUME_PENDING:
            now = now_ms()
            waiting = self._mirror.queue(profile)
            return next((w for w in waiting if grant.resumes(snapshot.record, w.ask, now)), None)
        return None


def now_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def _deadline() -> float:
    return asyncio.get_running_loop().time() + _TXN_S
