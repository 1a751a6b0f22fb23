"""A browser that hangs is ended, a slow one never."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

import pytest

from browserhost.hang import Signs
from browserhost.session import State
from browserhost.vitals import Vitals
from browserhost.watchdog import LOOK_S, Watchdog
from tests.browserhost.fakes import ALICE, BOB, Machine


class Dog:
    """A watchdog on a machine's browsers, whose clock goes on by a look's time with each look."""

    def __init__(self, machine: Machine) -> None:
        self.time = 0.0
        self.signs = Signs(1, 1, "S")
        self.scanned: list[list[str]] = []
        self.watchdog = Watchdog(machine.host.live, now=lambda: self.time, scan=self.scan)

    def scan(self, chromes: Mapping[str, int]) -> dict[str, Vitals]:
        self.scanned.append(sorted(chromes))
        return {key: Vitals(0, 9, self.signs) for key in chromes}

    async def looks(self, times: int) -> None:
        for _ in range(times):
            self.time += LOOK_S
            await self.watchdog.look()
            for _ in range(5):
                await asyncio.sleep(0)


@pytest.fixture
async def dog(machine: Machine) -> AsyncIterator[Dog]:
    made = Dog(machine)
    yield made
    await made.watchdog.aclose()


async def test_a_hung_browser_ends_and_its_hold_is_lost_for_that(machine: Machine, dog: Dog) -> None:
    opened = await machine.open(41)
    await dog.looks(1)
    machine.chrome.pause("answers")
    await dog.looks(1)
    await dog.looks(2)
    assert not machine.browser().ended.done()
    await dog.looks(1)
    assert "hung" in machine.browser().ended.result().how
    await machine.locks.told.wait()
    assert machine.locks.suspects == [(ALICE, 41, "BROWSER_LOST")]
    assert opened.session.state is State.CRASHED


async def test_a_slow_one_is_left_alone_and_asked_again_once_it_answers(machine: Machine, dog: Dog) -> None:
    await machine.open(41)
    await dog.looks(1)
    _, go_on = machine.chrome.pause("answers")
    for step in range(50):
        dog.signs = Signs(step, step, "S")
        await dog.looks(1)
    assert not machine.browser().ended.done()
    go_on.set()
    await dog.looks(5)
    assert not machine.browser().ended.done()
    assert len(dog.scanned) < 52


async def test_only_those_that_do_not_answer_are_looked_at_in_the_process_table(
    machine: Machine, dog: Dog
) -> None:
    await machine.open(41, ALICE)
    await machine.open(42, BOB)
    await dog.looks(9)
    assert dog.scanned == []


async def test_the_next_browser_of_a_profile_is_not_judged_by_the_last_ones_silence(
    machine: Machine, dog: Dog
) -> None:
    await machine.open(41)
    machine.chrome.pause("answers")
    await dog.looks(3)
    await machine.profile().shut_down(41)
    machine.chrome.hold.clear()
    await machine.open(41)
    machine.chrome.pause("answers")
    await dog.looks(3)
    assert not machine.browser().ended.done()


async def test_one_that_ended_by_itself_is_nobodys_to_end(machine: Machine, dog: Dog) -> None:
    await machine.open(41)
    machine.chrome.pause("answers")
    await dog.looks(2)
    machine.browser().die()
    await dog.looks(4)
    assert machine.browser().ended.result().how == "was killed by SIGKILL"
