from __future__ import annotations

from typing import Any

import pytest

from recovery.evidence import gather, storable
from recovery.patterns import readable
from tenure.internal.v1.browser_host_service_pb2 import InspectProfileResponse
from tenure.internal.v1.lock_service_pb2 import ReadIncidentResponse, StoredStep
from tenure.v1.hold_pb2 import Checkpoint, Hold, HoldOrigin, Step
from tenure.v1.incident_pb2 import (
    DirectoryFinding,
    Evidence,
    EvidenceItem,
    Incident,
    SuspicionCause,
)
from tests.recovery.facts import NOW, START, at

TOKEN = 70


def stored(*steps: StoredStep, checkpoint: Checkpoint | None = None) -> ReadIncidentResponse:
    hold = Hold(
        fencing_token=TOKEN,
        origin=HoldOrigin.HOLD_ORIGIN_NEW,
        attempt=2,
        workflow_id="basket",
        plan="v2",
        restartable=True,
        proxy_key="paris__",
    )
    incident = Incident(cause=SuspicionCause.SUSPICION_CAUSE_LEASE_ENDED, acknowledged=True, hold=hold)
    return ReadIncidentResponse(
        incident=incident, steps=steps, checkpoint=checkpoint, checkpoint_revision=100 if checkpoint else 0
    )


def step(seq: int, *, finished: int = 0) -> StoredStep:
    return StoredStep(
        step=Step(seq=seq, name=f"step {seq}"), start_revision=80 + seq, finish_revision=finished
    )


def saved(token: int = TOKEN) -> Checkpoint:
    return Checkpoint(
        workflow_id="basket", plan="v2", payload=b"x" * 1000, safe=True, fencing_token=token, save_time=at(0)
    )


def visit(url: str, seconds: float | None) -> EvidenceItem:
    item = EvidenceItem(name=f"n{url[:9]}", kind="url", text=url)
    if seconds is not None:
        item.record_time.CopyFrom(at(seconds))
    return item


def answer(*items: EvidenceItem, last_url: str = "") -> InspectProfileResponse:
    evidence = Evidence(
        directory=DirectoryFinding.DIRECTORY_FINDING_CLEAN,
        proxy_key="paris__",
        browser_opened=True,
        account_touched=True,
        last_url=last_url,
        start_url=START,
        findings=["Cookies: 12"],
        # What is not the host's to say.
        workflow_id="forged",
        acknowledged=False,
        checkpoint=Checkpoint(safe=True),
        uncovered_steps=[Step(seq=9)],
        uncovered_urls=["forged"],
        last_step=Step(seq=9),
    )
    return InspectProfileResponse(evidence=evidence, items=items)


def test_the_lock_service_says_what_the_hold_was_and_the_host_what_it_saw() -> None:
    found = gather(stored(step(2), step(1)), answer(visit(START, -9)), "", NOW)
    assert found.acknowledged
    assert not found.missing
    assert (found.workflow_id, found.plan, found.attempt, found.restartable) == ("basket", "v2", 2, True)
    assert (found.hold_proxy_key, found.proxy_key) == ("paris__", "paris__")
    assert found.directory == DirectoryFinding.DIRECTORY_FINDING_CLEAN
    assert found.cause == SuspicionCause.SUSPICION_CAUSE_LEASE_ENDED
    assert found.last_step.seq == 2
    assert [each.seq for each in found.uncovered_steps] == [1, 2]
    assert list(found.uncovered_urls) == [START]
    assert not found.HasField("checkpoint")
    assert list(found.findings) == ["Cookies: 12"]
    assert found.gather_time.ToDatetime(NOW.tzinfo) == NOW


def test_without_the_host_only_what_the_lock_service_knows_is_there() -> None:
    found = gather(stored(step(1), checkpoint=saved()), None, "host 'hosts/a' does not answer", NOW)
    assert found.missing
    assert not found.HasField("account_touched")
    assert not found.browser_opened
    assert found.last_step.seq == 1
    assert found.checkpoint.safe
    assert list(found.findings) == ["host 'hosts/a' does not answer"]


def test_a_checkpoint_covers_the_steps_that_had_ended_when_it_was_saved() -> None:
    steps = (step(1, finished=90), step(2, finished=101), step(3))
    found = gather(stored(*steps, checkpoint=saved()), answer(), "", NOW)
    assert [each.seq for each in found.uncovered_steps] == [2, 3]


