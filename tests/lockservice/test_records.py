"""What a replica knows of a million records."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockservice.core.document import Unreadable, encode
from lockservice.core.record import AT_WORK, Record, State
from lockservice.records import Records, Seen
from tenure.names import ProfileName
from tests.lockservice.test_states import holding, record

ALICE, BOB = ProfileName("t", "alice"), ProfileName("u", "bob")
AT_REST = Record(state=State.AVAILABLE, epoch=1, since_ms=5, as_sent="Alice", home="h", used=True)
HELD = record(State.HELD, holding("1"))


def test_a_record_at_rest_is_kept_as_bytes_and_shown_as_what_it_says() -> None:
    records = Records()
    assert records.put(ALICE, encode(AT_REST), 7) == (None, None)
    assert isinstance(records._tenants["t"]["alice"], bytes)
    assert records.get(ALICE) == Seen(AT_REST, 7)
    assert records.mod(ALICE) == 7
    assert records.states == {State.AVAILABLE: 1}


def test_older_news_change_nothing() -> None:
    records = Records()
    records.put(ALICE, encode(HELD), 7)
    assert records.put(ALICE, encode(AT_REST), 7) is None
    assert records.put(ALICE, encode(AT_REST), 6) is None
    assert records.get(ALICE) == Seen(HELD, 7)


def test_what_cannot_be_understood_is_refused_and_counts_for_nothing() -> None:
    records = Records()
    with pytest.raises(Unreadable):
        records.put(ALICE, b'{"v":99}', 7)
    assert records.get(ALICE) is None
    # It begins as one at rest does, and nobody has looked further yet.
    records.put(ALICE, encode(AT_REST)[:-1] + b',"colour":"red"}', 8)
    assert records.get(ALICE) is None


def test_profiles_are_told_by_tenant() -> None:
    records = Records()
    for profile in (ALICE, BOB):
        records.put(profile, encode(AT_REST), 3)
    assert records.of("t") == [ALICE]
    assert records.of("nobody") == []
    assert list(records) == [ALICE, BOB]


STATES = st.sampled_from(State)


@given(st.lists(st.tuples(st.sampled_from([ALICE, BOB]), STATES, st.sampled_from("ab")), max_size=30))
def test_counts_and_indexes_are_those_of_the_last_records(
    changes: list[tuple[ProfileName, State, str]],
) -> None:
    records = Records()
    last: dict[ProfileName, Record] = {}
    for mod, (profile, state, worker) in enumerate(changes, 1):
        held = dataclasses.replace(holding("1"), worker=worker) if state is State.HELD else None
        last[profile] = dataclasses.replace(AT_REST, state=state, holding=held)
        records.put(profile, encode(last[profile]), mod)
    for state in State:
        assert records.states[state] == sum(each.state is state for each in last.values())
    for profile in (ALICE, BOB):
        found = records.get(profile)
        assert (found.record if found else None) == last.get(profile)
        holds = profile in last and last[profile].state is State.HELD
        assert records.held[profile.tenant] == holds
    busy = {State.HELD, *AT_WORK}
    assert records.bound == {profile for profile, each in last.items() if each.state in busy}
    for worker in "ab":
        theirs = {p for p, each in last.items() if each.holding and each.holding.worker == worker}
        assert records.holders.get(worker, set()) == theirs
