"""Rule 10: a hold becomes an incident. Suspicion never goes back."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from lockservice.core.changes import put_record
from lockservice.core.decision import Decision, Refuse, Reply, Write
from lockservice.core.document import encode
from lockservice.core.hold import Hold, hold_seen
from lockservice.core.keys import Keys
from lockservice.core.record import State
from lockservice.core.snapshot import Snapshot
from lockservice.core.states import moved
from lockservice.core.stored import Incident
from lockservice.etcd.txn import Compare, absent, mod_is, not_created_at, put
from tenure.errors import NotFound
from tenure.names import ProfileName

LEASE_ENDED = "LEASE_ENDED"
RESTORED = "RESTORED"


@dataclass(frozen=True, slots=True)
class Suspected:
    """The state found or made; `incident`: whether the token is an incident's now."""

    state: State
    incident: bool


def decide(
    keys: Keys,
    profile: ProfileName,
    snapshot: Snapshot,
    *,
    token: int,
    cause: str,
    detail: str,
    now_ms: int,
) -> Decision[Suspected]:
    """Make the hold of `token` suspect. Needs a sight of the incident of the token.

    LEASE_ENDED is checked by the Txn itself; other causes are the caller's knowledge.
    """
    if snapshot.record is None:
        return Refuse(NotFound(name=str(profile)))
    hold = hold_seen(profile, snapshot)
    # By the record's own epoch: after a restore the holds of the old one are just what is to be suspected.
    if hold is None or hold.token != token:
        return Reply(Suspected(snapshot.record.state, snapshot.incident is not None))
    if cause == RESTORED and hold.record.epoch == snapshot.epoch.number:
        return Reply(Suspected(State.HELD, incident=False))
    if cause != LEASE_ENDED:
        return write(keys, snapshot, hold, cause, detail, now_ms)
    worker, create = hold.holding.worker, hold.holding.worker_create
    if worker in snapshot.workers and snapshot.alive(worker, create):
        return Reply(Suspected(State.HELD, incident=False))
    ended = not_created_at(keys.worker(worker), create)
    return write(keys, snapshot, hold, cause, detail, now_ms, ended)


def write(
    keys: Keys, snapshot: Snapshot, hold: Hold, cause: str, detail: str, now_ms: int, *more: Compare
) -> Write[Suspected]:
    """p and i in one Txn, guarded by mod(p) = t."""
    after = moved(
        hold.record,
        dataclasses.replace(
            hold.record,
            state=State.SUSPECTED_STALE,
            epoch=snapshot.epoch.number,
            since_ms=now_ms,
            incident=hold.token,
        ),
    )
    incident = Incident(
        cause=cause, suspect_ms=now_ms, holding=hold.holding, detail=detail, home=hold.record.home
    )
    key = keys.incident(hold.profile, hold.token)
    return Write(
        (
            mod_is(keys.epoch, snapshot.epoch.mod),
            mod_is(keys.record(hold.profile), snapshot.mod),
            absent(key),
            *more,
        ),
        (put_record(keys, hold.profile, after), put(key, encode(incident))),
        lambda _: Suspected(State.SUSPECTED_STALE, incident=True),
    )
