"""What a person's hands are told when they do what cannot be done. Without a browser."""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast

import pytest

from browserhost.profile import Profile
from browserhost.view import driving, words
from browserhost.view.driving import Driving
from browserhost.view.show import Show
from browserhost.view.viewer import Viewer


class Person:
    """A viewer and a show at once: what is told, and why it was put out."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        self.closed = ""

    def hear(self, word: dict[str, Any]) -> None:
        self.told.append(word)

    tell = hear

    def close(self, reason: str) -> None:
        self.closed = reason


@pytest.fixture
def person() -> Person:
    return Person()


@pytest.fixture
def hands(person: Person) -> Driving:
    hands = Driving(cast("Profile", None), 7, cast("Show", person))
    hands.viewer = cast("Viewer", person)
    return hands


def word(**said: Any) -> bytes:
    return json.dumps(said).encode()


async def test_what_is_too_long_is_refused_and_nobody_put_out_for_it(person: Person, hands: Driving) -> None:
    hands.heard(word(type="text", text="x" * words.LONGEST))
    assert [each["type"] for each in person.told] == ["refused"]
    assert "too long" in person.told[0]["problem"]
    assert person.closed == ""


async def test_what_nobody_says_puts_one_out(person: Person, hands: Driving) -> None:
    hands.heard(b"nonsense")
    assert person.closed == "NOT_UNDERSTOOD"


async def test_who_is_far_ahead_is_told_so_once_and_heard_when_done(person: Person, hands: Driving) -> None:
    for _ in range(driving.AHEAD):
        hands.heard(word(type="text", text="x"))
    assert person.told == []
    hands.heard(word(type="text", text="y"))
    hands.heard(word(type="text", text="z"))
    assert [each["type"] for each in person.told] == ["refused"]
    assert "too much waits" in person.told[0]["problem"]
    hands.heard(word(type="done"))
    hands.heard(word(type="done"))
    assert [type(each) for each in hands._due][-1] is words.Done
    assert len(hands._due) == driving.AHEAD + 1


async def test_one_who_says_done_is_heard_by_all(person: Person, hands: Driving) -> None:
    hands.heard(word(type="done"))
    running = asyncio.create_task(hands.run())
    await hands.finish()
    assert person.told == [{"type": "done"}]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
