"""Hands kept from use to use, with a program that answers without a display."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from browserhost import hands_host
from browserhost.hands_host import Hands, KeptHands
from tenure.errors import BrowserCrashed

PROGRAM = """
import os, sys
print("ok", flush=True)
for line in sys.stdin:
    match line.split():
        case ["watch"]:
            print("drawn 1 2 30 40", "drawn 5 6 70 80", "ok", sep="\\n", flush=True)
        case ["late"]:
            with open(os.path.join(os.path.dirname(__file__), "lateness")) as lateness:
                lateness.read()
            print("ok late", flush=True)
        case ["end"]:
            break
        case ["silence"]:
            pass
        case ["bad"]:
            print("no window is there", flush=True)
        case words:
            print("ok", os.getpid(), *words, flush=True)
"""


@pytest.fixture(autouse=True)
def _program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "__main__.py").write_text(PROGRAM)
    os.mkfifo(tmp_path / "lateness")
    monkeypatch.setattr(hands_host, "PROGRAM", tmp_path)


@asynccontextmanager
async def late(tmp_path: Path) -> AsyncIterator[None]:
    """From when the program is at its late answer until when it gives it."""
    descriptor = await asyncio.to_thread(os.open, tmp_path / "lateness", os.O_WRONLY)
    try:
        yield
    finally:
        os.close(descriptor)


def kept(*, keep: bool = True) -> KeptHands:
    return KeptHands(dict, keep=keep)


async def pid(hands: KeptHands) -> str:
    async with hands.use() as used:
        return (await used.do("who")).split()[0]


async def test_the_next_use_has_the_same_process() -> None:
    hands = kept()
    assert await pid(hands) == await pid(hands)
    await hands.aclose()
    await hands.aclose()


async def test_without_keeping_each_use_has_its_own() -> None:
    hands = kept(keep=False)
    assert await pid(hands) != await pid(hands)
    await hands.aclose()


async def test_nobody_keeps_a_process_that_nobody_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hands_host, "KEEP_S", 0.01)
    hands = kept()
    async with hands.use() as used:
        pass
    await used._process.wait()
    assert hands._hands is None
    await hands.aclose()


async def test_one_that_ended_is_replaced() -> None:
    hands = kept()
    first = await pid(hands)
    with pytest.raises(BrowserCrashed, match="does not answer"):
        async with hands.use() as used:
            await used.do("end")
    assert await pid(hands) != first
    await hands.aclose()


async def test_one_that_fell_silent_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    hands = kept()
    first = await pid(hands)
    monkeypatch.setattr(hands_host, "ANSWER_S", 0.2)
    with pytest.raises(BrowserCrashed, match="does not answer"):
        async with hands.use() as used:
            await used.do("silence")
    monkeypatch.setattr(hands_host, "ANSWER_S", 30.0)
    assert await pid(hands) != first
    await hands.aclose()


async def test_what_it_answers_too_late_is_taken_for_no_answer_also_when_its_silence_was_forgiven(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hands = kept()
    first = await pid(hands)
    async with hands.use() as used:
        monkeypatch.setattr(hands_host, "ANSWER_S", 0.01)
        with suppress(BrowserCrashed):
            await used.do("late")
        async with late(tmp_path):
            pass
        monkeypatch.setattr(hands_host, "ANSWER_S", 30.0)
        with pytest.raises(BrowserCrashed, match="does not answer"):
            await used.do("next")
    assert await pid(hands) != first
    await hands.aclose()


async def test_a_refusal_is_told_in_the_programs_words() -> None:
    with pytest.raises(BrowserCrashed, match="cannot be used: window is there"):
        async with await Hands.on({}) as hands:
            await hands.do("bad")


async def test_an_answer_is_waited_for_also_when_its_use_is_cancelled(tmp_path: Path) -> None:
    hands = kept()

    async def use() -> None:
        async with hands.use() as used:
            await used.do("late")

    using = asyncio.create_task(use())
    async with late(tmp_path):
        using.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await using
    async with hands.use() as used:
        assert (await used.do("next")).endswith(" next")
    await hands.aclose()


async def test_what_is_drawn_is_told_between_the_answers() -> None:
    seen = []
    async with await Hands.on({}) as hands:
        hands.drawn = lambda *area: seen.append(area)
        await hands.do("watch")
    assert seen == [(1, 2, 30, 40), (5, 6, 70, 80)]
