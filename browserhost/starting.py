"""Whether Chrome may be started on a profile directory: rules 17 and 19 of the protocol. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from browserhost import marker as marks
from browserhost.inspect.verdict import Inspection, Verdict
from browserhost.marker import Marker


class Start(Enum):
    """What to do about a start."""

    FRESH = "there is nothing yet: Chrome makes the directory"
    SURE = "its last end was seen to be clean: no inspection is needed"
    INSPECT = "its last end is unproven: look first"
    MISSING = "it was used and is gone"


@dataclass(frozen=True, slots=True)
class Judgement:
    """After an inspection: may it start, and the words that go on record (empty: nothing to say)."""

    start: bool
    finding: str = ""


def before_start(present: bool, marker: Marker | None, used_elsewhere: bool) -> Start:
    """The first question; `used_elsewhere` is what the lock service knows of earlier holds."""
    if not present:
        used = used_elsewhere or (marker is not None and marker.used)
        return Start.MISSING if used else Start.FRESH
    return Start.SURE if marker is not None and marker.end == marks.CLEAN else Start.INSPECT


def after_inspection(inspection: Inspection, marker: Marker | None, token: int) -> Judgement:
    """The second question. `token` is the current hold; `marker` is as it stood when the browser ended."""
    words = f"{inspection.verdict.value}: {'; '.join(inspection.findings)}"
    if inspection.verdict is Verdict.CLEAN:
        return Judgement(start=True)
    if inspection.verdict is Verdict.UNCLEAN_CONSISTENT and marker is not None:
        accepted = _accepted(marker, token)
        if accepted:
            return Judgement(start=True, finding=f"{words} (started: {accepted})")
    return Judgement(start=False, finding=words)


def _accepted(marker: Marker, token: int) -> str:
    """Why an unclean but consistent directory may start; empty: it may not."""
    if not marker.used:
        return "no browser on it ever came up, so there is nothing to lose"
    # Safe, because a profile at home here is released only after its hold was closed here, which
    # takes `held` off the marker; so a later hold over a held marker was let in by a decision.
    if marker.held and token > marker.token:
        return f"a decision freed it after hold {marker.token}"
    if not marker.held and marker.flushed_at is not None:
        return "nobody held it and its cookies were on disk"
    return ""
