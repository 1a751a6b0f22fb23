"""Rules 17 and 19: what may be started, and why."""

from __future__ import annotations

from dataclasses import replace

import pytest

from browserhost import marker as marks
from browserhost.inspect.verdict import Inspection, Verdict
from browserhost.marker import Marker
from browserhost.starting import Start, after_inspection, before_start

HELD = Marker(41, held=True, boot_id="b", used=True)
FLUSHED = replace(HELD, held=False, flushed_at=5.0)
UNCLEAN = Inspection(Verdict.UNCLEAN_CONSISTENT, ("SingletonLock was left behind",))


def test_a_profile_that_never_was_is_made() -> None:
    assert before_start(present=False, marker=None, used_elsewhere=False) is Start.FRESH


@pytest.mark.parametrize(("marker", "elsewhere"), [(FLUSHED, False), (None, True), (FLUSHED, True)])
def test_a_used_profile_without_its_directory_is_missing_whoever_remembers(
    marker: Marker | None, elsewhere: bool
) -> None:
    assert before_start(present=False, marker=marker, used_elsewhere=elsewhere) is Start.MISSING


def test_a_browser_that_never_came_up_leaves_nothing_to_miss() -> None:
    assert before_start(False, replace(HELD, used=False), used_elsewhere=False) is Start.FRESH


def test_an_end_that_was_seen_to_be_clean_needs_no_inspection() -> None:
    assert before_start(True, replace(FLUSHED, end=marks.CLEAN), used_elsewhere=True) is Start.SURE


@pytest.mark.parametrize("marker", [None, HELD, FLUSHED, replace(FLUSHED, end=marks.UNCLEAN)])
def test_any_other_end_is_inspected_first(marker: Marker | None) -> None:
    """Trace 12: a host that comes back starts nothing that nobody looked at."""
    assert before_start(present=True, marker=marker, used_elsewhere=False) is Start.INSPECT


def test_a_clean_directory_starts_whatever_the_marker_says() -> None:
    clean = Inspection(Verdict.CLEAN, ())
    assert after_inspection(clean, HELD, 41).start
    assert after_inspection(clean, None, 41).start


def test_an_unclean_one_starts_when_nobody_held_it_and_its_cookies_were_on_disk() -> None:
    judgement = after_inspection(UNCLEAN, FLUSHED, 50)
    assert judgement.start
    assert "SingletonLock was left behind" in judgement.finding


def test_an_unclean_one_starts_when_a_decision_freed_it_after_the_hold() -> None:
    assert after_inspection(UNCLEAN, HELD, 42).start


@pytest.mark.parametrize(
    "marker", [HELD, replace(FLUSHED, flushed_at=None), None], ids=["held", "not flushed", "not ours"]
)
def test_an_unclean_one_does_not_start_otherwise(marker: Marker | None) -> None:
    judgement = after_inspection(UNCLEAN, marker, 41)
    assert not judgement.start
    assert judgement.finding.startswith("UNCLEAN_CONSISTENT: SingletonLock")


@pytest.mark.parametrize("verdict", [Verdict.CORRUPT, Verdict.LIVE, Verdict.MISSING, Verdict.UNKNOWN])
def test_anything_worse_never_starts(verdict: Verdict) -> None:
    for marker in (HELD, FLUSHED, replace(HELD, used=False), None):
        assert not after_inspection(Inspection(verdict, ("x",)), marker, 99).start


def test_a_first_start_that_failed_left_nothing_to_lose() -> None:
    assert after_inspection(UNCLEAN, replace(HELD, used=False), 41).start
