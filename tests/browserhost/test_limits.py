"""Which warm browsers must go, and whether another may come."""

from __future__ import annotations

from browserhost.limits import Bounds, Standing, may_launch, too_many

MB = 1 << 20


def standing(
    key: str, used: float = 0.0, *, size: int = 0, held: bool = False, busy: bool = False, fresh: bool = False
) -> Standing:
    return Standing(key, held, busy, used, size * MB, fresh)


def go(
    *standings: Standing, places: int = 9, most: int = 0, reserve: int = 0, idle_s: float = 0, free: int = 0
) -> list[str]:
    bounds = Bounds(places, most * MB, reserve * MB, idle_s)
    return list(too_many(standings, bounds, available=free * MB, now=100.0))


def test_within_its_bounds_everything_stays() -> None:
    assert go(standing("a", size=300), standing("b", 99, size=300), most=600, reserve=50, free=50) == []


def test_past_the_count_the_least_recently_used_go() -> None:
    assert go(standing("a", 3), standing("b", 1), standing("c", 2), places=1) == ["b", "c"]


def test_past_the_memory_as_many_go_as_make_it_fit() -> None:
    browsers = (standing("a", 3, size=300), standing("b", 1, size=100), standing("c", 2, size=300))
    assert go(*browsers, most=650) == ["b"]
    assert go(*browsers, most=350) == ["b", "c"]


def test_what_the_machine_is_short_of_is_freed_and_no_more() -> None:
    browsers = (standing("a", 1, size=300), standing("b", 2, size=300), standing("c", 3, size=300))
    assert go(*browsers, reserve=512, free=500) == ["a"]
    assert go(*browsers, reserve=512, free=100) == ["a", "b"]


def test_a_held_or_busy_one_never_goes_whatever_is_short() -> None:
    browsers = (standing("a", size=900, held=True), standing("b", size=900, busy=True))
    assert go(*browsers, places=1, most=1, reserve=9000, idle_s=1) == []


def test_what_nobody_has_used_yet_goes_before_what_was_used_earlier() -> None:
    assert go(standing("a", 1), standing("b", 99, fresh=True), places=1) == ["b"]


def test_one_that_nobody_used_for_long_goes_though_there_is_room() -> None:
    assert go(standing("a", 10), standing("b", 41), idle_s=60) == ["a"]
    assert go(standing("a", 10), idle_s=0) == []


def test_what_goes_for_its_age_makes_the_room_that_was_short() -> None:
    assert go(standing("a", 10, size=300), standing("b", 90, size=300), idle_s=60, most=300) == ["a"]


def test_each_is_told_why_it_goes() -> None:
    bounds = Bounds(1, idle_s=60)
    browsers = [standing("old", 1), standing("b", 50), standing("c", 60)]
    assert too_many(browsers, bounds, available=0, now=100.0) == {
        "old": "nobody used it for long",
        "b": "there are too many",
    }


def test_a_launch_counts_the_ones_that_have_not_taken_their_memory_yet() -> None:
    assert may_launch(available=1000, reserve=500, starting=0, each=400)
    assert may_launch(available=1300, reserve=500, starting=1, each=400)
    assert not may_launch(available=1000, reserve=500, starting=1, each=400)


def test_without_a_reserve_memory_bounds_no_launch() -> None:
    assert may_launch(available=0, reserve=0, starting=9, each=400)
