"""What a step says of Tenure, and what it shows for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tenure.session import Session


class ClaimFailed(Exception):
    """The demo says something of Tenure that was not so just now."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One line of the final table."""

    what: str
    token: int = 0
    """The fencing token in play; 0 for none."""
    reused: bool | None = None
    """Whether a live browser was used again; None when none was opened."""
    timings: Mapping[str, float] = field(default_factory=dict)
    """Seconds by phase."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What a program would want of it."""


def claim(holds: bool, otherwise: str) -> None:
    """Raises ClaimFailed saying what was seen instead."""
    if not holds:
        raise ClaimFailed(otherwise)


def opened(what: str, session: Session) -> Shown:
    """The line of an open."""
    return Shown(what, session.fencing_token, session.reused_session, session.timings)
