"""What the page of a live view says of what a person does, and tells of its end. Without a browser."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from playwright._impl._driver import compute_driver_executable

from browserhost.acting.plan import MAX_TEXT
from browserhost.view import words

SCRIPT = Path(__file__).parents[2] / "gateway" / "view.js"
CONTROL = {"on": "socket", "kind": "message", "data": json.dumps({"type": "control"})}


def page(*events: dict[str, Any]) -> dict[str, Any]:
    """What a page does at these events."""
    program = (compute_driver_executable()[0], Path(__file__).with_name("view_page.js"))
    done = subprocess.run(
        [*program, SCRIPT], input=json.dumps(events).encode(), stdout=subprocess.PIPE, check=True
    )
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def key(name: str, **facts: Any) -> dict[str, Any]:
    return {"on": "keys", "kind": "keydown", "key": name, **facts}


def pasted(text: str) -> dict[str, Any]:
    return {"on": "document", "kind": "paste", "value": text}


def test_keys_are_said_as_they_are_pressed() -> None:
    told = page(
        CONTROL,
        key("a"),
        key("ñ"),
        key("Enter", shiftKey=True),
        key("C", ctrlKey=True, shiftKey=True),
    )
    assert told["said"] == [
        {"type": "text", "text": "a"},
        {"type": "text", "text": "ñ"},
        {"type": "key", "chord": "shift+Return"},
        {"type": "key", "chord": "ctrl+shift+c"},
    ]
    assert told["prevented"] == [True]


def test_one_who_only_looks_says_nothing() -> None:
    assert page(key("a"), {"on": "keys", "kind": "input", "value": "a"}, pasted("a"))["said"] == []


@pytest.mark.parametrize(
    "pressed",
    [
        key("@", altKey=True),  # Option on a Mac
        key("@", altKey=True, ctrlKey=True, keys=["AltGraph"]),  # on Windows
        key("@", keys=["AltGraph"]),
        key("Dead"),
    ],
)
def test_what_a_layout_puts_together_is_typed_as_it_comes_of_it(pressed: dict[str, Any]) -> None:
    told = page(CONTROL, pressed, {"on": "keys", "kind": "input", "value": "@"})
    assert told["said"] == [{"type": "text", "text": "@"}]
    assert told["prevented"] == [False], "or nothing would come of it"
    assert told["keys"] == ""


@pytest.mark.parametrize("input_comes_last", [False, True])
def test_a_composition_is_typed_once_it_is_over(input_comes_last: bool) -> None:
    ends = [
        {"on": "keys", "kind": "compositionend"},
        {"on": "keys", "kind": "input", "isComposing": not input_comes_last},
    ]
    told = page(
        CONTROL,
        key("Dead"),
        key("e", isComposing=True),
        {"on": "keys", "kind": "input", "isComposing": True, "value": "é"},
        *(ends if input_comes_last else reversed(ends)),
    )
    assert told["said"] == [{"type": "text", "text": "é"}]


@pytest.mark.parametrize("character", ["x", "ñ", "字", "😀", "\x01"])
def test_a_long_paste_is_said_in_parts_each_of_which_is_understood(character: str) -> None:
    said = page(CONTROL, pasted(character * (2 * MAX_TEXT + 5)))["said"]
    assert [len(each["text"]) for each in said] == [MAX_TEXT, MAX_TEXT, 5]
    for each in said:
        assert words.parse(json.dumps(each, ensure_ascii=False).encode()) is not None


def test_lines_of_any_machine_are_lines() -> None:
    assert page(CONTROL, pasted("a\r\nb\rc\nd"))["said"] == [{"type": "text", "text": "a\nb\nc\nd"}]
    assert page(CONTROL, pasted(""))["said"] == []


@pytest.mark.parametrize(
    ("reason", "note"),
    [
        ("NOT_UNDERSTOOD", "What this page said was not understood. Reload it to go on."),
        ("READ_ONLY", "This address is for looking only."),
        ("", "The view has ended."),
    ],
)
def test_a_person_is_told_why_a_view_ends(reason: str, note: str) -> None:
    assert page({"on": "socket", "kind": "close", "reason": reason, "wasClean": True})["note"] == note
