"""The profile's record: what `p/{tenant}/{profile}` says."""

from __future__ import annotations

import enum

from tenure.value import named_value


class State(enum.Enum):
    """A profile's state. One that was never stored has no record at all."""

    # By identity, as there is one of each: an enum's own hash, of its name, is a call of Python's.
    __hash__ = object.__hash__

    AVAILABLE = "AVAILABLE"
    HELD = "HELD"
    SUSPECTED_STALE = "SUSPECTED_STALE"
    QUARANTINED = "QUARANTINED"
    INSPECTED = "INSPECTED"
    RESUME_PENDING = "RESUME_PENDING"
    RETRY = "RETRY"
    MANUAL_REVIEW = "MANUAL_REVIEW"
    DISABLED = "DISABLED"


class Origin(enum.Enum):
    """Where a hold comes from."""

    __hash__ = object.__hash__

    NEW = "NEW"
    RESUMED = "RESUMED"
    RETRY = "RETRY"


FREE = frozenset({State.AVAILABLE, State.RETRY})
IN_INCIDENT = frozenset({State.SUSPECTED_STALE, State.QUARANTINED, State.INSPECTED})
# The record names its incident, which waits for recovery, for the workflow, or for a person.
AT_WORK = IN_INCIDENT | {State.RESUME_PENDING, State.MANUAL_REVIEW}


@named_value
class Holding:
    """One hold's facts. Kept beyond HELD, until the incident that ended it is decided.

    `worker_create` is the create revision of the worker's key when it was granted: the worker is alive while
    the key has just that one. Times are milliseconds since 1970.
    """

    worker: str
    worker_create: int
    request_id: str
    run_id: str
    as_sent: str
    granted_ms: int
    deadline_ms: int
    workflow_id: str = ""
    proxy_key: str = ""
    origin: Origin = Origin.NEW
    attempt: int = 1
    plan: str = ""
    # The caller declared that the task may be started over from its beginning.
    restartable: bool = False


@named_value
class Record:
    """A profile. Nothing in it changes while HELD, because its mod_revision is the token."""

    state: State
    # The epoch in which the state began; of a HELD record it is the token's.
    epoch: int
    since_ms: int
    # The first spelling of the id that was ever granted.
    as_sent: str
    holding: Holding | None = None
    home: str = ""
    # A browser was opened on it, as of the last release or inspection. Never false again: a used profile
    # whose directory is gone is missing, not new.
    used: bool = False
    flushed_ms: int = 0
    # The token whose hold became the incident at work; 0 for none.
    incident: int = 0
    # Attempts of the task that failed so far, for RETRY to count on.
    failed_attempts: int = 0
    # RESUME_PENDING: when the workflow must have claimed the profile, and the plan of its checkpoint; None
    # when it has none.
    resume_until_ms: int = 0
    resume_plan: str | None = None
    # From QUARANTINED on, while the incident is at work: the host acknowledged that the old worker is cut
    # off.
    acknowledged: bool = False
    # From INSPECTED on: no host could be asked; and the account was touched, or may have been.
    evidence_missing: bool = False
    touched: bool = False
