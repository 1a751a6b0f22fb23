"""What time it is by the clock of whoever wrote a record, told by a clock that nobody sets.

Times in a record are one replica's wall clock's: the moment it was written, and the moment something ends.
The span between them is right however wrong that clock is. So who sees the record being written counts the
span on from there, on a clock that never jumps, and nobody's wall clock matters. Only where a record stood
already when a replica began to look must it ask its own wall clock, once.
"""

from __future__ import annotations

from tenure.names import ProfileName


class Clocks:
    """One for each record that something ends for. All times are milliseconds; `steady_ms` are of a clock
    that goes on while the machine sleeps.
    """

    def __init__(self) -> None:
        self._began: dict[ProfileName, tuple[int, int]] = {}

    def written(self, profile: ProfileName, mod: int, since_ms: int, steady_ms: int) -> None:
        """The record of revision `mod` was seen as it was written, at `since_ms` by its writer's clock.

        Seen late, after an outage, it seems younger than it is: what ends, ends later.
        """
        if self._began.get(profile, (0, 0))[0] != mod:
            self._began[profile] = mod, since_ms - steady_ms

    def stood(self, profile: ProfileName, mod: int, since_ms: int, wall_ms: int, steady_ms: int) -> None:
        """The record was found: it is as old as the wall clock says, and no younger than just written."""
        self.written(profile, mod, max(since_ms, wall_ms), steady_ms)

    def now_ms(self, profile: ProfileName, mod: int, steady_ms: int) -> int | None:
        """The time by the clock of who wrote the record of revision `mod`; None when it was never told of."""
        known, ahead_ms = self._began.get(profile, (0, 0))
        return steady_ms + ahead_ms if known == mod else None

    def forget(self, profile: ProfileName) -> None:
        """Nothing ends for it any more. Idempotent."""
        self._began.pop(profile, None)
