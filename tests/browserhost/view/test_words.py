"""What a person's page may say, and what is no such thing."""

import json

import pytest

from browserhost.view import words
from browserhost.view.words import Dialog, Done
from tenure.v1.session_pb2 import Action, Click, Drag, MouseButton, Move, PressKey, Scroll, TypeText


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ({"type": "move", "x": 1.4, "y": 2}, Action(move=Move(x=1, y=2))),
        (
            {"type": "click", "x": 1, "y": 2, "button": 2},
            Action(click=Click(x=1, y=2, button=MouseButton.MOUSE_BUTTON_RIGHT)),
        ),
        (
            {"type": "drag", "x": 1, "y": 2, "to_x": 3, "to_y": 4},
            Action(drag=Drag(from_x=1, from_y=2, to_x=3, to_y=4)),
        ),
        ({"type": "wheel", "x": 1, "y": 2, "down": -3}, Action(scroll=Scroll(x=1, y=2, delta_y=-3))),
        ({"type": "text", "text": "añ"}, Action(type=TypeText(text="añ"))),
        ({"type": "key", "chord": "ctrl+a"}, Action(key=PressKey(chord="ctrl+a"))),
        ({"type": "dialog", "accept": True, "text": "yes"}, Dialog(accept=True, text="yes")),
        ({"type": "dialog", "accept": "no"}, Dialog(accept=False, text="")),
        ({"type": "done"}, Done()),
    ],
)
def test_what_a_person_does_is_understood(said: object, meant: object) -> None:
    assert words.parse(json.dumps(said).encode()) == meant


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"nonsense",
        b"[]",
        b"{}",
        b'{"type": "wait"}',
        b'{"type": "click", "x": 1}',
        b'{"type": "click", "x": true, "y": 1}',
        b'{"type": "click", "x": 1, "y": 1, "button": 3}',
        b'{"type": "click", "x": 1, "y": 1, "button": -1}',
        b'{"type": "click", "x": 1e300, "y": 1}',
        b'{"type": "click", "x": NaN, "y": 1}',
        b'{"type": "text", "text": 1}',
        b'{"type": "dialog"}',
        b'{"type": "text", "text": "' + b"x" * words.LONGEST + b'"}',
        b"\xff\xfe",
    ],
)
def test_what_nobody_says_is_nothing(said: bytes) -> None:
    assert words.parse(said) is None
