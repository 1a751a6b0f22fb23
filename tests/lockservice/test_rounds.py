"""Looking at profiles when something happened, and on a sweep."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from lockservice.rounds import AT_ONCE, Rounds
from tenure.names import ProfileName

ALICE, BOB, CAROL = (ProfileName("default", name) for name in ("alice", "bob", "carol"))


class Looks:
    """What was looked at, in order; looking at Bob fails."""

    def __init__(self) -> None:
        self.seen: asyncio.Queue[ProfileName] = asyncio.Queue()

    async def __call__(self, profile: ProfileName) -> None:
        self.seen.put_nowait(profile)
        if profile is BOB:
            raise ValueError("cannot be read")


@asynccontextmanager
async def going(level: list[ProfileName], sweep_s: float) -> AsyncIterator[tuple[Rounds, Looks]]:
    looks = Looks()
    rounds = Rounds(looks, lambda: level, sweep_s)
    task = asyncio.create_task(rounds.run())
    try:
        yield rounds, looks
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_what_was_noted_is_looked_at_once_when_it_is_due() -> None:
    async with going([], 3600) as (rounds, looks):
        rounds.note(CAROL, 0.05)
        rounds.note(ALICE, 0.01)
        rounds.note(ALICE, 3600)
        assert [await looks.seen.get() for _ in range(2)] == [ALICE, CAROL]
        rounds.note(ALICE, 0)
        assert await looks.seen.get() == ALICE
        assert looks.seen.empty()


async def test_the_sweep_finds_what_nobody_noted_and_one_that_fails_harms_no_other() -> None:
    async with going([ALICE, BOB, CAROL], 0.01) as (_, looks):
        for _ in range(3):
            assert {await looks.seen.get() for _ in range(3)} == {ALICE, BOB, CAROL}


class Slow:
    """Looks that go on until the test ends them."""

    def __init__(self) -> None:
        self.order: list[ProfileName] = []
        self.gates: asyncio.Queue[asyncio.Event] = asyncio.Queue()

    async def __call__(self, profile: ProfileName) -> None:
        self.order.append(profile)
        gate = asyncio.Event()
        self.gates.put_nowait(gate)
        await gate.wait()


@asynccontextmanager
async def slowly() -> AsyncIterator[tuple[Rounds, Slow]]:
    slow = Slow()
    rounds = Rounds(slow, list[ProfileName], 3600)
    task = asyncio.create_task(rounds.run())
    try:
        yield rounds, slow
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def storm(rounds: Rounds, tenant: str) -> None:
    for i in range(5 * AT_ONCE):
        rounds.note(ProfileName(tenant, f"p{i}"), 0)


async def test_a_storm_in_one_tenant_delays_anothers_look_by_one() -> None:
    async with slowly() as (rounds, slow):
        # So many that they fill all there is.
        for i in range(5 * AT_ONCE):
            rounds.note(ProfileName(f"loud{i % AT_ONCE}", f"p{i}"), 0)
        open_gates = [await slow.gates.get() for _ in range(AT_ONCE)]
        assert slow.gates.empty(), "no more than that at once"
        quiet = ProfileName("quiet", "p")
        rounds.note(quiet, 0)
        # Noted after hundreds of others; one look more of each tenant at most, and it is under way.
        for _ in range(AT_ONCE + 1):
            open_gates.pop(0).set()
            open_gates.append(await slow.gates.get())
        assert quiet in slow.order[AT_ONCE:]


async def test_looks_that_take_long_in_some_tenants_delay_no_others() -> None:
    async with slowly() as (rounds, slow):
        left = AT_ONCE
        for tenant in ("slow", "slower", "slowest"):
            storm(rounds, tenant)
            for _ in range(left // 2):
                await slow.gates.get()
            left -= left // 2
        assert slow.gates.empty(), "each has half of what the others leave"
        quiet = ProfileName("quiet", "p")
        rounds.note(quiet, 0)
        await slow.gates.get()
        # Not one of the others has ended.
        assert slow.order[-1] == quiet


async def test_what_a_tenant_has_under_way_ends_and_its_next_begin() -> None:
    async with slowly() as (rounds, slow):
        storm(rounds, "alone")
        for _ in range(5 * AT_ONCE):
            (await slow.gates.get()).set()
        assert len(set(slow.order)) == 5 * AT_ONCE


async def test_what_happens_during_a_look_is_looked_at_after_it_and_not_beside_it() -> None:
    seen: asyncio.Queue[ProfileName] = asyncio.Queue()
    gate = asyncio.Event()

    async def look(profile: ProfileName) -> None:
        seen.put_nowait(profile)
        await gate.wait()

    rounds = Rounds(look, list[ProfileName], 3600)
    task = asyncio.create_task(rounds.run())
    rounds.note(ALICE, 0)
    assert await seen.get() == ALICE
    rounds.note(ALICE, 0)
    rounds.note(BOB, 0)
    assert await seen.get() == BOB
    gate.set()
    assert await seen.get() == ALICE
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_an_earlier_moment_counts_though_a_later_one_was_noted_first() -> None:
    async with going([], 3600) as (rounds, looks):
        rounds.note(ALICE, 3600)
        rounds.note(ALICE, 0)
        assert await looks.seen.get() == ALICE


async def test_a_long_sweep_lets_others_in_between_and_finds_all_that_matters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # However few they are, each takes too long.
    monkeypatch.setattr("lockservice.rounds.SLICE_S", 0.0)
    many = [ProfileName("default", f"p{i}") for i in range(10)]
    seen: list[ProfileName] = []
    asked: list[ProfileName] = []
    found, at = asyncio.Event(), 0

    async def look(profile: ProfileName) -> None:
        nonlocal at
        seen.append(profile)
        if profile == ALICE:
            at = len(asked)
        if profile == many[-1]:
            found.set()

    def matters(profile: ProfileName) -> bool:
        asked.append(profile)
        if len(asked) == 1:
            rounds.note(ALICE, 0)
        return profile == many[-1]

    rounds = Rounds(look, lambda: many, 0.01, matters)
    task = asyncio.create_task(rounds.run())
    await found.wait()
    assert seen == [ALICE, many[-1]]
    assert at < len(many), "what is due does not wait for the sweep's end"
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
