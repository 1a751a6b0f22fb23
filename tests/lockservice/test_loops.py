"""A replica's loops go on, whatever happens in them; and somebody hears of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from lockservice import loops
from lockservice.etcd.client import Etcd
from lockservice.etcd.txn import put, txn
from lockservice.loops import kept
from lockservice.mirror import Mirror
from tenure.names import ProfileName
from tests.fixtures.etcd import Store
from tests.lockservice.replicas import Running, running


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "FIRST_PAUSE_S", 0.01)


@asynccontextmanager
async def keeping(run: Callable[[], Awaitable[None]]) -> AsyncIterator[list[str]]:
    ended: list[str] = []
    task = asyncio.create_task(kept("a loop", run, ended.append))
    try:
        yield ended
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()


@pytest.mark.parametrize("end", [ValueError("a mistake"), asyncio.CancelledError(), None])
async def test_a_loop_that_ends_is_counted_and_begun_again(end: BaseException | None) -> None:
    begun = 0
    again = asyncio.Event()

    async def run() -> None:
        nonlocal begun
        begun += 1
        if begun <= 2:
            if end is not None:
                raise end
            return
        again.set()
        await asyncio.Event().wait()

    async with keeping(run) as ended, asyncio.timeout(30):
        await again.wait()
        assert ended == ["a loop", "a loop"]


@pytest.mark.parametrize("swallowed", [True, False])
async def test_a_loop_that_is_cancelled_ends_for_good_however_it_takes_that(swallowed: bool) -> None:
    begun: list[None] = []
    running = asyncio.Event()

    async def run() -> None:
        begun.append(None)
        running.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if not swallowed:
                raise ValueError("a mistake on the way out") from None

    task = asyncio.create_task(kept("a loop", run))
    await running.wait()
    task.cancel()
    async with asyncio.timeout(30):
        await asyncio.wait({task})
    assert task.cancelled()
    assert len(begun) == 1


async def test_the_pause_grows_until_a_loop_has_run_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    enough = asyncio.Event()
    sleep = asyncio.sleep

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 12:
            # As if it had run for long.
            monkeypatch.setattr(loops, "STEADY_S", 0.0)
        if len(pauses) == 13:
            enough.set()
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", pause)

    async def run() -> None:
        raise ValueError("a mistake")

    async with keeping(run), asyncio.timeout(30):
        await enough.wait()
    assert pauses[:12] == [min(0.01 * 2**i, loops.MOST_PAUSE_S) for i in range(12)]
    assert pauses[12] == 0.01


def failing_once(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, loop: str) -> asyncio.Event:
    """Let a method fail once, when that loop calls it; the event tells."""
    whole = getattr(owner, name)
    failed = asyncio.Event()

    def fails(*args: Any) -> Any:
        task = asyncio.current_task()
        if not failed.is_set() and task is not None and task.get_name() == loop:
            failed.set()
            raise ZeroDivisionError(name)
        return whole(*args)

    monkeypatch.setattr(owner, name, fails)
    return failed


def counted(here: Running, loop: str) -> float | None:
    return here.replica.metrics.registry.get_sample_value("tenure_loops_ended_total", {"loop": loop})


async def test_all_loops_are_counted_from_the_start(etcd: Store) -> None:
    async with running(etcd.endpoints, etcd.prefix) as here:
        await here.renew(await here.worker())
        begun = [*here.replica._tasks, *here.replica.etcd.leases._tasks]
        assert {counted(here, task.get_name()) for task in begun} == {0.0}
        assert {task.get_name() for task in begun} == set(loops.LOOPS)


async def test_a_replica_that_stumbles_over_an_event_says_so_and_follows_again(
    etcd: Store, client: Etcd, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with asyncio.timeout(60), running(etcd.endpoints, etcd.prefix) as here:
        await here.until_told(None)
        failing_once(monkeypatch, Mirror, "apply", "follow etcd")
        # Of another's hand, so that only the watch tells it.
        await client.kv.txn(txn([], [put(here.replica.keys.host("h"), b"{}")]), 5.0)
        await here.until_told("ZeroDivisionError")
        await here.until_told(None)
        assert "h" in here.replica.mirror.hosts
        assert counted(here, "follow etcd") == 1


@pytest.mark.parametrize("loop", ["granter", "overseer"])
async def test_a_replica_goes_on_looking_after_a_mistake(
    etcd: Store, monkeypatch: pytest.MonkeyPatch, loop: str
) -> None:
    async with asyncio.timeout(60), running(etcd.endpoints, etcd.prefix, sweep_s=0.1) as here:
        await here.until_told(None)
        rounds = getattr(here.replica, loop)._rounds
        await failing_once(monkeypatch, rounds, "_level", loop).wait()
        looked = asyncio.Event()

        async def look(profile: ProfileName) -> None:
            looked.set()

        monkeypatch.setattr(rounds, "_look", look)
        rounds.note(ProfileName("default", "p"), 0)
        await looked.wait()
        assert counted(here, loop) == 1


async def test_renewals_go_on_after_a_mistake(etcd: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    async with asyncio.timeout(60), running(etcd.endpoints, etcd.prefix) as here:
        worker = await here.worker(ttl_s=30)
        await here.renew(worker)
        failing_once(monkeypatch, here.replica.etcd.connection, "check", "etcd keep-alives")
        assert (await here.renew(worker)).ttl.seconds == 30
        assert counted(here, "etcd keep-alives") == 1
