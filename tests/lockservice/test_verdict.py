"""Rule 25, without I/O."""

from __future__ import annotations

import pytest

from lockservice.core import quarantine, unclaimed, verdict
from lockservice.core.outcome import Choice, Outcome
from lockservice.core.record import State
from lockservice.core.snapshot import Sight
from lockservice.core.stored import Verdict
from tenure.errors import InvalidField, NotFound
from tenure.names import IncidentName
from tests.lockservice import scenes
from tests.lockservice.worlds import KEYS, NOW, PROFILE, World


def judge(
    world: World,
    name: IncidentName,
    outcome: Outcome = Outcome.AVAILABLE,
    *,
    revision: int = 0,
    attested: bool = False,
) -> Verdict:
    seen = world.see(verdict.sight(KEYS, name))
    answer = scenes.done(
        world,
        verdict.decide(
            KEYS,
            name,
            seen,
            revision=revision or seen.mod,
            choice=Choice(outcome=outcome, reason="looked at", resume_for_ms=10),
            reviewer="ann",
            attested=attested,
            now_ms=NOW,
        ),
    )
    assert isinstance(answer, Verdict)
    return answer


@pytest.mark.parametrize("outcome", sorted(verdict.CHOICES, key=str))
def test_a_person_chooses_and_is_on_record(outcome: Outcome) -> None:
    world, name = scenes.in_review()
    etag = world.see(verdict.sight(KEYS, name)).mod
    assert judge(world, name, outcome) == Verdict(
        outcome=outcome.value, reason="looked at", reviewer="ann", resolve_ms=NOW, revision=etag
    )
    record = world.record()
    assert record is not None
    assert record.state.value == outcome.value


def test_the_same_again_answers_the_first_and_another_is_refused() -> None:
    world, name = scenes.in_review()
    etag = world.see(verdict.sight(KEYS, name)).mod
    first = judge(world, name)
    assert judge(world, name, revision=etag) == first
    for changed in ({"outcome": Outcome.RETRY, "revision": etag}, {"revision": etag + 1}):
        with pytest.raises(InvalidField, match="etag"):
            judge(world, name, **changed)


def test_only_what_is_in_review_is_judged() -> None:
    with pytest.raises(InvalidField, match="etag"):
        judge(*scenes.looked_at())
    with pytest.raises(NotFound):
        judge(*scenes.held())


def test_what_no_host_acknowledged_needs_proof_each_time() -> None:
    world, name = scenes.in_review(acknowledged=False)
    with pytest.raises(InvalidField, match="attest_destroyed"):
        judge(world, name)
    assert judge(world, name, Outcome.RESUME_PENDING, attested=True).attested
    seen = world.see(Sight(keys=KEYS, profile=PROFILE))
    assert not scenes.unchanged(unclaimed.decide(KEYS, PROFILE, seen, NOW + 9))
    assert scenes.done(world, unclaimed.decide(KEYS, PROFILE, seen, NOW + 10))
    with pytest.raises(InvalidField, match="attest_destroyed"):
        judge(world, name)
    late = world.see(quarantine.sight(KEYS, name))
    scenes.done(world, quarantine.decide(KEYS, name, late, acknowledged=True, now_ms=NOW))
    assert not judge(world, name).attested
    keys = [key for key in world.kvs if key.startswith(b"/t/v/")]
    assert [key[-4:] for key in sorted(keys)] == [b"0001", b"0002"]


def test_a_resumption_nobody_claimed_is_in_review_as_before() -> None:
    world, name = scenes.in_review()
    before = world.record()
    judge(world, name, Outcome.RESUME_PENDING)
    seen = world.see(Sight(keys=KEYS, profile=PROFILE))
    scenes.done(world, unclaimed.decide(KEYS, PROFILE, seen, NOW + 10))
    after = world.record()
    assert before is not None
    assert after is not None
    assert after.state is State.MANUAL_REVIEW
    assert (after.holding, after.incident, after.resume_until_ms) == (before.holding, before.incident, 0)
    # Twice is once.
    assert not scenes.unchanged(
        unclaimed.decide(KEYS, PROFILE, world.see(Sight(keys=KEYS, profile=PROFILE)), NOW + 99)
    )
