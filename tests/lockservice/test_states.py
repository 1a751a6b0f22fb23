"""The transition table."""

from __future__ import annotations

import dataclasses
import itertools
import re

import pytest

from lockservice.core.record import Holding, Record, State
from lockservice.core.states import ALLOWED, IllegalTransition, moved

# PROTOCOL, "States, all of them", word for word.
PROTOCOL = """
absent | AVAILABLE | RETRY → HELD · RESUME_PENDING → HELD · HELD → AVAILABLE | HELD | SUSPECTED_STALE
· SUSPECTED_STALE → QUARANTINED → INSPECTED → AVAILABLE | RESUME_PENDING | RETRY | MANUAL_REVIEW
· RESUME_PENDING → MANUAL_REVIEW · MANUAL_REVIEW → AVAILABLE | RETRY | RESUME_PENDING | DISABLED
· AVAILABLE → DISABLED · DISABLED → AVAILABLE
"""


def written_down() -> set[tuple[str, str]]:
    pairs: set[tuple[str, str]] = set()
    for chain in PROTOCOL.split("·"):
        groups = [re.findall(r"\w+", group) for group in chain.split("→")]
        for sources, targets in itertools.pairwise(groups):
            pairs |= set(itertools.product(sources, targets))
    return pairs


def holding(request_id: str = "1", workflow: str = "w", proxy: str = "") -> Holding:
    return Holding(
        worker="a",
        worker_create=1,
        request_id=request_id,
        run_id="r",
        as_sent="alice",
        granted_ms=1,
        deadline_ms=2,
        workflow_id=workflow,
        proxy_key=proxy,
    )


def record(state: State, held: Holding | None = None, home: str = "") -> Record:
    incident = 7 if state is State.SUSPECTED_STALE else 0
    return Record(
        state=state, epoch=0, since_ms=1, as_sent="alice", holding=held, incident=incident, home=home
    )


def test_the_table_is_the_protocols() -> None:
    ours = {
        (before.value if before else "absent", after.value)
        for before, targets in ALLOWED.items()
        for after in targets
    }
    assert ours == written_down()


@pytest.mark.parametrize("after", State)
@pytest.mark.parametrize("before", [None, *State])
def test_every_other_transition_is_refused(before: State | None, after: State) -> None:
    old = record(before, holding("1")) if before else None
    new = record(after, holding("2"))
    if after in ALLOWED[before]:
        assert moved(old, new) is new
    else:
        with pytest.raises(IllegalTransition):
            moved(old, new)


def test_a_home_stays_while_the_profile_is_in_use() -> None:
    with pytest.raises(IllegalTransition, match="only a move"):
        moved(record(State.AVAILABLE, home="h1"), record(State.HELD, holding(), home="h2"))


def test_a_profile_resumes_only_with_its_workflow_and_proxy() -> None:
    before = record(State.RESUME_PENDING, holding("1", "w", "de"))
    moved(before, record(State.HELD, holding("2", "w", "de")))
    for other in (holding("2", "x", "de"), holding("2", "w", "fr")):
        with pytest.raises(IllegalTransition):
            moved(before, record(State.HELD, other))


def test_a_hand_over_to_the_same_request_is_a_second_grant() -> None:
    held = record(State.HELD, holding("1"))
    with pytest.raises(IllegalTransition, match="granted once"):
        moved(held, record(State.HELD, holding("1")))


def test_a_hold_needs_a_holder_and_an_incident_its_token() -> None:
    with pytest.raises(IllegalTransition):
        moved(None, record(State.HELD))
    suspect = record(State.SUSPECTED_STALE, holding())
    with pytest.raises(IllegalTransition):
        moved(record(State.HELD, holding()), dataclasses.replace(suspect, incident=0))
