"""When a snapshot is taken, which are kept, and when one has lost what the others have. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from browserhost import marker as marks
from browserhost.marker import Marker
from browserhost.snapshot.manifest import CLOSED, Manifest

MANY = 10
"""So many cookies are worth missing."""
FAR_BELOW = 0.5


@dataclass(frozen=True, slots=True)
class Policy:
    """`taken`: whether a profile that was closed cleanly gets a snapshot by itself, at most one every
    `every_s` seconds; `keep`: how many of those stay, and how many of those that somebody asked for.
    """

    taken: Literal["closed", "never"] = "closed"
    every_s: float = 3600.0
    keep: int = 3


def is_due(policy: Policy, marker: Marker | None, newest: Manifest | None, now: float) -> bool:
    """Whether a profile that no browser runs on should get a snapshot by itself; `now` in seconds since 1970.

    A level, not an edge: asked again at any time, after a restart too, it says the same.
    """
    if policy.taken != "closed" or marker is None or marker.held or marker.end != marks.CLEAN:
        return False
    if not marker.used or marker.suspected:
        return False
    if newest is None:
        return True
    # A clock that was set back must not keep snapshots away.
    recent = 0 <= now - newest.created_at < policy.every_s
    return not recent and generation(marker) != newest.generation


def generation(marker: Marker | None) -> int:
    """The last token under which a browser was driven; 0 when none was."""
    return (marker.driven or 0) if marker is not None else 0


def kept(policy: Policy, manifests: Sequence[Manifest]) -> set[str]:
    """The ids of those that stay: the newest `keep` of those taken by themselves, as many of the others, and
    the one with the most cookies where the newest has lost them.
    """
    by_age = sorted(manifests, key=lambda each: (each.created_at, each.id), reverse=True)
    own = [each.id for each in by_age if each.cause == CLOSED]
    others = [each.id for each in by_age if each.cause != CLOSED]
    stay = {*own[: policy.keep], *others[: policy.keep]}
    rich = richest(manifests)
    if rich is not None and by_age and far_fewer(by_age[0].cookies, rich):
        stay.add(rich.id)
    return stay


def richest(manifests: Sequence[Manifest]) -> Manifest | None:
    """The one with the most cookies, of equal ones the newest."""
    counted = [each for each in manifests if each.cookies is not None]
    return max(counted, key=lambda each: (each.cookies or 0, each.created_at), default=None)


def newest(manifests: Sequence[Manifest]) -> Manifest | None:
    """The one that was taken last."""
    return max(manifests, key=lambda each: (each.created_at, each.id), default=None)


def far_fewer(cookies: int | None, before: Manifest | None) -> str:
    """What is to be said of so many cookies after a snapshot that had many more; empty: nothing.

    Sites sign people out by clearing cookies, and Chrome razes a damaged database without a word: either way
    a login is likely to be lost, and a person should know.
    """
    if cookies is None or before is None or before.cookies is None or before.cookies < MANY:
        return ""
    if cookies >= before.cookies * FAR_BELOW:
        return ""
    return f"{cookies} cookies, and snapshot {before.id} has {before.cookies}"
