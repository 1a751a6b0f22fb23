"""Times in records, told without anybody's wall clock."""

from __future__ import annotations

from lockservice.core.clocks import Clocks
from tenure.names import ProfileName

ALICE = ProfileName("default", "alice")
HOUR = 3_600_000


def test_what_was_seen_being_written_ages_by_the_steady_clock_alone() -> None:
    clocks = Clocks()
    # The writer's clock is hours off: only the span from its own stamp on counts.
    clocks.written(ALICE, mod=7, since_ms=5 * HOUR, steady_ms=100)
    assert clocks.now_ms(ALICE, 7, steady_ms=130) == 5 * HOUR + 30
    clocks.written(ALICE, mod=7, since_ms=5 * HOUR, steady_ms=900)
    assert clocks.now_ms(ALICE, 7, steady_ms=900) == 5 * HOUR + 800


def test_what_stood_already_is_as_old_as_the_wall_clock_says_and_then_ages_steadily() -> None:
    clocks = Clocks()
    clocks.stood(ALICE, mod=7, since_ms=5 * HOUR, wall_ms=6 * HOUR, steady_ms=100)
    assert clocks.now_ms(ALICE, 7, steady_ms=150) == 6 * HOUR + 50
    # Looked at anew, it is not found anew.
    clocks.stood(ALICE, mod=7, since_ms=5 * HOUR, wall_ms=99 * HOUR, steady_ms=150)
    assert clocks.now_ms(ALICE, 7, steady_ms=150) == 6 * HOUR + 50


def test_a_wall_clock_that_is_behind_makes_nothing_younger_than_just_written() -> None:
    clocks = Clocks()
    clocks.stood(ALICE, mod=7, since_ms=5 * HOUR, wall_ms=1 * HOUR, steady_ms=100)
    assert clocks.now_ms(ALICE, 7, steady_ms=100) == 5 * HOUR


def test_each_record_has_its_own() -> None:
    clocks = Clocks()
    assert clocks.now_ms(ALICE, 7, steady_ms=0) is None
    clocks.written(ALICE, mod=7, since_ms=1, steady_ms=0)
    clocks.written(ALICE, mod=8, since_ms=50, steady_ms=10)
    assert clocks.now_ms(ALICE, 7, steady_ms=10) is None
    assert clocks.now_ms(ALICE, 8, steady_ms=10) == 50
    clocks.forget(ALICE)
    clocks.forget(ALICE)
    assert clocks.now_ms(ALICE, 8, steady_ms=10) is None
