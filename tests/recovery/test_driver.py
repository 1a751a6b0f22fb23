"""Recovery's way with incidents, on a real lock service: nothing is lost, skipped or decided twice."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lockservice.core.document import encode
from lockservice.core.record import State
from lockservice.core.steps import MAX_SEQ
from lockservice.core.stored import Step
from lockservice.etcd.txn import put, txn
from lockservice.fields import MAX_TEXT
from recovery import handling, policy
from recovery.evidence import gather
from tenure.names import ProfileName
from tenure.v1.hold_pb2 import Hold, HoldOrigin
from tenure.v1.hold_service_pb2 import (
    FinishStepRequest,
    SaveCheckpointRequest,
    StartStepRequest,
)
from tenure.v1.incident_pb2 import Evidence, EvidenceItem, Outcome, SuspicionCause
from tests.fixtures.wire import WireGate
from tests.lockservice import incidents
from tests.recovery.facts import START
from tests.recovery.scene import NEVER, OUT, Scene


async def step(scene: Scene, hold: Hold, name: str, *, sensitive: bool | None, finish: bool = False) -> None:
    start = StartStepRequest(profile=hold.profile, fencing_token=hold.fencing_token, name=name)
    if sensitive is not None:
        start.sensitive = sensitive
    started = await scene.lock.call(scene.lock.holds.StartStep, start)
    if finish:
        end = FinishStepRequest(profile=hold.profile, fencing_token=hold.fencing_token, seq=started.step.seq)
        await scene.lock.call(scene.lock.holds.FinishStep, end)


def touched(scene: Scene, *pages: str) -> None:
    scene.host.evidence.account_touched = True
    scene.host.pages = [START, *(f"{START}{page}" for page in pages)]
    scene.host.evidence.last_url = scene.host.pages[-1]


def untouched(scene: Scene) -> None:
    scene.host.evidence.account_touched = False
    scene.host.pages = [START]
    scene.host.evidence.last_url = START


async def decisions(scene: Scene, hold: Hold) -> list[int]:
    """The versions of the decision's key: [1] when it was decided exactly once."""
    replica = scene.lock.replica
    name = f"d/{hold.profile.split('/')[1]}/{hold.profile.split('/')[3]}/"
    found = await replica.etcd.kv.get(f"{replica.keys.root}{name}{hold.fencing_token:016d}".encode(), 5.0)
    return [found.version] if found else []


async def test_a_worker_that_dies_before_it_touched_the_account_leaves_the_profile_available(
    scene: Scene,
) -> None:
    async with scene.recovery(NEVER) as driver:
        hold = await scene.hold("alice")
        await scene.end_worker(hold)
        await scene.until(hold, State.AVAILABLE)
        await scene.until_idle(driver)
    found = await scene.read(hold)
    assert found.incident.decision.outcome == Outcome.OUTCOME_AVAILABLE
    assert "not touched" in found.incident.decision.reason
    assert found.incident.acknowledged
    assert found.incident.cause == SuspicionCause.SUSPICION_CAUSE_LEASE_ENDED
    assert [item.text for item in found.host_items] == [START]
    assert scene.host.asked == ["QuarantineHold", "InspectProfile"]
    assert await decisions(scene, hold) == [1]


async def test_a_sensitive_step_brings_the_profile_to_a_person(scene: Scene) -> None:
    touched(scene, "cart")
    async with scene.recovery(NEVER):
        hold = await scene.hold("alice", restartable=True)
        await step(scene, hold, "checkout", sensitive=True)
        await scene.end_worker(hold)
        incident = await scene.until(hold, *OUT)
    assert incident.decision.outcome == Outcome.OUTCOME_MANUAL_REVIEW
    assert "'checkout'" in incident.decision.reason
    assert incident.evidence.last_step.name == "checkout"
    assert list(incident.evidence.uncovered_urls) == [START, f"{START}cart"]


