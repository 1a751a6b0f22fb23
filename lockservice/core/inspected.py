"""Rule 23: what was found out, or that nobody could be asked, is put on record before anything is decided."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from lockservice.core.changes import put_record
from lockservice.core.decision import Decision, Refuse, Reply, Write
from lockservice.core.keys import Keys
from lockservice.core.outcome import no_incident
from lockservice.core.record import State
from lockservice.core.snapshot import Sight, Snapshot
from lockservice.core.states import moved
from lockservice.etcd.txn import get, mod_is, put
from tenure.names import IncidentName


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The evidence as it is to be stored, and the facts in it that later transitions hold to.

    `used`: a browser was opened on the profile, or may have been. `touched`: the account was, or may have
    been.
    """

    evidence: bytes
    missing: bool
    used: bool
    touched: bool


@dataclass(frozen=True, slots=True)
class Inspected:
    """The state found or made, its revision when it is this incident's INSPECTED, and the first evidence."""

    state: State
    revision: int
    evidence: bytes


def sight(keys: Keys, incident: IncidentName) -> Sight:
    """What `decide` looks at: the incident too, and the evidence."""
    profile, token = incident.profile, incident.fencing_token
    return Sight(keys=keys, profile=profile, token=token, extra=(get(keys.inspected(profile, token)),))


def decide(
    keys: Keys, incident: IncidentName, snapshot: Snapshot, *, finding: Finding, now_ms: int
) -> Decision[Inspected]:
    """QUARANTINED to INSPECTED, with the evidence in the same Txn. Idempotent: the first evidence stays."""
    profile, token = incident.profile, incident.fencing_token
    before = snapshot.at_work(token)
    if before is None or before.state is not State.QUARANTINED:
        return _as_it_is(incident, snapshot)
    after = moved(
        before,
        dataclasses.replace(
            before,
            state=State.INSPECTED,
            epoch=snapshot.epoch.number,
            since_ms=now_ms,
            used=before.used or finding.used,
            evidence_missing=finding.missing,
            touched=finding.touched,
        ),
    )
    return Write(
        (mod_is(keys.epoch, snapshot.epoch.mod), mod_is(keys.record(profile), snapshot.mod)),
        (
            put_record(keys, profile, after),
            put(keys.inspected(profile, token), finding.evidence),
        ),
        lambda revision: Inspected(after.state, revision, finding.evidence),
    )


def _as_it_is(incident: IncidentName, snapshot: Snapshot) -> Decision[Inspected]:
    if snapshot.record is None or snapshot.incident is None:
        return Refuse(no_incident(incident))
    record, stored = snapshot.at_work(incident.fencing_token), snapshot.found(0)
    waits = record is not None and record.state is State.INSPECTED
    evidence = stored.value if stored is not None else b""
    return Reply(Inspected(snapshot.record.state, snapshot.mod if waits else 0, evidence))
