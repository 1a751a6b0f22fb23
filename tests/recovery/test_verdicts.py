"""What a person may decide, and what must be said for it, on a real lock service."""

from __future__ import annotations

from typing import Any

import pytest

from recovery.policy import DEFAULT
from tenure.errors import InvalidField, PermissionDenied
from tenure.v1 import incident_service_pb2 as pb
from tenure.v1.incident_pb2 import Incident, Outcome
from tests.lockservice import incidents
from tests.recovery.scene import Scene

AVAILABLE = Outcome.OUTCOME_AVAILABLE
VERDICTS = "OUTCOME_AVAILABLE, OUTCOME_RETRY, OUTCOME_RESUME_PENDING, OUTCOME_DISABLED"


async def reviewed(scene: Scene, *, acknowledged: bool = True) -> Incident:
    hold = await scene.hold("alice", workflow_id="basket")
    return await incidents.reviewed(scene.lock, hold, acknowledged=acknowledged)


def verdict(incident: Incident, **changes: Any) -> pb.ResolveIncidentRequest:
    fields: dict[str, Any] = {
        "incident": incident.name,
        "etag": incident.etag,
        "outcome": AVAILABLE,
        "reason": "looked at it",
    }
    return pb.ResolveIncidentRequest(**{**fields, **changes})


async def test_a_verdict_frees_the_profile_and_names_the_reviewer(scene: Scene) -> None:
    api, incident = await scene.api(), await reviewed(scene)
    answer = await api.call("ResolveIncident", verdict(incident, reason="  all is well "))
    assert answer.incident.verdict.outcome == AVAILABLE
    assert answer.incident.verdict.reviewer == "ann"
    assert answer.incident.verdict.reason == "all is well"
    assert not answer.incident.open
    # The same again, as after a lost answer.
    again = await api.call("ResolveIncident", verdict(incident, reason="all is well"))
    assert again.incident.verdict == answer.incident.verdict


async def test_a_resumption_by_verdict_waits_as_long_as_the_policy_says(scene: Scene) -> None:
    api, incident = await scene.api(), await reviewed(scene)
    await api.call("ResolveIncident", verdict(incident, outcome=Outcome.OUTCOME_RESUME_PENDING))
    record = scene.lock.replica.mirror.record(next(iter(scene.lock.replica.mirror.bound())))
    assert record is not None
    assert record.resume_until_ms - record.since_ms == DEFAULT.resume_for_s * 1000


async def test_only_reviewers_resolve(scene: Scene) -> None:
    api, incident = await scene.api(), await reviewed(scene)
    for request in (verdict(incident), verdict(incident, reason="")):
        refused = await api.as_(roles=("worker", "admin")).refusal("ResolveIncident", request)
        assert isinstance(refused, PermissionDenied)
        assert "'reviewer'" in str(refused)
    assert (await incidents.read(scene.lock, incident.name)).incident.open


@pytest.mark.parametrize(
    ("changes", "field", "remedy"),
    [
        ({"outcome": Outcome.OUTCOME_MANUAL_REVIEW}, "outcome", f"send {VERDICTS}"),
        ({"outcome": Outcome.OUTCOME_UNSPECIFIED}, "outcome", f"send {VERDICTS}"),
        ({"outcome": 77}, "outcome", f"send {VERDICTS}"),
        ({"etag": ""}, "etag", "send the etag of the incident as you read it"),
        ({"reason": " "}, "reason", "say in words why, for the record"),
        ({"reason": "x" * 1001}, "reason", "use at most 1000 characters"),
    ],
)
async def test_a_verdict_that_says_too_little_is_refused(
    scene: Scene, changes: dict[str, Any], field: str, remedy: str
) -> None:
    api, incident = await scene.api(), await reviewed(scene)
    refused = await api.refusal("ResolveIncident", verdict(incident, **changes))
    assert isinstance(refused, InvalidField)
    assert refused.field == field
    assert remedy in str(refused)


async def test_a_verdict_on_what_has_changed_since_is_refused(scene: Scene) -> None:
    api, incident = await scene.api(), await reviewed(scene)
    await api.call("ResolveIncident", verdict(incident))
    refused = await api.refusal(
        "ResolveIncident", verdict(incident, outcome=Outcome.OUTCOME_DISABLED, reason="no")
    )
    assert isinstance(refused, InvalidField)
    assert refused.field == "etag"


async def test_without_the_hosts_word_a_person_must_attest(scene: Scene) -> None:
    api, incident = await scene.api(), await reviewed(scene, acknowledged=False)
    refused = await api.refusal("ResolveIncident", verdict(incident))
    assert isinstance(refused, InvalidField)
    assert refused.field == "attest_destroyed"
    await api.call("ResolveIncident", verdict(incident, attest_destroyed=True))
