"""Rule 22: the old worker is cut off, or the time has passed in which its host may serve it."""

from __future__ import annotations

import dataclasses

from lockservice.core.changes import put_record
from lockservice.core.decision import Decision, Refuse, Reply, Write
from lockservice.core.document import encode
from lockservice.core.keys import Keys
from lockservice.core.outcome import no_incident
from lockservice.core.record import Record, State
from lockservice.core.snapshot import Sight, Snapshot
from lockservice.core.states import moved
from lockservice.core.stored import Acknowledgement, Quarantine
from lockservice.etcd.txn import absent, get, mod_is, put
from tenure.names import IncidentName


def sight(keys: Keys, incident: IncidentName) -> Sight:
    """What `decide` looks at: the incident too, and its late acknowledgement."""
    profile, token = incident.profile, incident.fencing_token
    return Sight(keys=keys, profile=profile, token=token, extra=(get(keys.acknowledged(profile, token)),))


def decide(
    keys: Keys, incident: IncidentName, snapshot: Snapshot, *, acknowledged: bool, now_ms: int
) -> Decision[State]:
    """SUSPECTED_STALE to QUARANTINED; or the late acknowledgement. Answers the state found or made.

    Idempotent: what comes late changes nothing, and an acknowledgement counts only for what was read here as
    this incident's.
    """
    record = snapshot.at_work(incident.fencing_token)
    if record is not None and record.state is State.SUSPECTED_STALE:
        return _cut_off(keys, incident, snapshot, record, acknowledged, now_ms)
    if snapshot.record is None or snapshot.incident is None:
        return Refuse(no_incident(incident))
    late = acknowledged and record is not None and not record.acknowledged
    if late and snapshot.found(0) is None:
        return _acknowledge(keys, incident, snapshot, snapshot.record.state, now_ms)
    return Reply(snapshot.record.state)


def _cut_off(
    keys: Keys, incident: IncidentName, snapshot: Snapshot, before: Record, acknowledged: bool, now_ms: int
) -> Write[State]:
    """p and the record of how it was done, guarded by mod(p): a late copy never touches a later state."""
    profile, token = incident.profile, incident.fencing_token
    after = moved(
        before,
        dataclasses.replace(
            before,
            state=State.QUARANTINED,
            epoch=snapshot.epoch.number,
            since_ms=now_ms,
            acknowledged=acknowledged,
        ),
    )
    how = Quarantine(acknowledged=acknowledged, quarantine_ms=now_ms)
    return Write(
        (mod_is(keys.epoch, snapshot.epoch.mod), mod_is(keys.record(profile), snapshot.mod)),
        (
            put_record(keys, profile, after),
            put(keys.quarantined(profile, token), encode(how)),
        ),
        lambda _: after.state,
    )


def _acknowledge(
    keys: Keys, incident: IncidentName, snapshot: Snapshot, state: State, now_ms: int
) -> Write[State]:
    """Beside p, not in it: a reviewer's etag stays good."""
    profile = incident.profile
    key = keys.acknowledged(profile, incident.fencing_token)
    return Write(
        (
            mod_is(keys.epoch, snapshot.epoch.mod),
            mod_is(keys.record(profile), snapshot.mod),
            absent(key),
        ),
        (put(key, encode(Acknowledgement(acknowledge_ms=now_ms))),),
        lambda _: state,
    )
