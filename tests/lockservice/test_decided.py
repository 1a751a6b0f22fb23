"""Rule 24, and what an outcome makes of a profile, without I/O."""

from __future__ import annotations

import dataclasses

import pytest

from lockservice.core import decided
from lockservice.core.decided import Settled
from lockservice.core.outcome import Choice, Outcome
from lockservice.core.record import Record, State
from tenure.errors import InvalidField, NotFound
from tenure.names import IncidentName
from tests.lockservice import scenes
from tests.lockservice.worlds import KEYS, NOW, World


def decide(world: World, name: IncidentName, outcome: Outcome, **more: object) -> Record:
    seen = world.see(decided.sight(KEYS, name))
    choice = Choice(outcome=outcome, reason="why", **more)  # type: ignore[arg-type]
    scenes.done(world, decided.decide(KEYS, name, seen, revision=seen.mod, choice=choice, now_ms=NOW))
    record = world.record()
    assert record is not None
    return record


@pytest.mark.parametrize("outcome", sorted(decided.CHOICES, key=str))
def test_an_outcome_is_the_state_that_the_profile_enters(outcome: Outcome) -> None:
    record = decide(*scenes.looked_at(), outcome, resume_for_ms=9)
    assert record.state.value == outcome.value
    over = outcome in (Outcome.AVAILABLE, Outcome.RETRY)
    assert (record.incident == 0, record.holding is None) == (over, over)
    assert (record.home, record.used) == ("h1", True)
    assert record.touched is not over, "what was learnt goes with the incident"


@pytest.mark.parametrize(("touched", "attempts"), [(True, 3), (False, 2)])
def test_only_a_try_that_touched_the_account_counts(touched: bool, attempts: int) -> None:
    world, name = scenes.looked_at(finding=dataclasses.replace(scenes.FOUND, touched=touched))
    world.change_record(failed_attempts=2)
    assert decide(world, name, Outcome.RETRY).failed_attempts == attempts


def test_a_workflow_is_waited_for_until_its_time_with_its_plan() -> None:
    record = decide(*scenes.looked_at(), Outcome.RESUME_PENDING, resume_for_ms=500, resume_plan="v1")
    assert (record.resume_until_ms, record.resume_plan) == (NOW + 500, "v1")
    with pytest.raises(InvalidField, match="needs a workflow"):
        decide(*scenes.looked_at(workflow=""), Outcome.RESUME_PENDING, resume_for_ms=500)


def test_the_first_decision_stays() -> None:
    world, name = scenes.looked_at()
    decide(world, name, Outcome.RETRY)
    seen = world.see(decided.sight(KEYS, name))
    again = decided.decide(KEYS, name, seen, revision=seen.mod, choice=scenes.REVIEW, now_ms=NOW + 9)
    answer = scenes.unchanged(again)
    assert isinstance(answer, Settled)
    assert (answer.decided.outcome, answer.state) == ("RETRY", State.RETRY)


@pytest.mark.parametrize(
    ("acknowledged", "missing", "why"), [(False, False, "no host"), (True, True, "missing")]
)
def test_what_is_not_certain_is_a_persons(acknowledged: bool, missing: bool, why: str) -> None:
    finding = dataclasses.replace(scenes.FOUND, missing=missing)
    world, name = scenes.looked_at(acknowledged=acknowledged, finding=finding)
    with pytest.raises(InvalidField, match=why):
        decide(world, name, Outcome.AVAILABLE)
    assert decide(world, name, Outcome.MANUAL_REVIEW).state is State.MANUAL_REVIEW


def test_it_decides_only_on_the_evidence_that_was_looked_at() -> None:
    world, name = scenes.looked_at()
    seen = world.see(decided.sight(KEYS, name))
    for revision in (seen.mod - 1, seen.mod + 1, 0):
        error = scenes.refused(
            decided.decide(KEYS, name, seen, revision=revision, choice=scenes.REVIEW, now_ms=NOW)
        )
        assert isinstance(error, InvalidField)
        assert error.field == "revision"
    with pytest.raises(InvalidField):
        decide(*scenes.quarantined(), Outcome.MANUAL_REVIEW)
    with pytest.raises(NotFound):
        decide(*scenes.held(), Outcome.MANUAL_REVIEW)
