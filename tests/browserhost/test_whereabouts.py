"""Rule 18, as a host may go by it."""

from __future__ import annotations

import pytest

from browserhost.whereabouts import FREE, Whereabouts
from tenure.errors import (
    ProfileBusy,
    ProfileDisabled,
    ProfileInReview,
    ProfileQuarantined,
    ResumePending,
    TokenSuperseded,
)
from tenure.names import ProfileName
from tenure.v1.hold_pb2 import ProfileState

NAME, HERE, THERE = ProfileName("default", "alice"), "hosts/here", "hosts/there"
STATES = {name.removeprefix("PROFILE_STATE_"): value for name, value in ProfileState.items()}
NOT_FREE = {
    "HELD": ProfileBusy,
    "SUSPECTED_STALE": ProfileQuarantined,
    "QUARANTINED": ProfileQuarantined,
    "INSPECTED": ProfileQuarantined,
    "MANUAL_REVIEW": ProfileInReview,
    "RESUME_PENDING": ResumePending,
    "DISABLED": ProfileDisabled,
}


@pytest.mark.parametrize("word", STATES)
def test_a_browser_is_closed_where_it_is_at_home_only_when_free(word: str) -> None:
    state = STATES[word]
    assert Whereabouts(HERE, state, 7).closable_by(HERE) is (state in FREE)
    # Where the profile is not at home, whatever runs on it is nobody's.
    assert Whereabouts(THERE, state, 7).closable_by(HERE)
    # Without a home nothing is known of it.
    assert not Whereabouts("", state, 7).closable_by(HERE)


@pytest.mark.parametrize("word", NOT_FREE)
def test_a_home_is_retired_only_while_free(word: str) -> None:
    why_not = Whereabouts(HERE, STATES[word], 7).why_not_retired(NAME, HERE, 7)
    assert type(why_not) is NOT_FREE[word]
    assert str(why_not)


@pytest.mark.parametrize("state", sorted(FREE))
def test_only_the_home_is_retired_and_only_as_it_was(state: ProfileState.ValueType) -> None:
    assert Whereabouts(HERE, state, 7).why_not_retired(NAME, HERE, 7) is None
    for found in (Whereabouts(HERE, state, 8), Whereabouts(THERE, state, 7), Whereabouts("", state, 7)):
        assert isinstance(found.why_not_retired(NAME, HERE, 7), TokenSuperseded)


def test_a_directory_comes_only_to_where_the_profile_is_not_at_home_and_only_as_it_was() -> None:
    state = ProfileState.PROFILE_STATE_AVAILABLE
    assert Whereabouts(THERE, state, 7).why_not_received(NAME, HERE, 7) is None
    for found in (Whereabouts(HERE, state, 7), Whereabouts(THERE, state, 8)):
        assert isinstance(found.why_not_received(NAME, HERE, 7), TokenSuperseded)
