"""The transitions that exist, and a function that refuses any other."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from lockservice.core.record import Record, State

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

    Beyond the table: only a hold has an owner to lose, an incident is named while it is at work, a home stays
    while the profile is in use, and one who resumes is the workflow that was waited for.
    """
    state = before.state if before else None
    if after.state not in ALLOWED[state]:
        raise IllegalTransition(f"{state.value if state else 'absent'} → {after.state.value}")
    if after.state is State.HELD:
        _check_grant(before, after)
    if after.state is State.SUSPECTED_STALE and not after.incident:
        raise IllegalTransition("an incident needs its token")
    if before is not None and before.home not in ("", after.home):
        raise IllegalTransition(f"home {before.home} → {after.home}: only a move changes it")
    return after


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
