"""Which store may be served."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from lockservice.core.lineage import Found, Known, problem
from lockservice.core.stored import Epoch, Log

WELL = Found(
    cluster="c1",
    revision=500,
    lead=40,
    epoch=Epoch(number=2, cluster="c1"),
    log=Log(lead=3),
    profiles=True,
)
SERVED = Known(epoch=Epoch(number=2, cluster="c1"), revision=500)


@pytest.mark.parametrize("known", [None, SERVED, Known(epoch=Epoch(number=1, cluster="c0"), revision=9000)])
def test_a_store_that_only_went_on_is_served(known: Known | None) -> None:
    assert problem(WELL, known) is None
    assert problem(dataclasses.replace(WELL, lead=3), known) is None


def test_an_empty_store_is_served_by_who_knows_of_none_before() -> None:
    empty = dataclasses.replace(WELL, epoch=None, log=None, profiles=False)
    assert problem(empty, None) is None
    assert "no epoch" in (problem(empty, SERVED) or "")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"epoch": None, "log": None}, "profiles but no epoch"),
        ({"epoch": Epoch(number=2, cluster="c0")}, "the epoch is of cluster c0"),
        ({"lead": 2}, "come from a backup"),
        # Begun by a version that knew of no leads: a log that is younger than the data tells all the same.
        ({"log": None, "lead": -1}, "come from a backup"),
    ],
)
def test_whoever_comes_refuses_a_store_that_does_not_fit_its_epoch(changes: dict[str, Any], why: str) -> None:
    assert why in (problem(dataclasses.replace(WELL, **changes), None) or "")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"revision": 499}, "has seen 500"),
        ({"epoch": Epoch(number=1, cluster="c1")}, "has served it in epoch 2"),
        ({"cluster": "c9", "epoch": Epoch(number=2, cluster="c9")}, "has served c1"),
    ],
)
def test_who_served_it_before_refuses_one_that_went_back(changes: dict[str, Any], why: str) -> None:
    back = dataclasses.replace(WELL, **changes)
    assert why in (problem(back, SERVED) or "")
    assert problem(back, None) is None


def test_one_that_went_back_and_came_as_far_again_is_still_another() -> None:
    known = dataclasses.replace(SERVED, went_back="it went back")
    assert problem(WELL, known) == "it went back"
    assert problem(dataclasses.replace(WELL, epoch=Epoch(number=3, cluster="c1")), known) is None


def test_a_higher_epoch_settles_what_was_seen_before() -> None:
    raised = dataclasses.replace(
        WELL, cluster="c9", revision=7, lead=-2, epoch=Epoch(number=3, cluster="c9"), log=Log(lead=-3)
    )
    assert problem(raised, SERVED) is None