@pytest.mark.parametrize("spoilt", [{"safe": False}, {"plan": "v1"}, {"workflow_id": "other"}])
def test_a_checkpoint_that_nobody_can_go_on_from_covers_nothing(spoilt: dict[str, Any]) -> None:
    unusable = saved()
    for name, value in spoilt.items():
        setattr(unusable, name, value)
    paid = step(1, finished=90)
    found = gather(stored(paid, checkpoint=unusable), answer(visit("a", -60), visit("b", -50)), "", NOW)
    assert [each.seq for each in found.uncovered_steps] == [1]
    assert list(found.uncovered_urls) == ["a", "b"]
    # A person who looks sees it all the same.
    assert found.HasField("checkpoint")


def test_a_checkpoint_covers_the_pages_before_it_but_for_the_one_in_front() -> None:
    pages = [visit(f"{START}{s}", s) for s in (-60, -30, -10, -1, 5)]
    found = gather(stored(checkpoint=saved()), answer(*pages), "", NOW)
    # -10 was in front; -1 is within what clocks may differ.
    assert list(found.uncovered_urls) == [f"{START}{s}" for s in (-10, -1, 5)]


@pytest.mark.parametrize("off_s", [-30, 30])
def test_a_host_with_another_clock_cannot_tell_which_pages_came_before_the_checkpoint(off_s: int) -> None:
    said = answer(visit("checkout", -60), visit("b", -50), visit("c", -40))
    said.evidence.gather_time.CopyFrom(at(off_s))
    steps = (step(1, finished=90), step(2))
    found = gather(stored(*steps, checkpoint=saved()), said, "", NOW)
    assert list(found.uncovered_urls) == ["checkout", "b", "c"]
    assert f"{off_s:+.1f} s off" in found.findings[-1]
    # Steps are ordered by the store.
    assert [each.seq for each in found.uncovered_steps] == [2]
    said.evidence.gather_time.CopyFrom(at(1))
    assert list(gather(stored(checkpoint=saved()), said, "", NOW).uncovered_urls) == ["c"]


def test_a_page_without_a_time_is_never_covered() -> None:
    found = gather(stored(checkpoint=saved()), answer(visit("a", -60), visit("b", None)), "", NOW)
    assert list(found.uncovered_urls) == ["a", "b"]


def test_a_checkpoint_without_a_time_covers_no_page() -> None:
    timeless = saved()
    timeless.ClearField("save_time")
    found = gather(stored(checkpoint=timeless), answer(visit("a", -60), visit("b", -50)), "", NOW)
    assert list(found.uncovered_urls) == ["a", "b"]


def test_a_checkpoint_of_an_earlier_hold_is_told_of_and_covers_nothing() -> None:
    steps = (step(1, finished=90), step(2))
    found = gather(stored(*steps, checkpoint=saved(token=69)), answer(visit("a", -60)), "", NOW)
    assert not found.HasField("checkpoint")
    assert "of an earlier hold (token 69)" in found.findings[-1]
    assert [each.seq for each in found.uncovered_steps] == [1, 2]
    assert list(found.uncovered_urls) == ["a"]


def test_a_checkpoint_whose_hold_nobody_names_covers_nothing() -> None:
    nameless = stored(checkpoint=saved(token=0))
    nameless.incident.hold.fencing_token = 0
    assert not gather(nameless, answer(), "", NOW).HasField("checkpoint")


def test_evidence_does_not_carry_the_checkpoints_payload() -> None:
    assert gather(stored(checkpoint=saved()), answer(), "", NOW).checkpoint.payload == b""


def test_each_page_is_named_once_and_of_too_many_the_newest() -> None:
    pages = [visit(f"{START}{n % 150}", n) for n in range(300)]
    found = gather(stored(), answer(*pages), "", NOW)
    assert list(found.uncovered_urls) == [f"{START}{n}" for n in range(50, 150)]
    steps = gather(stored(*(step(n) for n in range(1, 151))), answer(), "", NOW).uncovered_steps
    assert [each.seq for each in steps] == list(range(51, 151))


def test_endless_addresses_and_findings_are_cut() -> None:
    said = answer(visit("https://x.example/?q=" + "y" * 9000, 1))
    said.evidence.findings.extend(["z" * 9000] * 90)
    said.evidence.start_url = said.evidence.last_url = "https://x.example/?q=" + "y" * 9000
    found = gather(stored(), said, "", NOW)
    assert found.ByteSize() < 40_000
    assert len(found.uncovered_urls) == 1
    assert not readable(found.uncovered_urls[0])


def test_items_are_stored_small_and_otherwise_as_they_are() -> None:
    small, large = visit("a", 1), visit("b" * 20_000, 2)
    kept, cut = storable([small, large])
    assert kept == small
    assert cut.ByteSize() < 8 * 1024
    assert cut.text.startswith("bbb")
    assert (cut.name, cut.record_time) == (large.name, large.record_time)
