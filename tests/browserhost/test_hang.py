"""When a browser hangs, and when it is only slow."""

from __future__ import annotations

import pytest

from browserhost.hang import Beat, Finding, Signs, beat

EVERY = 5.0


def looks(*seen: tuple[bool, Signs], every: float = EVERY, pause: float = 12.0) -> list[Finding]:
    """What the looks find, one every `every` seconds."""
    was, found, now = Beat(0.0), [], 0.0
    for answered, signs in seen:
        now += every
        was, finding = beat(was, now, answered, signs, longest_pause=pause)
        found.append(finding)
    return found


STILL = (False, Signs(100, 500, "S"))


def test_one_that_answers_is_fine_whatever_the_kernel_says() -> None:
    assert looks((True, Signs(1, 1, "D")), (True, Signs(1, 1, "T"))) == [Finding.FINE] * 2


def test_it_hangs_ten_seconds_after_a_first_miss_and_never_at_it() -> None:
    assert looks(STILL, STILL, STILL) == [Finding.MISSED, Finding.MISSED, Finding.HUNG]


def test_two_misses_are_not_enough_however_far_apart() -> None:
    assert looks(STILL, STILL, every=11.0) == [Finding.MISSED, Finding.MISSED]


def test_an_answer_in_between_begins_anew() -> None:
    assert looks(STILL, STILL, (True, Signs(100, 500, "S")), STILL, STILL)[-1] is Finding.MISSED


def test_one_that_computes_is_slow_for_ever() -> None:
    busy = [(False, Signs(100 + step, 500 + step, "S")) for step in range(100)]
    assert set(looks(*busy)) == {Finding.MISSED}


def test_one_that_waits_for_a_processor_is_slow_for_ever() -> None:
    """Ten launches at once on two cores: a runnable process may get no tick for seconds."""
    assert set(looks(*[(False, Signs(100, 500, "R"))] * 100)) == {Finding.MISSED}


def test_a_stopped_one_hangs() -> None:
    assert looks(*[(False, Signs(100, 500, "T"))] * 3)[-1] is Finding.HUNG


def test_one_that_waits_for_a_disk_is_given_a_minute() -> None:
    found = looks(*[(False, Signs(100, 500, "D"))] * 13)
    assert found.index(Finding.HUNG) == 12


def test_one_whose_pages_alone_go_on_is_given_a_minute() -> None:
    found = looks(*[(False, Signs(100, 500 + step, "S")) for step in range(13)])
    assert found.index(Finding.HUNG) == 12


def test_whoever_was_held_up_himself_begins_anew() -> None:
    was, _ = beat(Beat(0.0), 5.0, False, STILL[1], longest_pause=12.0)
    was, _ = beat(was, 10.0, False, STILL[1], longest_pause=12.0)
    was, finding = beat(was, 1000.0, False, STILL[1], longest_pause=12.0)
    assert finding is Finding.MISSED
    assert was.misses == 1


@pytest.mark.parametrize("state", ["S", "T", "t"])
def test_progress_late_in_the_window_counts_as_much_as_early(state: str) -> None:
    moved = (False, Signs(101, 501, state))
    after = (False, Signs(101, 501, state))
    assert looks(STILL, STILL, moved, after) == [Finding.MISSED] * 4
