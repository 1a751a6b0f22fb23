"""The order of things in an Act, with a page and hands that only note what they are told."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from browserhost.acting.act import Guard, Progress, _Acting, _Standing
from browserhost.acting.plan import View
from tenure.errors import TokenSuperseded
from tenure.v1.session_pb2 import Action, Move, Wait


class Noting:
    """The page and the hands in one: `told` in order."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.pointed = asyncio.Event()
        self.page = self
        self.target, self.loaders = "T1", deque(["L1"])

    async def do(self, command: str, *words: object) -> str:
        self.told.append(" ".join(map(str, (command, *words))))
        if command == "under":
            self.pointed.set()
        return "window 0 0 1280 800"

    async def shown(self) -> None:
        self.told.append("shown")

    async def view(self) -> View:
        return View(width=1280, height=657, left=0, top=143, scale=1.0, window=(0, 0, 1280, 800))


def acting(noting: Any, gate: Any = lambda: None) -> _Acting:
    return _Acting(Guard(gate, lambda what: None), noting, noting, _Standing(), Progress())


def wait(seconds: int) -> Action:
    return Action(wait=Wait(duration=Duration(seconds=seconds)))


MOVE = Action(move=Move(x=5, y=6))


async def test_a_cut_waits_for_what_was_sent_before_it_ends() -> None:
    noting = Noting()
    doing = asyncio.create_task(acting(noting).do_all([MOVE, wait(60)]))
    await noting.pointed.wait()
    doing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await doing
    assert noting.told[-1] == "sync 1000"


async def test_so_does_a_refusal_on_the_way_and_none_before_anything_was_sent() -> None:
    asked = 0

    def gate() -> None:
        nonlocal asked
        asked += 1
        if asked > 1:
            raise TokenSuperseded(profile="p", token=41)

    noting = Noting()
    with pytest.raises(TokenSuperseded):
        await acting(noting, gate).do_all([MOVE, MOVE])
    assert noting.told[-1] == "sync 1000"
    untouched = Noting()
    with pytest.raises(TokenSuperseded):
        await acting(untouched, gate).do_all([MOVE])
    assert "sync 1000" not in untouched.told


async def test_the_first_pointing_at_a_new_document_waits_until_it_is_drawn() -> None:
    noting = Noting()
    busy = acting(noting)
    await busy.do_all([MOVE, MOVE])
    assert [each for each in noting.told if each != "under"] == [
        "shown",
        "move 5 149",
        "move 5 149",
        "sync",
    ]
    noting.loaders.append("L2")
    noting.told.clear()
    await busy.do_all([MOVE])
    assert noting.told[0] == "shown"
