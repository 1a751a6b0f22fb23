"""Why a browser ended by itself."""

from __future__ import annotations

from typing import Any

import pytest

from browserhost.autopsy import FULL, Cause, Scene, cause, in_words

CALM = Scene(oom_kills=3, free=FULL)
OOM = Scene(oom_kills=4, free=FULL)
DISK_FULL = Scene(oom_kills=3, free=FULL - 1)


def said(after: Scene = CALM, **facts: Any) -> Cause:
    return cause(**({"display": False, "killed": False, "hung": False} | facts), before=CALM, after=after)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (said(), Cause.ITSELF),
        (said(killed=True), Cause.KILLED),
        (said(display=True), Cause.DISPLAY),
        (said(OOM, killed=True), Cause.MEMORY),
        (said(DISK_FULL), Cause.DISK),
        (said(DISK_FULL, killed=True), Cause.DISK),
        (said(OOM, killed=True, hung=True), Cause.HUNG),
    ],
)
def test_the_end_has_the_cause_that_the_machine_tells(found: Cause, expected: Cause) -> None:
    assert found is expected


def test_another_program_killed_for_memory_does_not_explain_one_that_ended_by_itself() -> None:
    assert said(OOM) is Cause.ITSELF


def test_words_tell_what_was_seen_and_why() -> None:
    assert in_words(Cause.MEMORY, "was killed by SIGKILL") == (
        "was killed by SIGKILL, when the machine ran out of memory"
    )
    assert "disk is full" in in_words(Cause.DISK, "exited with status 1")
    assert in_words(Cause.ITSELF, "exited with status 1") == "exited with status 1"
