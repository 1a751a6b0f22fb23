"""An incident's way, call by call, as recovery goes it."""

from __future__ import annotations

from typing import Any

from google.protobuf.duration_pb2 import Duration

from lockservice.core.record import State
from tenure.internal.v1 import lock_service_pb2 as pb
from tenure.names import ProfileName
from tenure.v1.hold_pb2 import Hold, ProfileState
from tenure.v1.hold_service_pb2 import AcquireHoldRequest
from tenure.v1.incident_pb2 import DirectoryFinding, Evidence, EvidenceItem, Incident, Outcome, SuspicionCause
from tests.lockservice.replicas import Running

HOST = "hosts/h1"
CLEAN = DirectoryFinding.DIRECTORY_FINDING_CLEAN
MISSING = DirectoryFinding.DIRECTORY_FINDING_MISSING
UNTOUCHED = Evidence(directory=CLEAN, account_touched=False, form_in_flight=False, browser_opened=True)


def state(value: ProfileState.ValueType) -> str:
    return ProfileState.Name(value).removeprefix("PROFILE_STATE_")


def of(hold: Hold) -> str:
    """The name of the incident that ends a hold."""
    return f"{hold.profile}/incidents/{hold.fencing_token}"


async def for_session(a: Running, profile: str, worker: str, home: str = HOST, **fields: Any) -> Hold:
    """A hold with a home, as the gateway acquires it."""
    request = pb.AcquireForSessionRequest(
        acquire=AcquireHoldRequest(profile=profile, worker=worker, **fields), home_hint=home
    )
    hold: Hold = (await a.call(a.lock.AcquireForSession, request)).hold
    return hold


async def suspect(
    a: Running,
    hold: Hold,
    cause: SuspicionCause.ValueType = SuspicionCause.SUSPICION_CAUSE_BROWSER_LOST,
) -> str:
    request = pb.SuspectHoldRequest(profile=hold.profile, fencing_token=hold.fencing_token, cause=cause)
    assert (await a.call(a.lock.SuspectHold, request)).suspected
    return of(hold)


async def quarantine(a: Running, incident: str, *, acknowledged: bool = True) -> str:
    request = pb.QuarantineIncidentRequest(incident=incident, acknowledged=acknowledged)
    return state((await a.call(a.lock.QuarantineIncident, request)).state)


async def add(a: Running, incident: str, *ids: str, **fields: Any) -> int:
    items = [EvidenceItem(name=f"{incident}/evidence/{item}", kind="url", **fields) for item in ids]
    request = pb.AddHostEvidenceRequest(incident=incident, items=items)
    added: int = (await a.call(a.lock.AddHostEvidence, request)).added
    return added


async def inspect(a: Running, incident: str, evidence: Evidence = UNTOUCHED) -> pb.RecordInspectionResponse:
    request = pb.RecordInspectionRequest(incident=incident, evidence=evidence)
    answer: pb.RecordInspectionResponse = await a.call(a.lock.RecordInspection, request)
    return answer


async def decide(
    a: Running, incident: str, revision: int, outcome: str, *, reason: str = "because", resume_s: float = 60
) -> pb.RecordDecisionResponse:
    request = pb.RecordDecisionRequest(
        incident=incident,
        revision=revision,
        outcome=Outcome.Value(f"OUTCOME_{outcome}"),
        reason=reason,
        resume_for=_duration(resume_s),
    )
    answer: pb.RecordDecisionResponse = await a.call(a.lock.RecordDecision, request)
    return answer


async def resolve(
    a: Running, incident: str, etag: str, outcome: str, *, attest: bool = False, resume_s: float = 60
) -> Incident:
    request = pb.RecordVerdictRequest(
        incident=incident,
        etag=etag,
        outcome=Outcome.Value(f"OUTCOME_{outcome}"),
        reason="looked at",
        attest_destroyed=attest,
        resume_for=_duration(resume_s),
    )
    answer: Incident = (await a.call(a.lock.RecordVerdict, request)).incident
    return answer


async def read(a: Running, incident: str) -> pb.ReadIncidentResponse:
    answer: pb.ReadIncidentResponse = await a.call(
        a.lock.ReadIncident, pb.ReadIncidentRequest(incident=incident)
    )
    return answer


async def reviewed(
    a: Running, hold: Hold, *, acknowledged: bool = True, evidence: Evidence = UNTOUCHED
) -> Incident:
    """Bring a hold to MANUAL_REVIEW."""
    incident = await suspect(a, hold)
    assert await quarantine(a, incident, acknowledged=acknowledged) == "QUARANTINED"
    inspected = await inspect(a, incident, evidence)
    await decide(a, incident, inspected.revision, "MANUAL_REVIEW")
    return (await read(a, incident)).incident


async def decided(a: Running, hold: Hold, outcome: str, evidence: Evidence = UNTOUCHED) -> str:
    """Bring a hold to an outcome by recovery's decision; returns the incident."""
    incident = await suspect(a, hold)
    await quarantine(a, incident)
    inspected = await inspect(a, incident, evidence)
    assert state((await decide(a, incident, inspected.revision, outcome)).state) == outcome
    return incident


def current(a: Running, profile: str) -> State | None:
    """The state of a profile in the replica's mirror."""
    record = a.replica.mirror.record(ProfileName(a.tenant, profile))
    return record.state if record else None


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromMilliseconds(int(seconds * 1000))
    return duration
