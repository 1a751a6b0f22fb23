"""How much of the lock service one tenant may have, so that none takes it from the others.

Counted on what a replica knows, which may be a moment old, so the caps hold about. They refuse what is new
and never what there is: a place that was given is granted in its turn, whatever the caps say.
"""

from __future__ import annotations

from typing import NamedTuple

from tenure.errors import QuotaExceeded

WAITERS = 10_000
HOLDS = 100_000
WATCHES = 1_000
# Places and holds come and go with runs. Streams come and go with programs, but one that is resumed may find
# room at another replica at once.
_RETRY_S = 5.0


class Caps(NamedTuple):
    """The most that a tenant may have: places in queues, holds, and at each replica streams of profiles."""

    waiters: int = WAITERS
    holds: int = HOLDS
    watches: int = WATCHES

    @property
    def waiters_of_one(self) -> int:
        """The most places in the queue of one profile: half of all, so that others can still wait too."""
        return max(1, self.waiters // 2)


DEFAULT = Caps()


class Room(NamedTuple):
    """What a tenant has of it: holds, places, and places in the queue of the profile asked for."""

    caps: Caps = DEFAULT
    holds: int = 0
    waiters: int = 0
    waiters_here: int = 0

    def no_hold(self) -> QuotaExceeded | None:
        """Why the tenant may not have one more hold; None: it may."""
        if self.holds < self.caps.holds:
            return None
        return _refusal(
            "holds a tenant", self.caps.holds, _RETRY_S, "profiles held", "Release some, and try again."
        )

    def no_place(self) -> QuotaExceeded | None:
        """Why the tenant may not have one more place in this queue; None: it may."""
        if self.waiters >= self.caps.waiters:
            limit, most, what = "waiters a tenant", self.caps.waiters, "acquires waiting"
        elif self.waiters_here >= self.caps.waiters_of_one:
            limit, most = "waiters a profile", self.caps.waiters_of_one
            what = "acquires waiting for this profile"
        else:
            return None
        return _refusal(limit, most, _RETRY_S, what, "Try again when some have had their turn.")


# Of a tenant that has nothing yet.
ALL = Room()


def no_watch(caps: Caps, watches: int) -> QuotaExceeded | None:
    """Why a tenant with so many streams at a replica may not have one more; None: it may."""
    if watches < caps.watches:
        return None
    advice = "End some, or let several readers share one."
    return _refusal("watches a tenant", caps.watches, _RETRY_S, "streams of profiles", advice)


def _refusal(limit: str, most: int, retry_s: float, what: str, advice: str) -> QuotaExceeded:
    text = f"This tenant has as many {what} as it may: {most}. {advice}"
    return QuotaExceeded(text, limit=limit, value=most, retry_after_s=retry_s)
