"""When a warm browser is closed for a fresh one instead of being handed on."""

from __future__ import annotations

from typing import Any

import pytest

from browserhost.recycling import Lifetime, why

LIFETIME = Lifetime(age_s=3600, bytes=1000)


def reason(**changes: Any) -> str:
    facts: dict[str, Any] = {"age_s": 3600.0, "size": 1000, "config": (3, 3), "upstream": ("x", "x")}
    return why(LIFETIME, **(facts | {"chrome": ("156.0.1", "156.0.1")} | changes))


def test_one_within_every_bound_is_handed_on() -> None:
    assert reason() == ""


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"age_s": 3601.0}, "old"),
        ({"size": 1001}, "memory"),
        ({"config": (3, 4)}, "configuration"),
        ({"config": (4, 3)}, "configuration"),
        ({"upstream": ("x", "y")}, "proxy"),
        ({"upstream": ("x", "")}, "proxy"),
        ({"chrome": ("156.0.1", "156.0.2")}, "another Chrome"),
    ],
)
def test_each_change_alone_is_enough(change: dict[str, Any], word: str) -> None:
    assert word in reason(**change)


@pytest.mark.parametrize("chrome", [("", "156.0.1"), ("156.0.1", "")])
def test_a_program_that_is_not_known_says_nothing(chrome: tuple[str, str]) -> None:
    assert reason(chrome=chrome) == ""


def test_without_bounds_neither_age_nor_size_counts() -> None:
    assert why(Lifetime(), age_s=1e9, size=1 << 60) == ""
