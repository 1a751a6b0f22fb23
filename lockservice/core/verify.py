"""Rule 14: whether a token may be served, as a host or anybody may ask."""

from __future__ import annotations

from lockservice.core.hold import Hold, hold_seen, why_not_owner
from lockservice.core.record import IN_INCIDENT
from lockservice.core.snapshot import Snapshot
from tenure.names import ProfileName

WRONG_HOME = "WRONG_HOME"
PROFILE_QUARANTINED = "PROFILE_QUARANTINED"


def why_not(profile: ProfileName, snapshot: Snapshot, token: int, host: str) -> str:
    """Why `host` may not serve `token`; "" when it may. The snapshot must be proven, and show the holder."""
    record = snapshot.record
    if (refusal := why_not_owner(snapshot, profile, token)) is not None:
        if record is not None and record.state in IN_INCIDENT and record.incident == token:
            return PROFILE_QUARANTINED
        return refusal.reason
    return "" if record is not None and record.home == host else WRONG_HOME


def current(profile: ProfileName, snapshot: Snapshot, token: int) -> Hold:
    """The hold of `token`. Raises TokenSuperseded or LeaseExpired."""
    if (refusal := why_not_owner(snapshot, profile, token)) is not None:
        raise refusal
    hold = hold_seen(profile, snapshot)
    assert hold is not None, "an owner has a hold"
    return hold
