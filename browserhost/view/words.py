"""What a person's page may say. Pure.

{"type": "move", "x": 1, "y": 2}                      the pointer, in CSS pixels of the viewport
{"type": "click", "x": 1, "y": 2, "button": 0}        0 left, 1 middle, 2 right, as browsers number them
{"type": "drag", "x": 1, "y": 2, "to_x": 3, "to_y": 4}
{"type": "wheel", "x": 1, "y": 2, "right": 0, "down": 1}   in clicks of the wheel
{"type": "text", "text": "…"}
{"type": "key", "chord": "ctrl+a"}
{"type": "dialog", "accept": true, "text": ""}        answers the dialog that is open
{"type": "done"}                                      tells everybody who looks
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tenure.v1.session_pb2 import (
    Action,
    Click,
    Drag,
    MouseButton,
    Move,
    PressKey,
    Scroll,
    TypeText,
)

LONGEST = 64 << 10
"""Bytes of a message; whoever pastes more, pastes it in parts."""
_BUTTONS = (MouseButton.MOUSE_BUTTON_LEFT, MouseButton.MOUSE_BUTTON_MIDDLE, MouseButton.MOUSE_BUTTON_RIGHT)


@dataclass(frozen=True, slots=True)
class Dialog:
    """An answer to the dialog that is open."""

    accept: bool
    text: str


@dataclass(frozen=True, slots=True)
class Done:
    """The person has done what there was to do."""


def parse(message: bytes | bytearray | memoryview | str) -> Action | Dialog | Done | None:
    """What was said; None for what nobody says."""
    if len(message) > LONGEST:
        return None
    try:
        said = json.loads(bytes(message) if isinstance(message, memoryview) else message)
        return _SAID[said["type"]](said)
    except (ValueError, KeyError, TypeError, IndexError):
        return None


def _number(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or abs(value) > 1 << 20:
        raise TypeError(value)
    return round(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _at(said: dict[str, Any]) -> dict[str, int]:
    return {"x": _number(said["x"]), "y": _number(said["y"])}


def _button(said: dict[str, Any]) -> MouseButton.ValueType:
    number = _number(said.get("button", 0))
    if number < 0:
        raise IndexError(number)
    return _BUTTONS[number]


def _drag(said: dict[str, Any]) -> Action:
    return Action(
        drag=Drag(
            from_x=_number(said["x"]),
            from_y=_number(said["y"]),
            to_x=_number(said["to_x"]),
            to_y=_number(said["to_y"]),
        )
    )


def _wheel(said: dict[str, Any]) -> Action:
    right, down = _number(said.get("right", 0)), _number(said.get("down", 0))
    return Action(scroll=Scroll(**_at(said), delta_x=right, delta_y=down))


_SAID: dict[str, Callable[[dict[str, Any]], Action | Dialog | Done]] = {
    "move": lambda said: Action(move=Move(**_at(said))),
    "click": lambda said: Action(click=Click(**_at(said), button=_button(said))),
    "drag": _drag,
    "wheel": _wheel,
    "text": lambda said: Action(type=TypeText(text=_text(said["text"]))),
    "key": lambda said: Action(key=PressKey(chord=_text(said["chord"]))),
    "dialog": lambda said: Dialog(said["accept"] is True, _text(said.get("text", ""))),
    "done": lambda _: Done(),
}
