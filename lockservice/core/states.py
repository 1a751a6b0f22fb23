"""The transitions that exist, and a function that refuses any other."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from lockservice.core.record import AT_WORK, Record, State

_S = State

# None: never stored.
ALLOWED: Mapping[State | None, frozenset[State]] = MappingProxyType(
    {
        None: frozenset({_S.HELD}),
        _S.AVAILABLE: frozenset({_S.HELD, _S.DISABLED}),
        _S.RETRY: frozenset({_S.HELD}),
        _S.RESUME_PENDING: frozenset({_S.HELD, _S.MANUAL_REVIEW}),
        # HELD to HELD is the hand-over to the next in the queue.
        _S.HELD: frozenset({_S.AVAILABLE, _S.HELD, _S.SUSPECTED_STALE}),
        _S.SUSPECTED_STALE: frozenset({_S.QUARANTINED}),
        _S.QUARANTINED: frozenset({_S.INSPECTED}),
        _S.INSPECTED: frozenset({_S.AVAILABLE, _S.RESUME_PENDING, _S.RETRY, _S.MANUAL_REVIEW}),
        _S.MANUAL_REVIEW: frozenset({_S.AVAILABLE, _S.RETRY, _S.RESUME_PENDING, _S.DISABLED}),
        _S.DISABLED: frozenset({_S.AVAILABLE}),
    }
)


class IllegalTransition(Exception):
    """A bug: a decision tried a transition that does not exist."""


def moved(before: Record | None, after: Record) -> Record:
    """Return `after` when it may follow `before`. Raises IllegalTransition.

    Beyond the table: only a hold has an owner to lose, an incident stays the same and keeps what was learnt
    while it is at work, nothing frees by itself what was not cut off for certain or not looked at (rule 23),
    a home stays while the profile is in use, and one who resumes is the workflow that was waited for.
    """
    state = before.state if before else None
    if after.state not in ALLOWED[state]:
        raise IllegalTransition(f"{state.value if state else 'absent'} → {after.state.value}")
    if after.state is State.HELD:
        _check_grant(before, after)
    elif before is not None:
        _check_incident(before, after)
    if before is not None and before.used and not after.used:
        raise IllegalTransition("a used profile is never new again")
    if before is not None and before.home not in ("", after.home):
        raise IllegalTransition(f"home {before.home} → {after.home}: only a move changes it")
    return after


def _check_incident(before: Record, after: Record) -> None:
    if (after.state in AT_WORK) != bool(after.incident):
        raise IllegalTransition("an incident needs its token, for as long as it is at work")
    if after.state in AT_WORK:
        _check_kept(before, after)
    elif after.holding is not None:
        raise IllegalTransition("what nobody holds names no holder")
    uncertain = not before.acknowledged or before.evidence_missing
    if before.state is State.INSPECTED and after.state is not State.MANUAL_REVIEW and uncertain:
        raise IllegalTransition("not cut off for certain, or not looked at: only a person frees it")
    workflow = after.holding.workflow_id if after.holding else ""
    if after.state is State.RESUME_PENDING and not (workflow and after.resume_until_ms):
        raise IllegalTransition("only a workflow is waited for, and not for ever")


def _check_kept(before: Record, after: Record) -> None:
    if after.holding is None or after.holding != before.holding:
        raise IllegalTransition("an incident keeps the hold that it ended")
    if before.state is State.HELD:
        return
    if after.incident != before.incident:
        raise IllegalTransition("an incident is named by the hold that it ended")
    if before.state is State.SUSPECTED_STALE:
        return
    if after.acknowledged is not before.acknowledged:
        raise IllegalTransition("how the old worker was cut off stays on record")
    if before.state is State.QUARANTINED:
        return
    if (after.evidence_missing, after.touched) != (before.evidence_missing, before.touched):
        raise IllegalTransition("what inspection has shown stays on record")


def _check_grant(before: Record | None, after: Record) -> None:
    if after.holding is None or after.incident:
        raise IllegalTransition("a hold needs its holder and no incident")
    if before is None or before.holding is None:
        return
    if before.state is State.RESUME_PENDING:
        resumes = (before.holding.workflow_id, before.holding.proxy_key)
        if resumes != (after.holding.workflow_id, after.holding.proxy_key):
            raise IllegalTransition("only its workflow, with its proxy, resumes a profile")
    asked_before = (before.holding.worker, before.holding.request_id)
    if before.state is State.HELD and asked_before == (after.holding.worker, after.holding.request_id):
        raise IllegalTransition("one request is granted once")
