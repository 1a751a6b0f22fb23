"""What becomes of a profile whose incident is decided, by recovery or by a person."""

from __future__ import annotations

import dataclasses
import enum
from dataclasses import dataclass

from lockservice.core.record import Record, State
from lockservice.core.states import moved
from tenure.errors import InvalidField, NotFound, TenureError
from tenure.names import IncidentName


class Outcome(enum.Enum):
    """As in the API; each is the state that the profile enters."""

    AVAILABLE = "AVAILABLE"
    RESUME_PENDING = "RESUME_PENDING"
    RETRY = "RETRY"
    MANUAL_REVIEW = "MANUAL_REVIEW"
    DISABLED = "DISABLED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """An outcome with its reason. RESUME_PENDING: for how long, and under which plan the workflow goes on."""

    outcome: Outcome
    reason: str
    resume_for_ms: int = 0
    resume_plan: str | None = None


def problem(before: Record, choice: Choice) -> TenureError | None:
    """Why a choice cannot be made of this hold; None when it can."""
    if choice.outcome is not Outcome.RESUME_PENDING:
        return None
    if before.holding is None or not before.holding.workflow_id:
        return InvalidField(
            field="outcome",
            value=choice.outcome.value,
            problem="needs a workflow to wait for, and the hold had none",
            remedy="choose another outcome",
        )
    return None


def entered(before: Record, choice: Choice, epoch: int, now_ms: int) -> Record:
    """The record after a choice that has no problem."""
    after = dataclasses.replace(before, state=State(choice.outcome.value), epoch=epoch, since_ms=now_ms)
    match choice.outcome:
        case Outcome.MANUAL_REVIEW:
            return moved(before, dataclasses.replace(after, resume_until_ms=0, resume_plan=None))
        case Outcome.RESUME_PENDING:
            until_ms = now_ms + choice.resume_for_ms
            waits = dataclasses.replace(after, resume_until_ms=until_ms, resume_plan=choice.resume_plan)
            return moved(before, waits)
    failed = 0
    if choice.outcome is Outcome.RETRY:
        # A task that never touched the account has not used up an attempt.
        failed = before.failed_attempts + (1 if before.touched else 0)
    over = dataclasses.replace(
        after,
        holding=None,
        incident=0,
        failed_attempts=failed,
        resume_until_ms=0,
        resume_plan=None,
        acknowledged=False,
        evidence_missing=False,
        touched=False,
    )
    return moved(before, over)


def no_incident(incident: IncidentName) -> TenureError:
    """There is no such incident."""
    return NotFound(name=str(incident))
