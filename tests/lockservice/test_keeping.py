"""What is forgotten of holds that are over, and what never."""

from __future__ import annotations

import dataclasses

import pytest

from lockservice.core import acquire, decided, keeping, release, steps, unclaimed, verdict
from lockservice.core.decision import Reply, Write
from lockservice.core.outcome import Choice, Outcome
from lockservice.core.record import State
from lockservice.core.snapshot import Sight
from lockservice.core.stored import Ask, Step
from tenure.names import IncidentName
from tests.lockservice.scenes import done, held, in_review, looked_at, quarantined, unchanged
from tests.lockservice.worlds import KEYS, NOW, PROFILE, World

KEEP = 1000
LATER = NOW + KEEP
AVAILABLE = Choice(outcome=Outcome.AVAILABLE, reason="untouched")
RESUME = Choice(outcome=Outcome.RESUME_PENDING, reason="safe", resume_for_ms=10)


def freed() -> tuple[World, IncidentName]:
    world, name = looked_at()
    seen = world.see(decided.sight(KEYS, name))
    done(world, decided.decide(KEYS, name, seen, revision=seen.mod, choice=AVAILABLE, now_ms=NOW))
    return world, name


def judged(world: World, name: IncidentName, choice: Choice, now_ms: int) -> None:
    seen = world.see(verdict.sight(KEYS, name))
    decision = verdict.decide(
        KEYS,
        name,
        seen,
        revision=seen.mod,
        choice=choice,
        reviewer="me",
        attested=False,
        now_ms=now_ms,
    )
    done(world, decision)


def forget(world: World, name: IncidentName, now_ms: int = LATER) -> Reply[bool] | Write[bool]:
    seen = world.see(keeping.incident_sight(KEYS, name))
    decision = keeping.forget_incident(KEYS, name, seen, keep_ms=KEEP, now_ms=now_ms)
    assert isinstance(decision, Reply | Write)
    return decision


def kept(world: World, name: IncidentName) -> list[bytes]:
    """What there is of a hold, beside the profile's record."""
    token = f"/{name.fencing_token:016d}".encode()
    return [key for key in world.kvs if token in key]


def test_an_incident_is_forgotten_whole_once_its_decision_is_old() -> None:
    world, name = freed()
    assert unchanged(forget(world, name, LATER - 1)) is False
    assert len(kept(world, name)) == 4
    assert done(world, forget(world, name)) is True
    assert kept(world, name) == []
    record = world.record()
    assert record is not None
    assert record.state is State.AVAILABLE
    assert unchanged(forget(world, name)) is False


def test_its_age_is_counted_from_the_last_verdict() -> None:
    world, name = in_review()
    judged(world, name, AVAILABLE, NOW + 500)
    assert unchanged(forget(world, name)) is False
    assert done(world, forget(world, name, LATER + 500)) is True
    assert kept(world, name) == []


@pytest.mark.parametrize("scene", [quarantined, looked_at, in_review])
def test_one_that_waits_for_recovery_or_a_person_is_kept(scene: object) -> None:
    world, name = scene()  # type: ignore[operator]
    assert unchanged(forget(world, name, NOW + 1000 * KEEP)) is False


def test_one_that_waits_for_its_workflow_is_kept_and_so_is_one_that_came_back_to_a_person() -> None:
    world, name = in_review()
    judged(world, name, RESUME, NOW)
    assert unchanged(forget(world, name)) is False
    late = forget(world, name)
    done(world, unclaimed.decide(KEYS, PROFILE, world.see(Sight(keys=KEYS, profile=PROFILE)), LATER))
    assert unchanged(late) is False
    assert unchanged(forget(world, name)) is False


@pytest.mark.parametrize("ignored", [(), (b"/p/",)])
def test_a_late_deletion_meets_a_record_that_it_was_not_decided_on(
    ignored: tuple[bytes, ...],
) -> None:
    world, name = freed()
    deletion = forget(world, name)
    assert isinstance(deletion, Write)
    world.change_record(since_ms=NOW + 1)
    world.ignored = ignored
    assert world.apply(deletion) is bool(ignored)


