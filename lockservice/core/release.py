"""Rules 6 and 7: a release hands over to the head of the queue, or frees; and what a lost reply meant."""

from __future__ import annotations

import dataclasses
import enum

from lockservice.core import suspect
from lockservice.core.changes import leave, put_record
from lockservice.core.decision import Decision, Refuse, Reply, Write, mapped
from lockservice.core.grant import granted, head_guards
from lockservice.core.hold import Hold, hold_seen, owner_guards, why_not_alive
from lockservice.core.keys import Keys
from lockservice.core.record import Record, State
from lockservice.core.snapshot import Snapshot
from lockservice.core.states import moved
from tenure.errors import DrainRequired, TokenSuperseded
from tenure.names import ProfileName
from tenure.value import named_value, value

UNTRUSTED = "UNTRUSTED_RELEASE"


class Result(enum.Enum):
    """How a run ended, as its worker tells it."""

    SUCCEEDED = 1
    FAILED_UNTOUCHED = 2
    NEEDS_REVIEW = 3


@named_value
class Ending:
    """A release. `drained`: it comes through the profile's home, which serves nothing of the token now."""

    token: int
    result: Result = Result.SUCCEEDED
    drained: bool = False
    used: bool = False
    flushed_ms: int = 0


@value
class Released:
    """What became of the profile. `already`: an earlier call did it."""

    state: State
    already: bool = False


def decide(
    keys: Keys, profile: ProfileName, snapshot: Snapshot, ending: Ending, now_ms: int
) -> Decision[Released]:
    """Decide a release. Needs a sight of the incident of the token."""
    hold = hold_seen(profile, snapshot)
    if hold is None or not snapshot.holds(ending.token):
        return _not_current(profile, snapshot, ending)
    if (undrained := _undrained(hold, ending)) is not None:
        return Refuse(undrained)
    if ending.result is Result.NEEDS_REVIEW:
        detail = f"run {hold.holding.run_id} asked for a review"
        write = suspect.write(keys, snapshot, hold, UNTRUSTED, detail, now_ms)
        return mapped(write, lambda _: Released(State.SUSPECTED_STALE))
    if (refusal := why_not_alive(snapshot, hold)) is not None:
        return Refuse(refusal)
    return _pass_on(keys, snapshot, hold, ending, now_ms)


def _undrained(hold: Hold, ending: Ending) -> DrainRequired | None:
    """A host that verified the token serves it for a while yet: only what comes through it is over there."""
    if not hold.record.home or ending.drained:
        return None
    home = f"hosts/{hold.record.home}"
    return DrainRequired(profile=str(hold.profile), home=home, token=hold.token)


def _pass_on(keys: Keys, snapshot: Snapshot, hold: Hold, ending: Ending, now_ms: int) -> Write[Released]:
    """To the head as read, in the same Txn, or to nobody when the queue is empty."""
    before = _as_told(hold.record, ending)
    guards = (*owner_guards(keys, snapshot, hold), *head_guards(keys, hold.profile, snapshot.head))
    if (head := snapshot.head) is not None:
        after = granted(hold.profile, snapshot, head.ask, head.ask.worker_create, now_ms, before)
        ops = (put_record(keys, hold.profile, after), leave(keys, hold.profile, head.request_id))
        return Write(guards, ops, lambda _: Released(State.HELD))
    after = _freed(before, snapshot, now_ms)
    return Write(guards, (put_record(keys, hold.profile, after),), lambda _: Released(State.AVAILABLE))


def _as_told(record: Record, ending: Ending) -> Record:
    """The record with what a release adds to it: mostly nothing, so that no other is built for that."""
    used = record.used or ending.used
    flushed_ms = max(record.flushed_ms, ending.flushed_ms)
    if (used, flushed_ms, 0) == (record.used, record.flushed_ms, record.failed_attempts):
        return record
    # What was tried again has succeeded, or did nothing.
    return dataclasses.replace(record, used=used, flushed_ms=flushed_ms, failed_attempts=0)


def _freed(before: Record, snapshot: Snapshot, now_ms: int) -> Record:
    after = Record(
        state=State.AVAILABLE,
        epoch=snapshot.epoch.number,
        since_ms=now_ms,
        as_sent=before.as_sent,
        home=before.home,
        used=before.used,
        flushed_ms=before.flushed_ms,
        failed_attempts=before.failed_attempts,
    )
    return moved(before, after)


def _not_current(profile: ProfileName, snapshot: Snapshot, ending: Ending) -> Decision[Released]:
    """Rule 7: p moved on. With an incident the hold was lost to it; else it was released."""
    superseded = Refuse(TokenSuperseded(profile=str(profile), token=ending.token))
    record = snapshot.record
    if record is None or snapshot.token() <= ending.token:
        # No grant can have made this token: p has not moved on from it.
        return superseded
    if snapshot.incident is None:
        return Reply(Released(record.state, already=True))
    if ending.result is Result.NEEDS_REVIEW and snapshot.incident.cause == UNTRUSTED:
        return Reply(Released(record.state, already=True))
    return superseded
