"""Seconds as they are sent."""

from __future__ import annotations

import math

import pytest

from tenure.duration import to_duration, to_seconds
from tenure.errors import InvalidField


@pytest.mark.parametrize("seconds", [0.0, 0.001, 60, 3600.5, -1.0])
def test_seconds_come_back_as_they_were(seconds: float) -> None:
    assert to_seconds(to_duration(seconds)) == seconds


@pytest.mark.parametrize("seconds", [math.nan, math.inf, -math.inf, 1e300])
def test_what_is_no_time_is_refused_by_name(seconds: float) -> None:
    with pytest.raises(InvalidField, match="ttl"):
        to_duration(seconds, "ttl")
