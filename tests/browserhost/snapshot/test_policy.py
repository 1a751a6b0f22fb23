"""When a snapshot is due, which stay, and what is said of a login that is gone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from browserhost import marker as marks
from browserhost.marker import Marker
from browserhost.snapshot import policy
from browserhost.snapshot.manifest import ASKED, CLOSED, Manifest, new_id
from browserhost.snapshot.policy import Policy

ENDED = Marker(41, held=False, boot_id="b", used=True, end=marks.CLEAN, driven=41)
HOURLY = Policy(every_s=3600, keep=3)
NOW = 1_000_000.0


def taken(generation: int, **changes: Any) -> Manifest:
    """A snapshot; later generations are later."""
    values: dict[str, Any] = {
        "id": new_id(generation, 0),
        "generation": generation,
        "created_at": NOW - 10_000 + generation,
        "verified_at": NOW,
        "digest": "d",
        "size": 1,
        "stored": 1,
        "cause": CLOSED,
        "cookies": 100,
    }
    return Manifest(**(values | changes))


def test_a_profile_that_was_closed_cleanly_is_due_until_it_has_a_snapshot_as_new() -> None:
    assert policy.is_due(HOURLY, ENDED, None, NOW)
    assert not policy.is_due(HOURLY, ENDED, taken(41), NOW)
    assert policy.is_due(HOURLY, ENDED, taken(40), NOW)


NOT_DUE = {
    "never used": replace(ENDED, used=False),
    "held": replace(ENDED, held=True),
    "runs, or nobody saw its end": replace(ENDED, end=marks.RUNNING),
    "ended badly": replace(ENDED, end=marks.UNCLEAN),
    "an incident's": replace(ENDED, suspected=True),
    "nobody's": None,
}


@pytest.mark.parametrize("marker", NOT_DUE.values(), ids=NOT_DUE)
def test_what_was_not_released_and_closed_cleanly_is_not_due(marker: Marker | None) -> None:
    assert not policy.is_due(HOURLY, marker, None, NOW)


def test_there_is_one_an_hour_at_most_and_a_clock_set_back_keeps_none_away() -> None:
    assert not policy.is_due(HOURLY, ENDED, taken(40, created_at=NOW - 3599), NOW)
    assert policy.is_due(HOURLY, ENDED, taken(40, created_at=NOW - 3600), NOW)
    assert policy.is_due(HOURLY, ENDED, taken(40, created_at=NOW + 5), NOW)


def test_a_host_that_takes_none_takes_none() -> None:
    assert not policy.is_due(Policy(taken="never"), ENDED, None, NOW)


def generations(stay: set[str]) -> list[int]:
    return sorted(int(each.partition("-")[0]) for each in stay)


def test_of_many_snapshots_the_newest_n_stay_and_the_richest() -> None:
    many = [taken(each) for each in range(1, 8)]
    assert generations(policy.kept(HOURLY, many)) == [5, 6, 7]
    # The login is gone from the newest: the last that had it all is kept, however many follow.
    lost = [*many[:4], *(taken(each, cookies=3) for each in range(5, 12))]
    assert generations(policy.kept(HOURLY, lost)) == [4, 9, 10, 11]


def test_what_somebody_asked_for_is_counted_by_itself() -> None:
    some = [taken(1, cause=ASKED), *(taken(each) for each in range(2, 7))]
    assert generations(policy.kept(HOURLY, some)) == [1, 4, 5, 6]


def test_none_of_none_is_kept() -> None:
    assert policy.kept(HOURLY, []) == set()


@pytest.mark.parametrize(
    ("cookies", "before", "said"),
    [
        (49, 100, True),
        (50, 100, False),
        (0, 10, True),
        (0, 9, False),
        (None, 100, False),
        (0, None, False),
    ],
)
def test_a_cookie_count_far_below_the_last_snapshots_is_said(
    cookies: int | None, before: int | None, said: bool
) -> None:
    assert bool(policy.far_fewer(cookies, taken(7, cookies=before))) is said
    assert not policy.far_fewer(cookies, None)


def test_the_finding_names_the_snapshot_that_has_them() -> None:
    assert policy.far_fewer(3, taken(7)) == f"3 cookies, and snapshot {new_id(7, 0)} has 100"
