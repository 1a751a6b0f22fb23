"""What nobody reports: leases that end, runs that take too long, workflows that do not come, a raised epoch.

Every replica looks, at once when a worker's key is deleted and on a sweep. It may run twice or late: the Txn
checks what it can, and mod(p) guards the rest.
"""

from __future__ import annotations

import random
import time

import structlog

from lockservice.core import unclaimed
from lockservice.core.clocks import Clocks
from lockservice.core.oversight import Suspicion, suspicion
from lockservice.core.record import State
from lockservice.granter import now_ms, txn_deadline
from lockservice.mirror import Mirror, Touched
from lockservice.records import Seen
from lockservice.rounds import SWEEP_S, Rounds
from lockservice.suspects import Suspects
from tenure.errors import TenureError
from tenure.names import ProfileName

# Replicas hear of a lease's end at the same moment; this spares most of them the Txn.
JITTER_S = 0.05

_log = structlog.get_logger("overseer")


class Overseer:
    """Looks at touched profiles after a jitter, and at all that are held or waited for every `sweep_s`
    seconds.
    """

    def __init__(self, suspects: Suspects, mirror: Mirror, sweep_s: float = SWEEP_S) -> None:
        self._suspects = suspects
        self._mirror = mirror
        self._clocks = Clocks()
        self._rounds = Rounds(self._look, mirror.bound, sweep_s, self._matters)

    def take_stock(self) -> None:
        """The mirror begins anew: nobody saw when these records were written."""
        wall_ms, steady_ms = now_ms(), _steady_ms()
        for profile in self._mirror.bound():
            if (seen := self._mirror.seen(profile)) is not None:
                self._clocks.stood(profile, seen[1], seen[0].since_ms, wall_ms, steady_ms)

    def look_at(self, touched: list[Touched]) -> None:
        """Note profiles whose hold may be suspect now."""
        steady_ms = _steady_ms()
        for profile, _ in touched:
            if not self._mirror.is_bound(profile):
                self._clocks.forget(profile)
            elif (seen := self._mirror.seen(profile)) is not None:
                self._clocks.written(profile, seen.mod, seen.record.since_ms, steady_ms)
                if self._suspicion_of(profile, seen, steady_ms) is not None:
                    self._rounds.note(profile, random.uniform(0, JITTER_S))

    async def run(self) -> None:
        """Look until cancelled."""
        await self._rounds.run()

    def _matters(self, profile: ProfileName) -> bool:
        return self._suspicion(profile) is not None or self._late(profile) is not None

    def _suspicion(self, profile: ProfileName) -> Suspicion | None:
        seen = self._mirror.seen(profile)
        return None if seen is None else self._suspicion_of(profile, seen, _steady_ms())

    def _suspicion_of(self, profile: ProfileName, seen: Seen, steady_ms: int) -> Suspicion | None:
        record = seen.record
        if record.state is not State.HELD or record.holding is None:
            return None
        worker = self._mirror.workers.get(record.holding.worker)
        now = self._now_ms(profile, seen, steady_ms)
        return suspicion(record, record.holding, worker, self._mirror.epoch.number, now)

    def _late(self, profile: ProfileName) -> int | None:
        """What time it is for a profile whose workflow is late; None while none is."""
        seen = self._mirror.seen(profile)
        if seen is None:
            return None
        now = self._now_ms(profile, seen, _steady_ms())
        return now if unclaimed.is_late(seen.record, now) else None

    def _now_ms(self, profile: ProfileName, seen: Seen, steady_ms: int) -> int:
        """The time by the clock of who wrote the profile's record."""
        known = self._clocks.now_ms(profile, seen.mod, steady_ms)
        return now_ms() if known is None else known

    async def _look(self, profile: ProfileName) -> None:
        try:
            hold, found = self._mirror.hold(profile), self._suspicion(profile)
            if hold is not None and found is not None:
                suspected = await self._suspects.suspect(
                    profile, hold.token, found.cause, found.detail, txn_deadline()
                )
                if suspected.incident:
                    _log.info("suspect", profile=str(profile), token=hold.token, cause=found.cause)
            elif (late := self._late(profile)) is not None and await self._suspects.unclaimed(
                profile, late, txn_deadline()
            ):
                _log.info("its workflow did not come", profile=str(profile))
        except TenureError as error:
            # The sweep will try again.
            _log.warning("not yet suspect", profile=str(profile), why=str(error))


def _steady_ms() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000
