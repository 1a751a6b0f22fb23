"""Rule 4 for those whose callers wait elsewhere or nowhere: a free profile with a queue is granted to its
head.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence

import structlog

from lockservice.committer import Committer
from lockservice.core import grant
from lockservice.core.decision import Decision, also
from lockservice.core.hold import Hold
from lockservice.core.keys import Keys
from lockservice.core.record import State
from lockservice.core.snapshot import Sight, Snapshot, Waiter
from lockservice.metrics import Metrics
from lockservice.mirror import Mirror, Touched
from lockservice.parking import Parking
from lockservice.rounds import SWEEP_S, Rounds
from tenure.errors import TenureError
from tenure.names import ProfileName

# The replica where the head's caller is parked grants at once; the others give it this much.
JITTER_S = (0.05, 0.25)
_TXN_S = 5.0

_log = structlog.get_logger("granter")


class Granter:
    """Looks at touched profiles after a jitter, and at all that have a queue every `sweep_s` seconds."""

    def __init__(
        self,
        committer: Committer,
        mirror: Mirror,
        parking: Parking,
        metrics: Metrics,
        sweep_s: float = SWEEP_S,
    ) -> None:
        self._committer = committer
        self._mirror = mirror
        self._parking = parking
        self._metrics = metrics
        self._rounds = Rounds(self._grant, mirror.unheld_queues, sweep_s, self._grantable)

    @property
    def _keys(self) -> Keys:
        return self._mirror.keys

    def look_at(self, touched: list[Touched]) -> None:
        """Note profiles that may be grantable now."""
        for profile, request_id in touched:
            place = self._claimant(profile, request_id)
            if place is not None and not self._parking.is_parked(profile, place.request_id):
                self._rounds.note(profile, random.uniform(*JITTER_S))

    async def run(self) -> None:
        """Grant until cancelled."""
        await self._rounds.run()

    def _grantable(self, profile: ProfileName) -> bool:
        return self._claimant(profile) is not None

    async def _grant(self, profile: ProfileName) -> None:
        place = self._claimant(profile)
        if place is None:
            return
        keys = self._keys
        sight = Sight(keys=keys, profile=profile, worker=place.ask.worker, request_id=place.request_id)

        def decide(snapshot: Snapshot) -> Decision[Hold | None]:
            decision = grant.decide(keys, profile, snapshot, now_ms())
            return also(decision, lambda _: self._metrics.granted_to_head())

        try:
            granted = await self._committer.settle(sight, decide, txn_deadline())
        except TenureError as error:
            # The sweep will try again.
            _log.warning("not granted to the head of the queue", profile=str(profile), why=str(error))
            return
        if granted is not None:
            _log.info("granted to the head of the queue", profile=str(profile), request=place.request_id)

    def _claimant(self, profile: ProfileName, request_id: str = "") -> Waiter | None:
        """Whoever is to be granted a profile now, as far as the mirror shows. `request_id`: nothing happened
        but to that place, so that of those who might resume no other need be looked at.
        """
        if not self._mirror.queue(profile):
            # So it is after nearly every grant and release.
            return None
        snapshot = self._mirror.guess(Sight(keys=self._keys, profile=profile))
        if grant.is_free(snapshot.record):
            return snapshot.head
        if snapshot.record is not None and snapshot.record.state is State.RESUME_PENDING:
            now = now_ms()
            waiting: Sequence[Waiter] = self._mirror.queue(profile)
            if request_id:
                place = self._mirror.place(profile, request_id)
                waiting = (place,) if place is not None else ()
            return next((w for w in waiting if grant.resumes(snapshot.record, w.ask, now)), None)
        return None


def now_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def txn_deadline() -> float:
    """Until when a Txn that nobody waits for is tried, on the event loop's clock."""
    return asyncio.get_running_loop().time() + _TXN_S
