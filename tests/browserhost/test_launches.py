"""How many browsers are launched side by side."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from browserhost.launches import Launches
from tenure.errors import NoRoom
from tests.browserhost.fakes import ALICE, BOB, Machine


class Memory:
    """A machine's, with browsers in it that may be closed, each of 400."""

    def __init__(self, available: int, closable: int = 0) -> None:
        self.available, self.closable = available, closable
        self.asked = asyncio.Event()

    def look(self) -> int:
        return self.available

    async def make_room(self) -> bool:
        self.asked.set()
        if not self.closable:
            return False
        self.closable -= 1
        self.available += 400
        return True

    def launches(self, places: int = 9) -> Launches:
        return Launches(places, reserve=500, each=400, available=self.look, make_room=self.make_room)


async def test_a_launch_waits_for_memory_not_only_for_a_place() -> None:
    memory = Memory(1000)
    launches = memory.launches()
    async with AsyncExitStack() as first:
        await first.enter_async_context(launches)
        second = asyncio.create_task(launches.__aenter__())
        await memory.asked.wait()
        assert not second.done()
        # The first has taken less than it might have.
        memory.available = 950
    await second
    await launches.__aexit__(None, None, None)


async def test_a_launch_that_lacks_memory_closes_what_may_go() -> None:
    memory = Memory(100, closable=3)
    async with memory.launches():
        assert memory.closable == 1


async def test_without_anything_to_wait_for_it_is_refused_and_leaves_no_trace() -> None:
    memory = Memory(899)
    launches = memory.launches(places=1)
    with pytest.raises(NoRoom, match="memory"):
        await launches.__aenter__()
    memory.available = 900
    async with launches:
        pass


async def test_one_that_is_given_up_while_it_waits_gives_its_place_back() -> None:
    memory = Memory(1000)
    launches = memory.launches(places=2)
    async with launches:
        waiting = asyncio.create_task(launches.__aenter__())
        await memory.asked.wait()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        memory.available = 2000
        async with launches:
            pass


async def test_a_launch_that_fails_counts_no_more() -> None:
    launches = Memory(900).launches(places=1)
    for _ in range(3):
        with pytest.raises(RuntimeError):
            async with launches:
                raise RuntimeError
    async with launches:
        pass


async def test_a_host_without_memory_closes_a_warm_browser_for_a_new_one(machine: Machine) -> None:
    memory = Memory(900)
    shop = machine.host._workshop
    launches = Launches(
        2, reserve=500, each=400, available=memory.look, make_room=machine.host.cache.make_room
    )
    object.__setattr__(shop, "launching", launches)
    await machine.open(41, ALICE)
    memory.available = 500
    with pytest.raises(NoRoom):
        await machine.open(42, BOB)
    assert not machine.chrome.launched[0].closed
    await machine.profile(ALICE).close_hold(41)
    machine.chrome.launched[0].ended.add_done_callback(lambda _: setattr(memory, "available", 900))
    await machine.open(43, BOB)
    assert machine.chrome.launched[0].closed
