"""When a browser that does not answer hangs, and is not just slow. Pure.

A busy machine makes every browser slow: ten launches at once leave some without an answer for seconds.
What tells a hang from that is that nothing of it computes either. So one missed answer never
counts, nor does one while its main process computes or waits to.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

HUNG_S = 10.0
"""Seconds without an answer and without any of its processes computing."""
STUCK_S = 60.0
"""The same for one whose main process waits for a disk, or stands still while its pages go on."""
LEAST_MISSES = 3
"""Looks that found no answer, the first of which only begins the time that counts."""


class Finding(Enum):
    """What a look at a browser says."""

    FINE = "fine"
    MISSED = "missed"
    HUNG = "hung"


@dataclass(frozen=True, slots=True)
class Signs:
    """What the kernel says of a browser. `main` and `all`: clock ticks that its main process, and all of
    its processes together, have computed; `state`: the main process's, a letter as in proc(5)."""

    main: int
    all: int
    state: str


@dataclass(frozen=True, slots=True)
class Beat:
    """What is remembered between two looks. `stood_since` and `quiet_since`: from when on, as far as was
    seen, the main process, or all of them, computed nothing."""

    at: float
    misses: int = 0
    stood_since: float = 0.0
    quiet_since: float = 0.0
    signs: Signs | None = None


def beat(
    was: Beat, now: float, answered: bool, signs: Signs | None, *, longest_pause: float
) -> tuple[Beat, Finding]:
    """A look at `now`, in seconds of a monotonic clock: whether the last question was answered by then.

    `signs` may be None for one that answered. A look that comes more than `longest_pause` after the last
    one says that whoever looks was held up too, and begins anew.
    """
    if answered or signs is None:
        return Beat(now), Finding.FINE
    if was.misses == 0 or was.signs is None or now - was.at > longest_pause:
        return Beat(now, 1, now, now, signs), Finding.MISSED
    before = was.signs
    stood = was.stood_since if before.main == signs.main and signs.state != "R" else now
    quiet = was.quiet_since if before.all == signs.all and signs.state != "R" else now
    seen = Beat(now, was.misses + 1, stood, quiet, signs)
    waits = signs.state == "D"
    hung = now - stood >= STUCK_S or (not waits and now - quiet >= HUNG_S)
    return seen, Finding.HUNG if hung and seen.misses >= LEAST_MISSES else Finding.MISSED
