from __future__ import annotations

import pytest
from google.protobuf.duration_pb2 import Duration

from browserhost.acting import plan
from browserhost.acting.plan import View, check, check_inside, pieces, view_of
from browserhost.picture import Wish
from tenure.errors import InvalidField
from tenure.v1.session_pb2 import (
    Action,
    Click,
    Drag,
    MouseButton,
    Move,
    PressKey,
    Region,
    Scroll,
    TypeText,
    Wait,
)
from tenure.v1.session_service_pb2 import ActRequest, ScreenshotOptions

WINDOW = (0, 0, 1280, 800)
VIEW = View(width=1280, height=657, left=0, top=143, scale=1.0, window=WINDOW)
FINE = [
    Action(click=Click(x=0, y=0)),
    Action(click=Click(x=1279, y=656, button=MouseButton.MOUSE_BUTTON_RIGHT, count=3)),
    Action(drag=Drag(from_x=1, from_y=2, to_x=3, to_y=4)),
    Action(move=Move(x=5, y=5)),
    Action(scroll=Scroll(x=5, y=5, delta_y=-100, delta_x=100)),
    Action(type=TypeText(text="naïve\t漢字 😀\r\nnext\n")),
    Action(type=TypeText()),
    Action(key=PressKey(chord="ctrl+a")),
    Action(wait=Wait(duration=Duration(seconds=60))),
]

BAD: list[tuple[Action, str]] = [
    (Action(), "actions[1]"),
    (Action(click=Click(count=4)), "actions[1].click.count"),
    (Action(click=Click(count=-1)), "actions[1].click.count"),
    (Action(click=Click(button=MouseButton.ValueType(9))), "actions[1].click.button"),
    (Action(drag=Drag(button=4)), "actions[1].drag.button"),  # type: ignore[arg-type]
    (Action(scroll=Scroll(delta_x=101)), "actions[1].scroll.delta_x"),
    (Action(scroll=Scroll(delta_y=-101)), "actions[1].scroll.delta_y"),
    (Action(type=TypeText(text="x" * 10_001)), "actions[1].type.text"),
    (Action(type=TypeText(text="bell\x07")), "actions[1].type.text"),
    (Action(type=TypeText(text="old\rmac")), "actions[1].type.text"),
    (Action(key=PressKey(chord="ctrl+t")), "actions[1].key.chord"),
    (Action(key=PressKey()), "actions[1].key.chord"),
    (Action(wait=Wait(duration=Duration(seconds=61))), "actions[1].wait.duration"),
    (Action(wait=Wait(duration=Duration(seconds=-1))), "actions[1].wait.duration"),
]

OUTSIDE: list[tuple[Action, str]] = [
    (Action(click=Click(x=-1, y=5)), "actions[1].click.x"),
    (Action(click=Click(x=5, y=-1)), "actions[1].click.y"),
    (Action(click=Click(x=1280, y=5)), "actions[1].click.x"),
    (Action(click=Click(x=5, y=657)), "actions[1].click.y"),
    (Action(move=Move(x=5, y=5000)), "actions[1].move.y"),
    (Action(scroll=Scroll(x=5, y=-20)), "actions[1].scroll.y"),
    (Action(drag=Drag(from_x=-2, to_x=5)), "actions[1].drag.from_x"),
    (Action(drag=Drag(from_y=900, to_x=5)), "actions[1].drag.from_y"),
    (Action(drag=Drag(to_x=1300)), "actions[1].drag.to_x"),
    (Action(drag=Drag(to_y=-143)), "actions[1].drag.to_y"),
]


def test_everything_that_is_allowed_passes() -> None:
    check(FINE)
    check_inside(FINE, VIEW)


@pytest.mark.parametrize(("action", "field"), BAD, ids=[f"{field}-{i}" for i, (_, field) in enumerate(BAD)])
def test_an_action_that_cannot_be_done_is_named(action: Action, field: str) -> None:
    with pytest.raises(InvalidField) as caught:
        check([FINE[0], action])
    assert caught.value.field == field


@pytest.mark.parametrize(("action", "field"), OUTSIDE, ids=[field for _, field in OUTSIDE])
def test_a_point_outside_the_viewport_is_named(action: Action, field: str) -> None:
    check([FINE[0], action])
    with pytest.raises(InvalidField) as caught:
        check_inside([FINE[0], action], VIEW)
    assert caught.value.field == field


def test_a_call_has_at_most_a_hundred_actions() -> None:
    check([FINE[0]] * 100)
    with pytest.raises(InvalidField, match="at most 100"):
        check([FINE[0]] * 101)