async def test_a_workflow_goes_on_from_its_safe_checkpoint(scene: Scene) -> None:
    touched(scene, "cart")
    async with scene.recovery(NEVER):
        hold = await scene.hold("alice", workflow_id="basket", plan="v1")
        await step(scene, hold, "checkout", sensitive=True, finish=True)
        save = SaveCheckpointRequest(
            profile=hold.profile, fencing_token=hold.fencing_token, workflow_id="basket", plan="v1", safe=True
        )
        await scene.lock.call(scene.lock.holds.SaveCheckpoint, save)
        await scene.end_worker(hold)
        incident = await scene.until(hold, *OUT)
        assert incident.decision.outcome == Outcome.OUTCOME_RESUME_PENDING, incident.decision.reason
        untouched(scene)
        resumed = await scene.hold("alice", workflow_id="basket", plan="v1", resume_state=True)
        assert resumed.origin == HoldOrigin.HOLD_ORIGIN_RESUMED
        # It dies before it did anything: the workflow is waited for again.
        await scene.end_worker(resumed)
        incident = await scene.until(resumed, *OUT)
    assert incident.decision.outcome == Outcome.OUTCOME_RESUME_PENDING, incident.decision.reason


async def test_a_restartable_task_starts_over_until_its_attempts_are_spent(scene: Scene) -> None:
    touched(scene, "cart")
    attempts, outcomes = [], []
    async with scene.recovery(NEVER):
        for _ in range(3):
            hold = await scene.hold("alice", restartable=True)
            await scene.end_worker(hold)
            incident = await scene.until(hold, *OUT)
            attempts.append(hold.attempt)
            outcomes.append(Outcome.Name(incident.decision.outcome).removeprefix("OUTCOME_"))
    assert attempts == [1, 2, 3]
    assert outcomes == ["RETRY", "RETRY", "MANUAL_REVIEW"]


@pytest.mark.parametrize("once_answered", [False, True], ids=["request", "answer"])
@pytest.mark.parametrize(
    "method",
    [
        "ReadIncident",
        "QuarantineIncident",
        "AddHostEvidence",
        "RecordInspection",
        "RecordDecision",
    ],
)
async def test_a_lost_word_with_the_lock_service_is_said_again(
    scene: Scene, method: str, once_answered: bool
) -> None:
    hold = await scene.hold("alice")
    async with WireGate(scene.lock.server.address) as gate:
        stop = gate.stop(method, hold.profile, once_answered=once_answered)
        async with scene.recovery(NEVER, gate.address) as driver:
            await scene.end_worker(hold)
            await stop.reaches()
            stop.lose()
            incident = await scene.until(hold, *OUT)
            await scene.until_idle(driver)
    assert incident.decision.outcome == Outcome.OUTCOME_AVAILABLE
    assert await decisions(scene, hold) == [1]


@pytest.mark.parametrize("once_answered", [False, True], ids=["request", "answer"])
@pytest.mark.parametrize("method", ["QuarantineHold", "InspectProfile"])
async def test_a_lost_word_with_the_host_is_said_again(
    scene: Scene, method: str, once_answered: bool
) -> None:
    async with WireGate(scene.host_server.address) as gate:
        await scene.register_host(gate.address)
        stop = gate.stop(method, once_answered=once_answered)
        hold = await scene.hold("alice")
        async with scene.recovery(NEVER):
            await scene.end_worker(hold)
            await stop.reaches()
            stop.lose()
            incident = await scene.until(hold, *OUT)
    assert incident.decision.outcome == Outcome.OUTCOME_AVAILABLE


async def test_two_replicas_at_the_same_incidents_decide_each_exactly_once(scene: Scene) -> None:
    async with scene.recovery(NEVER) as one, scene.recovery(NEVER) as other:
        holds = [await scene.hold(f"profile{n}") for n in range(12)]
        await asyncio.gather(*(scene.end_worker(hold) for hold in holds))
        found = await asyncio.gather(*(scene.until(hold, *OUT) for hold in holds))
        await scene.until_idle(one)
        await scene.until_idle(other)
    assert {incident.decision.outcome for incident in found} == {Outcome.OUTCOME_AVAILABLE}
    assert [await decisions(scene, hold) for hold in holds] == [[1]] * len(holds)
    # Both were at work: a host's word was asked for more often than there were incidents.
    assert scene.host.asked.count("QuarantineHold") > len(holds)


