"""The public API of incidents, on a real lock service."""

from __future__ import annotations

from typing import Any

import pytest

from tenure.errors import (
    HostUnreachable,
    InvalidField,
    InvalidId,
    NotFound,
    PermissionDenied,
    Unimplemented,
)
from tenure.internal.v1.lock_service_pb2 import AddHostEvidenceRequest
from tenure.v1 import incident_service_pb2 as pb
from tenure.v1.hold_pb2 import Hold, ProfileState
from tenure.v1.hold_service_pb2 import StartStepRequest
from tenure.v1.incident_pb2 import Incident, Outcome
from tests.lockservice import incidents
from tests.recovery.facts import START, at_work
from tests.recovery.scene import Scene, recorded

OTHERS = "tenants/other/profiles/alice/incidents/7"


async def suspected(scene: Scene) -> Hold:
    """A hold with a step, made an incident; recovery is not at work."""
    hold = await scene.hold("alice")
    start = StartStepRequest(
        profile=hold.profile, fencing_token=hold.fencing_token, name="checkout", sensitive=True
    )
    await scene.lock.call(scene.lock.holds.StartStep, start)
    await incidents.suspect(scene.lock, hold)
    return hold


async def reviewed(scene: Scene, profile: str) -> Incident:
    return await incidents.reviewed(scene.lock, await scene.hold(profile))


def simulation(policy: str) -> pb.SimulateDecisionRequest:
    return pb.SimulateDecisionRequest(evidence=at_work(), policy=policy)


async def test_an_incident_is_read_under_its_own_tenants_name(scene: Scene) -> None:
    api, hold = await scene.api(), await suspected(scene)
    name = incidents.of(hold)
    for spelt in (name, name.replace("tenants/default", "tenants/-")):
        found = (await api.call("GetIncident", pb.GetIncidentRequest(incident=spelt))).incident
        assert found.name == name
        assert found.state == ProfileState.PROFILE_STATE_SUSPECTED_STALE
        assert found.open


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("GetIncident", pb.GetIncidentRequest(incident=OTHERS)),
        ("ListIncidents", pb.ListIncidentsRequest(parent="tenants/other")),
        ("ListEvidence", pb.ListEvidenceRequest(incident=OTHERS)),
        ("ResolveIncident", pb.ResolveIncidentRequest(incident=OTHERS)),
    ],
)
async def test_another_tenants_incidents_are_denied(scene: Scene, method: str, request_: Any) -> None:
    assert isinstance(await (await scene.api()).refusal(method, request_), PermissionDenied)


async def test_another_tenants_evidence_is_denied(scene: Scene) -> None:
    api = await scene.api()
    request = pb.ReadEvidenceRequest(evidence=f"{OTHERS}/evidence/1")
    with pytest.raises(PermissionDenied):
        await api.stream("ReadEvidence", request)


async def test_what_is_no_incident_is_told_apart_from_one_that_does_not_exist(scene: Scene) -> None:
    api = await scene.api()
    missing = pb.GetIncidentRequest(incident="tenants/-/profiles/alice/incidents/7")
    assert isinstance(await api.refusal("GetIncident", missing), NotFound)
    malformed = pb.GetIncidentRequest(incident="alice")
    assert isinstance(await api.refusal("GetIncident", malformed), InvalidId)


async def test_incidents_are_listed_newest_first_and_by_pages(scene: Scene) -> None:
    api = await scene.api()
    names = [(await reviewed(scene, f"p{n}")).name for n in range(3)]
    first = await api.call("ListIncidents", pb.ListIncidentsRequest(page_size=2))
    rest = await api.call(
        "ListIncidents", pb.ListIncidentsRequest(page_size=2, page_token=first.next_page_token)
    )
    assert [found.name for found in (*first.incidents, *rest.incidents)] == names[::-1]
    assert not rest.next_page_token
    others = await api.as_("other").call("ListIncidents", pb.ListIncidentsRequest())
    assert not others.incidents


async def test_open_incidents_are_those_that_are_not_over(scene: Scene) -> None:
    api = await scene.api()
    over, waits = await reviewed(scene, "a"), await reviewed(scene, "b")
    await incidents.resolve(scene.lock, over.name, over.etag, "AVAILABLE")
    found = await api.call("ListIncidents", pb.ListIncidentsRequest(open_only=True))
    assert [incident.name for incident in found.incidents] == [waits.name]


