"""What a profile directory is worth, from what was seen in it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum


class Verdict(Enum):
    """Named as `tenure.v1.DirectoryFinding`."""

    LIVE = "LIVE"
    CLEAN = "CLEAN"
    UNCLEAN_CONSISTENT = "UNCLEAN_CONSISTENT"
    CORRUPT = "CORRUPT"
    MISSING = "MISSING"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class Inspection:
    """The verdict, why in words, the last URL and the number of stored cookies (None: not readable)."""

    verdict: Verdict
    findings: tuple[str, ...]
    last_url: str = ""
    cookies: int | None = None


@dataclass(slots=True)
class Sight:
    """What was seen. Each list holds sentences' ends, such as `Default/Cookies is empty`."""

    present: bool = True
    owners: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    damage: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)


def judge(sight: Sight) -> tuple[Verdict, tuple[str, ...]]:
    """The verdict and its findings. What is in doubt never counts for the better.

    LIVE comes first: the stores of a running browser look damaged. Damage comes before doubt,
    since a layout that is not known does not heal a store that is.
    """
    if not sight.present:
        return Verdict.MISSING, ("the directory is not there",)
    if sight.owners:
        return Verdict.LIVE, tuple(sight.owners)
    if sight.damage:
        return Verdict.CORRUPT, tuple(sight.damage + sight.unknown + sight.unfinished)
    if sight.unknown:
        return Verdict.UNKNOWN, tuple(sight.unknown + sight.unfinished)
    if sight.unfinished:
        return Verdict.UNCLEAN_CONSISTENT, tuple(sight.unfinished)
    return Verdict.CLEAN, ()
