"""Why a browser ended by itself, as far as the machine tells. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

FULL = 1 << 20
"""Bytes free on a disk that Chrome can no longer use: it writes its databases in larger pieces."""


class Cause(Enum):
    """What ended it."""

    ITSELF = "itself"
    KILLED = "killed"
    DISPLAY = "display"
    MEMORY = "memory"
    DISK = "disk"
    HUNG = "hung"


@dataclass(frozen=True, slots=True)
class Scene:
    """The machine at one moment: how often the kernel has killed for want of memory since it started, and
    the bytes free on the profile's disk."""

    oom_kills: int
    free: int


def cause(*, display: bool, killed: bool, hung: bool, before: Scene, after: Scene) -> Cause:
    """`display`: its X server ended first. `killed`: by SIGKILL, and not by us unless it was `hung`."""
    if hung:
        return Cause.HUNG
    if killed and after.oom_kills > before.oom_kills:
        return Cause.MEMORY
    if after.free < FULL:
        return Cause.DISK
    if display:
        return Cause.DISPLAY
    return Cause.KILLED if killed else Cause.ITSELF


def in_words(cause: Cause, how: str) -> str:
    """`how` is a clause of what was seen of the end."""
    if cause is Cause.MEMORY:
        return f"{how}, when the machine ran out of memory"
    if cause is Cause.DISK:
        return f"{how}, and its disk is full"
    return how
