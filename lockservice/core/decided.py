"""Rule 24: one decision an incident, written with its effect."""

from __future__ import annotations

from dataclasses import dataclass

from lockservice.core.changes import put_record
from lockservice.core.decision import Decision, Refuse, Reply, Write
from lockservice.core.document import decode, encode
from lockservice.core.keys import Keys
from lockservice.core.outcome import Choice, Outcome, entered, no_incident, problem
from lockservice.core.record import Record, State
from lockservice.core.snapshot import Sight, Snapshot
from lockservice.core.stored import Decided
from lockservice.etcd.txn import absent, get, mod_is, put
from tenure.errors import InvalidField, TenureError
from tenure.names import IncidentName

# What recovery may choose; taking a profile out of use is a person's.
CHOICES = frozenset({Outcome.AVAILABLE, Outcome.RESUME_PENDING, Outcome.RETRY, Outcome.MANUAL_REVIEW})


@dataclass(frozen=True, slots=True)
class Settled:
    """The decision that stands, and the profile's state now."""

    decided: Decided
    state: State


def sight(keys: Keys, incident: IncidentName) -> Sight:
    """What `decide` looks at: the incident too, and its decision."""
    profile, token = incident.profile, incident.fencing_token
    return Sight(keys=keys, profile=profile, token=token, extra=(get(keys.decision(profile, token)),))


def decide(
    keys: Keys, incident: IncidentName, snapshot: Snapshot, *, revision: int, choice: Choice, now_ms: int
) -> Decision[Settled]:
    """INSPECTED to the outcome, guarded by mod(p) = `revision` and the absence of a decision.

    Idempotent: the first decision stays and is answered.
    """
    profile, token = incident.profile, incident.fencing_token
    if (stored := snapshot.found(0)) is not None and snapshot.record is not None:
        return Reply(Settled(decode(Decided, stored.value), snapshot.record.state))
    before = snapshot.at_work(token)
    if before is None and snapshot.incident is None:
        return Refuse(no_incident(incident))
    if before is None or before.state is not State.INSPECTED or snapshot.mod != revision:
        return Refuse(_not_as_inspected(revision))
    if (refusal := _forbidden(before, choice) or problem(before, choice)) is not None:
        return Refuse(refusal)
    decided = Decided(outcome=choice.outcome.value, reason=choice.reason, decide_ms=now_ms)
    after = entered(before, choice, snapshot.epoch.number, now_ms)
    key = keys.decision(profile, token)
    return Write(
        (
            mod_is(keys.epoch, snapshot.epoch.mod),
            mod_is(keys.record(profile), revision),
            absent(key),
        ),
        (put_record(keys, profile, after), put(key, encode(decided))),
        lambda _: Settled(decided, after.state),
    )


def _forbidden(before: Record, choice: Choice) -> TenureError | None:
    """Rule 23: what is not certain is a person's, whoever asks."""
    if choice.outcome is Outcome.MANUAL_REVIEW or (before.acknowledged and not before.evidence_missing):
        return None
    why = "the evidence is missing" if before.evidence_missing else "no host acknowledged the cut"
    return InvalidField(
        field="outcome",
        value=choice.outcome.value,
        problem=f"is a person's to choose, because {why}",
        remedy="send MANUAL_REVIEW",
    )


def _not_as_inspected(revision: int) -> TenureError:
    return InvalidField(
        field="revision",
        value=str(revision),
        problem="is not that of this incident's evidence",
        remedy="decide on what RecordInspection or ReadIncident answers now",
    )
