"""What a judgement is made of. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any


class Effect(Enum):
    """What becomes of a client's message."""

    PASS = "pass"
    REFUSE = "refuse"
    END_SESSION = "end the session, not the browser"


@dataclass(frozen=True, slots=True)
class Verdict:
    """`problem` says why a message is refused and `remedy` what to do instead, as clauses.

    `params`, on a message that passes, take the place of its own.
    """

    effect: Effect
    problem: str = ""
    remedy: str = ""
    params: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Room:
    """What a client's session has around it.

    `uploads` and `downloads` are folders, real paths. `real` is a path with its links followed. `hidden`
    says whether a target, or a session on one, is not shown to clients. `now` in seconds since 1970.
    """

    uploads: str
    downloads: str
    real: Callable[[str], str]
    hidden: Callable[[str], bool]
    now: float


PASS = Verdict(Effect.PASS)


def refuse(problem: str, remedy: str) -> Verdict:
    """Both are clauses, without a full stop."""
    return Verdict(Effect.REFUSE, problem, remedy)