async def test_a_replica_that_stops_leaves_its_work_to_the_next(scene: Scene) -> None:
    reached = asyncio.Event()

    async def stuck() -> None:
        reached.set()
        await asyncio.Event().wait()

    scene.host.hooks["InspectProfile"] = stuck
    hold = await scene.hold("alice")
    async with scene.recovery(NEVER):
        await scene.end_worker(hold)
        await reached.wait()
    scene.host.hooks.clear()
    async with scene.recovery(NEVER):
        incident = await scene.until(hold, *OUT)
    assert incident.decision.outcome == Outcome.OUTCOME_AVAILABLE


async def test_incidents_that_nobody_told_of_are_found_when_the_stream_begins_anew(scene: Scene) -> None:
    async with scene.recovery(NEVER) as driver:
        first = await scene.hold("alice")
        await scene.end_worker(first)
        await scene.until(first, State.AVAILABLE)
        await scene.until_idle(driver)
        # From now on every stream ends after the level that it begins with.
        scene.lock.replica.feed.close()
        second = await scene.hold("bob")
        await scene.end_worker(second)
        await scene.until(second, State.AVAILABLE)


async def fill_steps(scene: Scene, hold: Hold) -> None:
    """As many steps as a hold may have, with names as long as they may be."""
    replica, name = scene.lock.replica, ProfileName(scene.lock.tenant, hold.profile.rpartition("/")[2])
    value = encode(Step(name="é" * MAX_TEXT, start_ms=1, sensitive=False))
    for start in range(1, MAX_SEQ + 1, 100):
        keys = (replica.keys.step(name, hold.fencing_token, seq) for seq in range(start, start + 100))
        await replica.etcd.kv.txn(txn([], [put(key, value) for key in keys]), 5)


async def test_more_evidence_than_a_call_takes_is_stored_in_several(scene: Scene) -> None:
    touched(scene, *(f"page{n}" for n in range(300)))
    hold = await scene.hold("alice")
    async with scene.recovery(NEVER):
        await scene.end_worker(hold)
        incident = await scene.until(hold, *OUT)
    found = await scene.read(hold)
    assert len(found.host_items) == 301
    assert len(incident.evidence.uncovered_urls) == 100


async def test_an_incident_is_decided_however_much_its_worker_and_its_host_have_put_on_record(
    scene: Scene,
) -> None:
    touched(scene, *(f"{n}/{'x' * 1900}" for n in range(2000)))
    hold = await scene.hold("alice")
    await fill_steps(scene, hold)
    async with scene.recovery(NEVER):
        await scene.end_worker(hold)
        incident = await scene.until(hold, *OUT)
    assert incident.decision.outcome == Outcome.OUTCOME_MANUAL_REVIEW
    assert "steps that no checkpoint covers" in incident.decision.reason
    assert incident.evidence.last_step.seq == MAX_SEQ


async def test_evidence_that_cannot_be_stored_counts_as_missing(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold = await scene.hold("alice")
    monkeypatch.setattr("tests.recovery.scene.recorded", lambda *_, **__: EvidenceItem(name="nobody's"))
    async with scene.recovery(NEVER):
        await scene.end_worker(hold)
        incident = await scene.until(hold, *OUT)
    assert incident.decision.outcome == Outcome.OUTCOME_MANUAL_REVIEW
    assert incident.evidence.missing
    assert "cannot be stored: items.name 'nobody's' is not a resource name" in incident.evidence.findings[0]


async def test_a_workflow_is_waited_for_as_long_as_any_policy_may_say(scene: Scene) -> None:
    hold = await scene.hold("alice", workflow_id="basket")
    reviewed = await incidents.reviewed(scene.lock, hold)
    longest = policy.parse('resume_for = "30d"').resume_for_s
    await incidents.resolve(scene.lock, reviewed.name, reviewed.etag, "RESUME_PENDING", resume_s=longest)
    await scene.until(hold, State.RESUME_PENDING)


async def test_a_fault_of_our_own_does_not_make_an_incident_forgotten(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def faulty(*args: Any) -> Evidence:
        calls.append(args)
        if len(calls) == 1:
            raise ZeroDivisionError
        return gather(*args)

    monkeypatch.setattr(handling, "gather", faulty)
    hold = await scene.hold("alice")
    async with scene.recovery(NEVER):
        await scene.end_worker(hold)
        await scene.until(hold, State.AVAILABLE)
    assert len(calls) == 2