def test_a_viewport_is_the_lower_part_of_its_window() -> None:
    assert view_of(WINDOW, (1280, 657), 1.0) == VIEW
    moved = view_of((100, 50, 1280, 800), (1280, 657), 1.0)
    assert moved is not None
    assert moved.on_display(0, 0) == (100, 193)


def test_a_zoomed_page_has_fewer_pixels_of_its_own() -> None:
    view = view_of(WINDOW, (640, 328), 2.0)
    assert view is not None
    assert (view.top, view.on_display(0, 0), view.on_display(639, 327)) == (144, (1, 145), (1279, 799))


def test_a_full_screen_page_fills_its_window() -> None:
    view = view_of(WINDOW, (1280, 800), 1.0)
    assert view is not None
    assert view.on_display(7, 9) == (7, 9)


@pytest.mark.parametrize("inner", [(375, 667), (1280, 900), (1400, 657), (1280, 200)])
def test_a_viewport_that_does_not_fit_its_window_is_another_ones(inner: tuple[int, int]) -> None:
    assert view_of(WINDOW, inner, 1.0) is None


@pytest.mark.parametrize("scale", [1.0, 1.25, 1.5, 2.0, 0.5])
def test_no_point_of_the_viewport_is_outside_of_it_on_the_display(scale: float) -> None:
    view = view_of(WINDOW, (round(1280 / scale), round(650 / scale)), scale)
    assert view is not None
    for x, y in ((0, 0), (view.width - 1, view.height - 1)):
        across, down = view.on_display(x, y)
        assert 0 <= across < 1280
        assert view.top <= down < 800


def test_text_is_typed_in_pieces_that_end_where_the_focus_may_leave() -> None:
    assert list(pieces("")) == []
    assert list(pieces("a\tb\r\nc\t\td")) == ["a\t", "b\nc\t", "\t", "d"]
    long = list(pieces("x" * 120))
    assert [len(piece) for piece in long] == [50, 50, 20]
    assert "".join(pieces("ab\tc" * 99)) == "ab\tc" * 99


def test_a_picture_is_one_of_the_types_and_no_larger_than_the_page() -> None:
    assert plan.picture(ScreenshotOptions()) == Wish()
    options = ScreenshotOptions(
        media_type="image/webp", scale=0.5, quality=30, region=Region(x=1, y=2, width=3, height=4)
    )
    assert plan.picture(options) == Wish("image/webp", 0.5, region=(1, 2, 3, 4), quality=30)
    assert plan.picture(ScreenshotOptions(full_page=True)) == Wish(full_page=True)


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        (ScreenshotOptions(media_type="image/gif"), "media_type"),
        (ScreenshotOptions(scale=1.5), "scale"),
        (ScreenshotOptions(scale=-1), "scale"),
        (ScreenshotOptions(media_type="image/jpeg", quality=101), "quality"),
        (ScreenshotOptions(media_type="image/jpeg", quality=-1), "quality"),
        (ScreenshotOptions(quality=50), "quality"),
        (ScreenshotOptions(region=Region(x=0, y=0, width=0, height=5)), "region"),
        (ScreenshotOptions(region=Region(x=0, y=0, width=5)), "region"),
        (ScreenshotOptions(region=Region(x=-1, y=0, width=5, height=5)), "region"),
        (ScreenshotOptions(region=Region(x=0, y=0, width=5, height=5), full_page=True), "region"),
    ],
)
def test_a_picture_that_cannot_be_had_is_refused_by_its_field(bad: ScreenshotOptions, field: str) -> None:
    with pytest.raises(InvalidField) as caught:
        plan.picture(bad)
    assert caught.value.field == f"screenshot.{field}"


def test_settling_takes_what_was_sent_or_fifty_milliseconds_to_two_seconds() -> None:
    assert plan.settle_s(ActRequest()) == (0.05, 2)
    assert plan.settle_s(ActRequest(settle=Duration())) == (0, 0)
    sent = ActRequest(settle=Duration(seconds=3, nanos=500_000_000), settle_minimum=Duration(seconds=1))
    assert plan.settle_s(sent) == (1, 3.5)
    with pytest.raises(InvalidField):
        plan.settle_s(ActRequest(settle=Duration(seconds=61)))


def test_the_least_time_to_settle_is_no_longer_than_the_most() -> None:
    with pytest.raises(InvalidField) as caught:
        plan.settle_s(ActRequest(settle=Duration(seconds=1), settle_minimum=Duration(seconds=2)))
    assert (caught.value.field, caught.value.remedy) == ("settle_minimum", "send 0s to 1s")
