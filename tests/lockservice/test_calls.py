"""By when a call is answered: before its caller gives up, and not long before."""

from __future__ import annotations

import asyncio

import pytest

from lockservice.calls import deadline
from servicekit import call


def margin(monkeypatch: pytest.MonkeyPatch, seconds: float | None) -> float:
    """How long before the end of a call of `seconds` it is answered, on a clock that stands still."""

    async def ask() -> float:
        loop = asyncio.get_running_loop()
        now = loop.time()
        monkeypatch.setattr(loop, "time", lambda: now)
        call.limit(seconds)
        return now + (seconds or 0.0) - deadline()

    with asyncio.Runner() as runner:
        return runner.run(ask())


@pytest.mark.parametrize("seconds", [2.5, 10.0, 60.0, 24 * 3600.0])
def test_an_answer_with_its_reason_has_a_quarter_of_a_second_to_arrive(
    monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    assert margin(monkeypatch, seconds) == pytest.approx(0.25, abs=1e-6)


@pytest.mark.parametrize("seconds", [0.02, 0.2, 1.0, 2.0])
def test_of_a_short_call_the_margin_takes_a_tenth(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    assert margin(monkeypatch, seconds) == pytest.approx(seconds / 10, abs=1e-6)


def test_a_call_that_is_over_is_to_be_answered_now(monkeypatch: pytest.MonkeyPatch) -> None:
    assert margin(monkeypatch, 0.0) == 0.0


def test_a_message_of_a_stream_has_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    assert margin(monkeypatch, None) == pytest.approx(-10.0, abs=1e-6)
