"""Waiting for what was written to arrive, on a clock of the test's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from lockservice import arrivals
from lockservice.arrivals import Arrivals

MANY = 1000


class Store:
    """What a replica was told, and has seen written; with how often it was asked for it."""

    def __init__(self) -> None:
        self.revision = 0
        self.seen = 0
        self.asked = 0

    def reached(self) -> int:
        self.asked += 1
        return self.revision


class Timer:
    """The loop's clock and its timers, moved by hand."""

    def __init__(self, loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self._due: list[tuple[float, Callable[..., None], tuple[Any, ...]]] = []
        monkeypatch.setattr(loop, "time", lambda: self.now)
        monkeypatch.setattr(loop, "call_at", self._call_at)

    def _call_at(self, when: float, callback: Callable[..., None], *args: Any) -> None:
        self._due.append((when, callback, args))

    async def pass_(self, seconds: float) -> None:
        self.now += seconds
        for each in [each for each in self._due if each[0] <= self.now]:
            self._due.remove(each)
            each[1](*each[2])
        await asyncio.sleep(0)


class Scene:
    def __init__(self, timer: Timer) -> None:
        self.store = Store()
        self.timer = timer
        self.arrivals = Arrivals(self.store.reached, lambda: self.store.seen)
        self.tasks: list[asyncio.Task[None]] = []

    async def waits(self, revision: int) -> asyncio.Task[None]:
        task = asyncio.create_task(self.arrivals.until(revision))
        self.tasks.append(task)
        await asyncio.sleep(0)
        return task

    async def arrives(self, revision: int) -> None:
        self.store.revision = revision
        self.arrivals.came()
        await asyncio.sleep(0)


@pytest.fixture
async def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(Timer(asyncio.get_running_loop(), monkeypatch))


@pytest.fixture(autouse=True)
def moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "QUIET_S", 1.0)


async def test_each_who_waits_is_woken_when_its_revision_is_there_and_only_then(scene: Scene) -> None:
    waiting = [await scene.waits(revision) for revision in (3, 1, 2)]
    await scene.arrives(1)
    assert [task.done() for task in waiting] == [False, True, False]
    await scene.arrives(3)
    assert all(task.done() for task in waiting)


async def test_an_arrival_costs_those_nothing_who_wait_for_later_ones(scene: Scene) -> None:
    waiting = [await scene.waits(revision) for revision in range(1, MANY + 1)]
    scene.store.asked = 0
    for revision in range(1, MANY + 1):
        await scene.arrives(revision)
    assert all(task.done() for task in waiting)
    assert scene.store.asked <= 2 * MANY


async def test_what_is_there_is_not_waited_for(scene: Scene) -> None:
    await scene.arrives(5)
    with pytest.raises(StopIteration):
        scene.arrivals.until(5).send(None)


async def test_after_a_quiet_moment_nothing_more_is_expected_of_what_was_written_before_it(
    scene: Scene,
) -> None:
    scene.store.seen = 9
    waiting = await scene.waits(7)
    await scene.timer.pass_(0.9)
    assert not waiting.done()
    await scene.timer.pass_(0.1)
    assert waiting.done()
    assert (await scene.waits(9)).done()
    assert not (await scene.waits(10)).done()


async def test_a_moment_in_which_something_came_was_not_quiet(scene: Scene) -> None:
    waiting = await scene.waits(7)
    await scene.timer.pass_(0.9)
    await scene.arrives(6)
    await scene.timer.pass_(0.9)
    assert not waiting.done()
    await scene.timer.pass_(0.1)
    assert waiting.done()


async def test_who_comes_in_the_middle_of_a_quiet_moment_waits_for_one_of_its_own(scene: Scene) -> None:
    first = await scene.waits(7)
    await scene.timer.pass_(0.9)
    second = await scene.waits(8)
    await scene.timer.pass_(0.1)
    assert first.done()
    assert not second.done()
    await scene.timer.pass_(1.0)
    assert second.done()


async def test_what_came_while_nobody_waited_is_no_quiet_for_who_comes_then(scene: Scene) -> None:
    await scene.waits(1)
    await scene.arrives(1)
    await scene.timer.pass_(0.9)
    waiting = await scene.waits(7)
    await scene.timer.pass_(0.1)
    assert not waiting.done()
    await scene.timer.pass_(0.9)
    assert waiting.done()


async def test_one_who_gave_up_is_passed_over(scene: Scene) -> None:
    gone, waiting = await scene.waits(1), await scene.waits(1)
    gone.cancel()
    await asyncio.sleep(0)
    await scene.arrives(1)
    assert waiting.done()
