"""A host that stops: everybody is cut at once, and browsers are closed so many at a time, held ones first."""

from __future__ import annotations

import asyncio
from functools import partial

from browserhost import marker
from browserhost.host import CLOSINGS
from browserhost.session import State
from tenure.names import ProfileName
from tests.browserhost.fakes import Machine

NAMES = [ProfileName("default", f"p-{number:02}") for number in range(20)]
HELD = NAMES[13:16]


def _note(closed: list[str], name: str, _: object) -> None:
    closed.append(name)


async def many(machine: Machine) -> None:
    """Twenty browsers, all but three of them warm."""
    machine.host.cache.capacity = len(NAMES)
    for token, name in enumerate(NAMES, 41):
        await machine.open(token, name)
        if name not in HELD:
            await machine.profile(name).close_hold(token)


async def test_twenty_browsers_end_cleanly_and_only_so_many_at_once(machine: Machine) -> None:
    await many(machine)
    _, go_on = machine.chrome.pause("close")
    stopping = asyncio.create_task(machine.host.aclose())
    await machine.chrome.reached["close"].wait()
    for _ in range(20):
        await asyncio.sleep(0)
    assert machine.chrome.closing == CLOSINGS
    go_on.set()
    await stopping
    assert machine.chrome.most_closing == CLOSINGS
    assert all(browser.closed for browser in machine.chrome.launched)
    ends = [marker.load(machine.root.profile(name).marker) for name in NAMES]
    assert [end.end for end in ends if end is not None] == [marker.CLEAN] * len(NAMES)


async def test_the_held_ones_are_closed_first(machine: Machine) -> None:
    await many(machine)
    closed: list[str] = []
    for browser in machine.chrome.launched:
        name = browser.spec.profile_dir.name
        browser.ended.add_done_callback(partial(_note, closed, name))
    await machine.host.aclose()
    assert set(closed[: len(HELD)]) == {name.profile for name in HELD}
    assert len(closed) == len(NAMES)


async def test_nobody_works_on_while_others_are_being_closed(machine: Machine) -> None:
    await many(machine)
    sessions = [machine.profile(name).session for name in HELD]
    _, go_on = machine.chrome.pause("close")
    stopping = asyncio.create_task(machine.host.aclose())
    await machine.chrome.reached["close"].wait()
    assert [each.state for each in sessions if each is not None] == [State.CUT] * len(HELD)
    go_on.set()
    await stopping