async def test_evidence_is_the_owners_steps_and_what_the_host_has_until_it_is_stored(scene: Scene) -> None:
    api, hold = await scene.api(), await suspected(scene)
    request = pb.ListEvidenceRequest(incident=incidents.of(hold))
    listed = (await api.call("ListEvidence", request)).items
    assert [item.kind for item in listed] == ["url", "step"]
    assert scene.host.asked == ["ListWitness"]
    add = AddHostEvidenceRequest(
        incident=incidents.of(hold), items=[recorded(incidents.of(hold), n) for n in (1, 2)]
    )
    await scene.lock.call(scene.lock.lock.AddHostEvidence, add)
    stored = (await api.call("ListEvidence", request)).items
    assert [item.kind for item in stored] == ["url", "url", "step"]
    assert scene.host.asked == ["ListWitness"]


async def test_steps_are_listed_also_while_the_host_is_away(scene: Scene) -> None:
    api, hold = await scene.api(), await suspected(scene)
    await scene.register_host("127.0.0.1:1")
    listed = await api.call("ListEvidence", pb.ListEvidenceRequest(incident=incidents.of(hold)))
    assert [item.kind for item in listed.items] == ["step"]


async def test_evidence_comes_by_pages(scene: Scene) -> None:
    api, hold = await scene.api(), await suspected(scene)
    scene.host.pages = [f"{START}{n}" for n in range(4)]
    found, token = [], ""
    while True:
        request = pb.ListEvidenceRequest(incident=incidents.of(hold), page_size=2, page_token=token)
        answer = await api.call("ListEvidence", request)
        found += answer.items
        token = answer.next_page_token
        if not token:
            break
    assert len({item.name for item in found}) == len(found) == 5


async def test_the_bytes_of_evidence_come_through_from_the_host(scene: Scene) -> None:
    api, hold = await scene.api(), await suspected(scene)
    name = f"{incidents.of(hold)}/evidence/000003-screenshot"
    scene.host.contents[name] = b"0123456789"
    parts = await api.stream("ReadEvidence", pb.ReadEvidenceRequest(evidence=name))
    assert [part.chunk for part in parts] == [b"012", b"345", b"678", b"9"]
    with pytest.raises(NotFound):
        await api.stream("ReadEvidence", pb.ReadEvidenceRequest(evidence=f"{incidents.of(hold)}/evidence/9"))


async def test_a_step_is_read_as_the_text_that_is_listed(scene: Scene) -> None:
    api, hold = await scene.api(), await suspected(scene)
    listed = await api.call("ListEvidence", pb.ListEvidenceRequest(incident=incidents.of(hold)))
    step = next(item for item in listed.items if item.kind == "step")
    (part,) = await api.stream("ReadEvidence", pb.ReadEvidenceRequest(evidence=step.name))
    assert part.chunk == step.text.encode()
    assert b"'checkout', declared sensitive" in part.chunk
    assert scene.host.asked == ["ListWitness"]


async def test_evidence_of_a_host_that_is_away_says_so(scene: Scene) -> None:
    api, hold = await scene.api(), await suspected(scene)
    await scene.register_host("127.0.0.1:1")
    request = pb.ReadEvidenceRequest(evidence=f"{incidents.of(hold)}/evidence/1")
    with pytest.raises(HostUnreachable) as caught:
        await api.stream("ReadEvidence", request)
    assert caught.value.host == "hosts/h1"


async def test_a_decision_is_simulated_on_the_policy_in_force_or_another(scene: Scene) -> None:
    api = await scene.api()
    request = simulation("")
    decision = (await api.call("SimulateDecision", request)).decision
    assert decision.outcome == Outcome.OUTCOME_RETRY
    request.policy = "max_attempts = 1"
    decision = (await api.call("SimulateDecision", request)).decision
    assert decision.outcome == Outcome.OUTCOME_MANUAL_REVIEW
    assert "attempt 1 of at most 1" in decision.reason.casefold()


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.SimulateDecisionRequest(), "evidence"),
        (pb.SimulateDecisionRequest(evidence=at_work(), policy="x = ["), "policy"),
        (pb.SimulateDecisionRequest(evidence=at_work(), policy="x = 1"), "policy.x"),
        (
            pb.SimulateDecisionRequest(evidence=at_work(), policy="sensitive_urls = [1]"),
            "policy.sensitive_urls[0]",
        ),
    ],
)
async def test_a_simulation_names_what_is_wrong_with_it(
    scene: Scene, request_: pb.SimulateDecisionRequest, field: str
) -> None:
    refused = await (await scene.api()).refusal("SimulateDecision", request_)
    assert isinstance(refused, InvalidField)
    assert refused.field == field


async def test_watching_incidents_is_not_served_yet(scene: Scene) -> None:
    api = await scene.api()
    with pytest.raises(Unimplemented):
        await api.stream("WatchIncidents", pb.WatchIncidentsRequest())
