"""Which warm browsers must go, and whether another may be launched: by count, memory and age. Pure.

Bytes are what only that browser has (anonymous and shared memory, no files), so that they are free once
it is gone. A held browser, or one that somebody is at work on, never goes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Standing:
    """A browser's claim to stay. `held`: its hold was not closed here. `last_used` in seconds, any clock.

    `bytes` as last measured, 0 where not yet. `prewarmed`: nobody has used it so far.
    """

    key: str
    held: bool
    busy: bool
    last_used: float
    bytes: int = 0
    prewarmed: bool = False


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a host may keep. `places` browsers, `most` bytes together (0: no bound), `reserve` bytes of the
    machine left free, and each at most `idle_s` seconds after its last use (0: for ever)."""

    places: int
    most: int = 0
    reserve: int = 0
    idle_s: float = 0.0


def by_turn(standings: Iterable[Standing]) -> list[Standing]:
    """Those that may go, the first to go first: what nobody has used yet, then the least recently used."""
    idle = [each for each in standings if not each.held and not each.busy]
    return sorted(idle, key=lambda each: (not each.prewarmed, each.last_used))


def too_many(standings: Iterable[Standing], bounds: Bounds, *, available: int, now: float) -> dict[str, str]:
    """The browsers to close, in this order, each with why. `available`: bytes that the machine could give."""
    stand = list(standings)
    turn, going = by_turn(stand), dict[str, str]()
    if bounds.idle_s:
        old = [each for each in turn if now - each.last_used > bounds.idle_s]
        going = {each.key: "nobody used it for long" for each in old}
    for each in turn:
        left = [other for other in stand if other.key not in going]
        freed = sum(other.bytes for other in stand if other.key in going)
        if len(left) > bounds.places:
            why = "there are too many"
        elif bounds.most and sum(other.bytes for other in left) > bounds.most:
            why = "browsers take too much memory"
        elif available + freed < bounds.reserve:
            why = "the machine is short of memory"
        else:
            break
        going.setdefault(each.key, why)
    return going


def may_launch(*, available: int, reserve: int, starting: int, each: int) -> bool:
    """Whether one more browser fits beside `starting` that have not taken their memory yet, `each` bytes.

    `reserve` 0 puts no bound: the machine's memory is then nobody's business here.
    """
    return reserve == 0 or available - (starting + 1) * each >= reserve
