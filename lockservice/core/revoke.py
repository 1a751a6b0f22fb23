"""An operator takes a hold from its worker: an incident begins, nothing is freed."""

from __future__ import annotations

from lockservice.core import suspect
from lockservice.core.decision import Decision, Refuse, Reply, mapped
from lockservice.core.hold import hold_seen
from lockservice.core.keys import Keys
from lockservice.core.snapshot import Snapshot
from tenure.errors import NotFound, TokenSuperseded
from tenure.names import IncidentName, ProfileName

REVOKED = "REVOKED"


def current(profile: ProfileName, snapshot: Snapshot) -> Decision[int]:
    """The token of the hold that there is."""
    if snapshot.record is None:
        return Refuse(NotFound(name=str(profile)))
    hold = hold_seen(profile, snapshot)
    if hold is None:
        return Refuse(NotFound(f"Nobody holds {profile}: there is nothing to revoke.", name=str(profile)))
    return Reply(hold.token)


def decide(
    keys: Keys, profile: ProfileName, snapshot: Snapshot, *, token: int, detail: str, now_ms: int
) -> Decision[IncidentName]:
    """Make the hold of `token` suspect. Needs a sight of the incident of the token.

    Idempotent by token: what is an incident already, whatever began it, is answered.
    """
    if snapshot.record is None:
        return Refuse(NotFound(name=str(profile)))
    hold = hold_seen(profile, snapshot)
    if hold is not None and token == hold.token:
        write = suspect.write(keys, snapshot, hold, REVOKED, detail, now_ms)
        return mapped(write, lambda _: IncidentName(profile, token))
    if snapshot.incident is not None:
        return Reply(IncidentName(profile, token))
    return Refuse(TokenSuperseded(profile=str(profile), token=token))