@pytest.mark.parametrize("ignored", [(), (b"/d/",)])
def test_of_two_replicas_one_forgets_an_incident(ignored: tuple[bytes, ...]) -> None:
    world, name = freed()
    deletions = forget(world, name), forget(world, name)
    world.ignored = ignored
    assert [world.apply(each) for each in deletions if isinstance(each, Write)] == [True, bool(ignored)]


def stepped() -> tuple[World, IncidentName]:
    """A hold with a step that began."""
    world, name = held()
    token = name.fencing_token
    seen = world.see(
        Sight(
            keys=KEYS,
            profile=PROFILE,
            worker="a",
            extra=steps.sight(KEYS, PROFILE, token, 1),
        )
    )
    step = Step(name="read", start_ms=NOW)
    done(world, steps.start(KEYS, PROFILE, seen, token=token, seq=1, step=step))
    return world, name


def forget_steps(world: World, name: IncidentName, now_ms: int = LATER) -> Reply[bool] | Write[bool]:
    seen = world.see(keeping.steps_sight(KEYS, name))
    decision = keeping.forget_steps(KEYS, name, seen, keep_ms=KEEP, now_ms=now_ms)
    assert isinstance(decision, Reply | Write)
    return decision


def released(world: World, name: IncidentName) -> None:
    token = name.fencing_token
    seen = world.see(Sight(keys=KEYS, profile=PROFILE, token=token))
    done(world, release.decide(KEYS, PROFILE, seen, release.Ending(token=token, drained=True), NOW))


def test_steps_go_some_time_after_the_release() -> None:
    world, name = stepped()
    assert unchanged(forget_steps(world, name)) is False
    released(world, name)
    assert unchanged(forget_steps(world, name, LATER - 1)) is False
    assert done(world, forget_steps(world, name)) is True
    assert kept(world, name) == []
    assert unchanged(forget_steps(world, name)) is False


def test_steps_are_kept_from_the_end_of_the_last_one_on() -> None:
    world, name = stepped()
    token = name.fencing_token
    extra = steps.sight(KEYS, PROFILE, token, 1)
    seen = world.see(Sight(keys=KEYS, profile=PROFILE, worker="a", extra=extra))
    done(world, steps.finish(KEYS, PROFILE, seen, token=token, seq=1, now_ms=NOW + 10))
    released(world, name)
    assert unchanged(forget_steps(world, name, LATER)) is False
    assert done(world, forget_steps(world, name, LATER + 10)) is True


def test_steps_of_an_incident_are_its_evidence_and_stay_with_it() -> None:
    world, name = stepped()
    released(world, name)
    deletion = forget_steps(world, name)
    world.put(KEYS.incident(PROFILE, name.fencing_token), b"an incident")
    assert isinstance(deletion, Write)
    assert not world.apply(deletion)


def test_the_holder_that_comes_next_keeps_its_own_steps() -> None:
    world, name = stepped()
    released(world, name)
    ask = Ask(request_id="2", worker="a", run_id="r", as_sent="alice", max_runtime_ms=1000)
    seen = world.see(Sight(keys=KEYS, profile=PROFILE, worker="a", request_id="2"))
    grant = acquire.decide(KEYS, PROFILE, seen, ask, tenant="default", waits=False, lease_keys=1, now_ms=NOW)
    done(world, grant)
    now = dataclasses.replace(name, fencing_token=world.revision)
    assert unchanged(forget_steps(world, now)) is False
    assert done(world, forget_steps(world, name)) is True


def test_nothing_is_old_where_everything_is_kept_for_ever() -> None:
    assert not keeping.may_be_over(0, 0, NOW)
    assert keeping.may_be_over(0, 1, NOW)
