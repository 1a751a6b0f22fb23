"""How long recovery waits for a host, and what it does without its word."""

from __future__ import annotations

from lockservice.core.record import State
from recovery.handling import boottime
from tenure.errors import DiskFull, ProfileCorrupt
from tenure.v1.incident_pb2 import Outcome
from tests.fixtures.census import until
from tests.lockservice import incidents
from tests.recovery.facts import START
from tests.recovery.scene import NEVER, OUT, QUICK, Scene, failing


async def test_without_an_acknowledgement_the_whole_wait_passes_and_a_person_decides(scene: Scene) -> None:
    scene.host.hooks["QuarantineHold"] = failing(DiskFull(path="/data"))
    hold = await scene.hold("alice")
    async with scene.recovery():
        # No replica can hear of it earlier.
        began = boottime()
        await scene.end_worker(hold)
        await scene.until(hold, State.QUARANTINED, State.INSPECTED, State.MANUAL_REVIEW)
        assert boottime() - began > QUICK.cut_off_s
        incident = await scene.until(hold, *OUT)
    assert incident.decision.outcome == Outcome.OUTCOME_MANUAL_REVIEW
    assert "No host acknowledged" in incident.decision.reason
    assert not incident.acknowledged
    # The host could be asked all the same, and a person sees what it saw.
    assert not incident.evidence.missing
    assert incident.evidence.last_url == START


async def test_a_host_that_answers_before_the_wait_is_over_is_believed(scene: Scene) -> None:
    scene.host.hooks["QuarantineHold"] = failing(DiskFull(path="/data"), times=3)
    hold = await scene.hold("alice")
    async with scene.recovery(NEVER):
        await scene.end_worker(hold)
        incident = await scene.until(hold, *OUT)
    assert incident.acknowledged
    assert incident.decision.outcome == Outcome.OUTCOME_AVAILABLE
    assert scene.host.asked.count("QuarantineHold") == 4


async def test_every_new_replica_waits_in_full_again(scene: Scene) -> None:
    scene.host.hooks["QuarantineHold"] = failing(DiskFull(path="/data"))
    hold = await scene.hold("alice")
    # However long this machine takes: the first one's wait is not over.
    async with scene.recovery(NEVER):
        await scene.end_worker(hold)
        # A part of its wait, which must not count for the next one.
        await until(lambda: scene.host.asked.count("QuarantineHold") >= 4, "it was asked for a while")
    began = boottime()
    async with scene.recovery():
        await scene.until(hold, State.QUARANTINED, State.INSPECTED, State.MANUAL_REVIEW)
    assert boottime() - began > QUICK.cut_off_s


async def test_the_acknowledgement_is_asked_for_until_it_comes_late(scene: Scene) -> None:
    # More failures than the wait has tries.
    scene.host.hooks["QuarantineHold"] = failing(DiskFull(path="/data"), times=25)
    hold = await scene.hold("alice")
    async with scene.recovery() as driver:
        await scene.end_worker(hold)
        reviewed = await scene.until(hold, *OUT)
        assert driver._handlings
        await scene.until_idle(driver)
    found = (await scene.read(hold)).incident
    assert not found.acknowledged
    assert found.HasField("late_acknowledge_time")
    assert found.etag == reviewed.etag


async def test_a_replica_that_starts_in_the_middle_of_a_review_asks_for_the_acknowledgement_too(
    scene: Scene,
) -> None:
    scene.host.hooks["QuarantineHold"] = failing(DiskFull(path="/data"))
    hold = await scene.hold("alice")
    async with scene.recovery():
        await scene.end_worker(hold)
        await scene.until(hold, State.MANUAL_REVIEW)
    # The host is well again after the replica that waited for it is gone.
    del scene.host.hooks["QuarantineHold"]
    scene.host.asked.clear()
    async with scene.recovery() as driver:
        await until(lambda: bool(scene.host.asked), "the host is asked again")
        await scene.until_idle(driver)
    assert (await scene.read(hold)).incident.HasField("late_acknowledge_time")


async def test_the_acknowledgement_is_no_longer_asked_for_once_a_person_decided(scene: Scene) -> None:
    scene.host.hooks["QuarantineHold"] = failing(DiskFull(path="/data"))
    hold = await scene.hold("alice")
    async with scene.recovery() as driver:
        await scene.end_worker(hold)
        reviewed = await scene.until(hold, *OUT)
        await incidents.resolve(scene.lock, reviewed.name, reviewed.etag, "AVAILABLE", attest=True)
        await scene.until_idle(driver)


async def test_a_profile_without_a_home_goes_to_a_person_and_nobody_is_asked(scene: Scene) -> None:
    hold = await scene.hold("alice", home="")
    async with scene.recovery() as driver:
        await scene.end_worker(hold)
        incident = await scene.until(hold, *OUT)
        await scene.until_idle(driver)
    assert incident.decision.outcome == Outcome.OUTCOME_MANUAL_REVIEW
    assert incident.evidence.missing
    assert "has no home" in incident.evidence.findings[0]
    assert scene.host.asked == []


async def test_a_host_that_stays_away_leaves_the_evidence_missing(scene: Scene) -> None:
    scene.host.hooks["InspectProfile"] = failing(ProfileCorrupt(profile="alice"))
    hold = await scene.hold("alice")
    async with scene.recovery():
        # Nobody can ask it earlier.
        began = boottime()
        await scene.end_worker(hold)
        incident = await scene.until(hold, *OUT)
        assert boottime() - began > QUICK.patience_s
    assert incident.acknowledged
    assert incident.evidence.missing
    assert incident.evidence.findings[0] == str(ProfileCorrupt(profile="alice"))
    assert incident.decision.outcome == Outcome.OUTCOME_MANUAL_REVIEW
    assert "No host told what became" in incident.decision.reason


async def test_a_host_that_comes_back_in_time_is_heard(scene: Scene) -> None:
    await scene.register_host("127.0.0.1:1")
    hold = await scene.hold("alice")
    async with scene.recovery(NEVER):
        await scene.end_worker(hold)
        await scene.until(hold, State.SUSPECTED_STALE)
        await scene.register_host()
        incident = await scene.until(hold, *OUT)
    assert incident.decision.outcome == Outcome.OUTCOME_AVAILABLE
