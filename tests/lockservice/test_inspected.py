"""Rule 23, without I/O."""

from __future__ import annotations

import dataclasses

import pytest

from lockservice.core import inspected
from lockservice.core.inspected import Finding, Inspected
from lockservice.core.record import State
from tenure.errors import NotFound
from tenure.names import IncidentName
from tests.lockservice import scenes
from tests.lockservice.worlds import KEYS, NOW, World


def decide(world: World, name: IncidentName, finding: Finding = scenes.FOUND) -> object:
    seen = world.see(inspected.sight(KEYS, name))
    return scenes.done(world, inspected.decide(KEYS, name, seen, finding=finding, now_ms=NOW))


def test_the_evidence_comes_with_the_state_in_one_txn() -> None:
    world, name = scenes.quarantined()
    answer = decide(world, name)
    assert answer == Inspected(State.INSPECTED, world.revision, b"seen")
    record = world.record()
    assert record is not None
    assert (record.used, record.touched, record.evidence_missing) == (True, True, False)


def test_the_first_evidence_stays_and_its_revision_is_told_again() -> None:
    world, name = scenes.quarantined()
    first = decide(world, name)
    other = dataclasses.replace(scenes.FOUND, evidence=b"other")
    assert decide(world, name, other) == first
    world, name = scenes.in_review()
    assert decide(world, name, other) == Inspected(State.MANUAL_REVIEW, 0, b"seen")


def test_a_used_profile_stays_used_whatever_is_found() -> None:
    world, name = scenes.quarantined()
    world.change_record(used=True)
    decide(world, name, dataclasses.replace(scenes.FOUND, used=False))
    record = world.record()
    assert record is not None
    assert record.used


def test_nothing_is_inspected_before_its_time_nor_without_an_incident() -> None:
    world, name = scenes.suspected()
    assert decide(world, name) == Inspected(State.SUSPECTED_STALE, 0, b"")
    with pytest.raises(NotFound):
        decide(*scenes.held())
