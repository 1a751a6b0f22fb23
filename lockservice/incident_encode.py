"""From incidents as stored to what the API says; and the evidence that a decision is made on."""

from __future__ import annotations

from collections.abc import Iterable

from lockservice.core.document import decode
from lockservice.core.hold import Hold
from lockservice.core.inspected import Finding
from lockservice.core.keys import Keys
from lockservice.core.record import Record, State
from lockservice.core.snapshot import KeyValue
from lockservice.core.steps import Stored
from lockservice.core.stored import Decided, Incident, Quarantine, Step, StepEnd
from lockservice.encode import hold_message, state_of, step_message, timestamp
from lockservice.incidents import IncidentSeen
from tenure import token as tokens
from tenure.internal.v1 import lock_service_pb2 as lock_pb
from tenure.names import IncidentName
from tenure.v1 import incident_pb2


def cause_of(cause: str) -> incident_pb2.SuspicionCause.ValueType:
    return incident_pb2.SuspicionCause.Value(f"SUSPICION_CAUSE_{cause}")


def decision_message(decided: Decided) -> incident_pb2.Decision:
    """What recovery decided."""
    return incident_pb2.Decision(
        outcome=incident_pb2.Outcome.Value(f"OUTCOME_{decided.outcome}"),
        reason=decided.reason,
        decide_time=timestamp(decided.decide_ms),
    )


def incident_message(seen: IncidentSeen, evidence: bytes = b"") -> incident_pb2.Incident:
    """An incident; `evidence` as stored."""
    message = incident_pb2.Incident(
        name=str(seen.name),
        cause=cause_of(seen.incident.cause),
        detail=seen.incident.detail,
        suspect_time=timestamp(seen.incident.suspect_ms),
        state=state_of(_state(seen)),
        hold=hold_message(_hold(seen.name, seen.incident), None),
        open=seen.open,
    )
    if seen.at_work and seen.record.state is State.MANUAL_REVIEW:
        message.etag = str(seen.mod)
    if seen.quarantine is not None:
        message.acknowledged = seen.quarantine.acknowledged
        message.quarantine_time.FromMilliseconds(seen.quarantine.quarantine_ms)
    if seen.acknowledgement is not None:
        message.late_acknowledge_time.FromMilliseconds(seen.acknowledgement.acknowledge_ms)
    if evidence:
        message.evidence.ParseFromString(evidence)
        message.inspect_time.CopyFrom(message.evidence.gather_time)
    if seen.decided is not None:
        message.decision.CopyFrom(decision_message(seen.decided))
    if seen.verdict is not None:
        message.verdict.CopyFrom(
            incident_pb2.Verdict(
                outcome=incident_pb2.Outcome.Value(f"OUTCOME_{seen.verdict.outcome}"),
                reason=seen.verdict.reason,
                reviewer=seen.verdict.reviewer,
                resolve_time=timestamp(seen.verdict.resolve_ms),
            )
        )
    return message


def finding(
    evidence: incident_pb2.Evidence, incident: Incident, quarantine: Quarantine, now_ms: int
) -> Finding:
    """The evidence as it is to be stored: what the lock service knows itself is taken from there."""
    stored = incident_pb2.Evidence()
    stored.CopyFrom(evidence)
    stored.acknowledged = quarantine.acknowledged
    stored.cause = cause_of(incident.cause)
    if not stored.HasField("gather_time"):
        stored.gather_time.FromMilliseconds(now_ms)
    there = stored.directory != incident_pb2.DIRECTORY_FINDING_MISSING
    return Finding(
        evidence=stored.SerializeToString(),
        missing=stored.missing,
        # Only a home has a directory; one that could not be asked may have it. Else a directory that is
        # gone later would be taken for one that never was.
        used=bool(incident.home) and (stored.browser_opened or there),
        touched=stored.account_touched or not stored.HasField("account_touched"),
    )


def stored_steps(keys: Keys, kvs: Iterable[KeyValue]) -> list[lock_pb.StoredStep]:
    """The owner's steps from their keys, in the order of these: `{seq}`, then `{seq}/end`."""
    steps: list[lock_pb.StoredStep] = []
    for kv in kvs:
        # e / tenant / profile / token / seq [/ end]
        parts = keys.split(kv.key)
        if len(parts) == 5:
            step = step_message(Stored(int(parts[4]), decode(Step, kv.value)))
            steps.append(lock_pb.StoredStep(step=step, start_revision=kv.create_revision))
        else:
            steps[-1].finish_revision = kv.create_revision
            steps[-1].step.finish_time.FromMilliseconds(decode(StepEnd, kv.value).finish_ms)
    return steps


def _state(seen: IncidentSeen) -> State:
    """The profile's state in the incident; once that is over, the last one that it led to."""
    if seen.at_work:
        return seen.record.state
    last = seen.verdict or seen.decided
    return State(last.outcome) if last is not None else State.SUSPECTED_STALE


def _hold(name: IncidentName, incident: Incident) -> Hold:
    holding = incident.holding
    record = Record(
        state=State.HELD,
        epoch=tokens.unpack(name.fencing_token).epoch,
        since_ms=holding.granted_ms,
        as_sent=holding.as_sent or name.profile.profile,
        holding=holding,
        home=incident.home,
    )
    return Hold(name.profile, record, name.fencing_token)
