"""When a page counts as having come to rest."""

from __future__ import annotations

from math import inf

import pytest

from browserhost.acting.settle import CARET_WIDTH, PATIENCE_S, QUIET_S, Reason, Rest
from tenure.v1.session_pb2 import SettleReason

TOP = 100


def rest(*, heard: bool = True) -> Rest:
    return Rest(TOP, heard=heard)


def test_a_page_that_shows_nothing_is_settled_at_the_minimum() -> None:
    assert rest().at(10.0, 10.05) == 10.05


def test_what_is_drawn_puts_it_off_by_the_quiet_time() -> None:
    page = rest()
    assert page.drawn(10.5, TOP, 300, 20)
    assert page.at(10.5, 10.05) == 10.5 + QUIET_S
    page.drawn(10.6, TOP + 50, 300, 20)
    assert page.at(10.6, 10.05) == 10.6 + QUIET_S


def test_the_minimum_holds_also_when_all_has_been_quiet() -> None:
    page = rest()
    page.drawn(10.0, TOP, 300, 20)
    assert page.at(10.0, 12.0) == 12.0


@pytest.mark.parametrize("width", range(1, CARET_WIDTH + 1))
def test_a_blinking_caret_is_no_sign_of_life(width: int) -> None:
    page = rest()
    assert not page.drawn(10.5, TOP + 50, width, 35)
    assert page.at(10.5, 10.05) == 10.05


@pytest.mark.parametrize(
    ("top", "height", "counts"), [(9, 22, False), (TOP - 1, 1, False), (TOP - 1, 2, True)]
)
def test_what_is_drawn_in_the_browsers_own_bars_says_nothing_of_the_page(
    top: int, height: int, counts: bool
) -> None:
    assert rest().drawn(10.5, top, 22, height) is counts


def test_a_page_that_is_not_through_with_its_input_never_rests() -> None:
    page = rest(heard=False)
    assert page.at(10.0, 10.05) == inf
    page.hears(20.0)
    assert page.at(20.0, 10.05) == 20.0 + QUIET_S


def test_a_frame_that_loads_is_waited_for() -> None:
    page = rest()
    page.loads(10.0, "a")
    page.loads(10.1, "b")
    page.loaded(10.2, "a")
    assert page.at(10.3, 10.05) == inf
    page.loaded(10.4, "b")
    assert page.at(10.4, 10.05) == 10.4 + QUIET_S


@pytest.mark.parametrize("kind", ["Document", "Stylesheet", "Script", "XHR", "Fetch"])
def test_a_request_is_waited_for_until_it_is_answered(kind: str) -> None:
    page = rest()
    page.asked(10.0, "1", kind)
    assert page.at(10.2, 10.05) == 10.0 + PATIENCE_S
    page.answered(10.3, "1")
    assert page.at(10.3, 10.05) == 10.3 + QUIET_S


def test_a_request_that_takes_longer_than_the_patience_is_waited_for_no_more() -> None:
    page = rest()
    page.asked(10.0, "1", "Fetch")
    page.asked(10.5, "2", "Fetch")
    assert page.at(11.0, 10.05) == 10.5 + PATIENCE_S
    assert page.at(11.6, 10.05) <= 11.6


@pytest.mark.parametrize("kind", ["Image", "Media", "WebSocket", "EventSource", "Ping", ""])
def test_pictures_and_streams_are_not_waited_for(kind: str) -> None:
    page = rest()
    page.asked(10.0, "1", kind)
    page.answered(10.1, "1")
    assert page.at(10.1, 10.05) == 10.05


@pytest.mark.parametrize("reason", Reason)
def test_each_reason_has_its_word_on_the_wire(reason: Reason) -> None:
    assert SettleReason.Name(reason.message) == f"SETTLE_REASON_{reason.value.upper()}"
