"""The transition table."""

from __future__ import annotations

import dataclasses
import itertools
import re

import pytest

from lockservice.core.record import AT_WORK, Holding, Record, State
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
    """A record as it is well formed in a state; `held` where it has a holder."""
    return Record(
        state=state,
        epoch=0,
        since_ms=1,
        as_sent="alice",
        holding=held if state is State.HELD or state in AT_WORK else None,
        incident=7 if state in AT_WORK else 0,
        home=home,
        resume_until_ms=9 if state is State.RESUME_PENDING else 0,
        acknowledged=state in AT_WORK - {State.SUSPECTED_STALE},
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
    new = record(after, holding("2" if after is State.HELD else "1"))
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


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [
        (State.HELD, State.SUSPECTED_STALE, {"holding": holding("2")}),
        (State.HELD, State.SUSPECTED_STALE, {"holding": None}),
        (State.SUSPECTED_STALE, State.QUARANTINED, {"incident": 8}),
        (State.QUARANTINED, State.INSPECTED, {"acknowledged": False}),
        (State.INSPECTED, State.MANUAL_REVIEW, {"acknowledged": False}),
        (State.INSPECTED, State.MANUAL_REVIEW, {"evidence_missing": True}),
        (State.INSPECTED, State.MANUAL_REVIEW, {"touched": True}),
        (State.INSPECTED, State.RESUME_PENDING, {"resume_until_ms": 0}),
        (State.RESUME_PENDING, State.MANUAL_REVIEW, {"holding": holding("2")}),
        (State.MANUAL_REVIEW, State.RESUME_PENDING, {"incident": 8}),
        (State.MANUAL_REVIEW, State.AVAILABLE, {"incident": 7}),
        (State.MANUAL_REVIEW, State.DISABLED, {"holding": holding("1")}),
        (State.INSPECTED, State.RETRY, {"used": False}),
    ],
)
def test_what_an_incident_is_and_has_shown_stays(
    before: State, after: State, change: dict[str, object]
) -> None:
    old, new = record(before, holding("1")), record(after, holding("1"))
    if "used" in change:
        old = dataclasses.replace(old, used=True)
    with pytest.raises(IllegalTransition):
        moved(old, dataclasses.replace(new, **change))  # type: ignore[arg-type]


@pytest.mark.parametrize("after", [State.AVAILABLE, State.RETRY, State.RESUME_PENDING])
@pytest.mark.parametrize("doubt", [{"acknowledged": False}, {"evidence_missing": True}])
def test_only_a_person_frees_what_is_not_certain(after: State, doubt: dict[str, bool]) -> None:
    def doubtful(state: State) -> Record:
        return dataclasses.replace(record(state, holding()), **doubt)  # type: ignore[arg-type]

    freed = doubtful(after) if after in AT_WORK else record(after)
    with pytest.raises(IllegalTransition, match="only a person"):
        moved(doubtful(State.INSPECTED), freed)
    moved(doubtful(State.INSPECTED), doubtful(State.MANUAL_REVIEW))
    moved(doubtful(State.MANUAL_REVIEW), freed)


def test_only_a_workflow_is_waited_for() -> None:
    with pytest.raises(IllegalTransition, match="only a workflow"):
        moved(
            record(State.INSPECTED, holding(workflow="")), record(State.RESUME_PENDING, holding(workflow=""))
        )
