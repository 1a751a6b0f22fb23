"""Browsers past their host's bounds are closed, as the machine tells."""

from __future__ import annotations

import time
from collections.abc import Mapping

import pytest

from browserhost import sweeper
from browserhost.hang import Signs
from browserhost.limits import Bounds
from browserhost.sweeper import Sweeper
from browserhost.vitals import Vitals
from tests.browserhost.fakes import ALICE, BOB, CAROL, Machine

MB = 1 << 20


class Scale:
    """Weighs browsers as it is told."""

    def __init__(self, machine: Machine, bounds: Bounds, available: int = 1 << 40) -> None:
        self.weights: dict[str, int] = {}
        self.available = available
        machine.host.cache.bounds = bounds
        self.sweeper = Sweeper(
            machine.host.cache,
            lambda: {key: each.pid for key, each in machine.host.live().items()},
            scan=self.scan,
            available=lambda: self.available,
        )

    def scan(self, chromes: Mapping[str, int]) -> dict[str, Vitals]:
        return {key: Vitals(self.weights.get(key, 0), 9, Signs(0, 0, "S")) for key in chromes}


async def released(machine: Machine) -> None:
    """Alice's browser, then Bob's, are warm; Carol's is held."""
    for token, name in ((41, ALICE), (42, BOB), (43, CAROL)):
        await machine.open(token, name)
    await machine.profile(ALICE).close_hold(41)
    await machine.profile(BOB).close_hold(42)


def closed(machine: Machine) -> list[bool]:
    return [browser.closed for browser in machine.chrome.launched]


async def test_the_least_recently_used_goes_when_memory_is_short(machine: Machine) -> None:
    await released(machine)
    scale = Scale(machine, Bounds(8, reserve=500 * MB), available=400 * MB)
    scale.weights = {str(name): 300 * MB for name in (ALICE, BOB, CAROL)}
    await scale.sweeper.sweep()
    assert closed(machine) == [True, False, False]
    assert scale.sweeper.bytes == 900 * MB


async def test_what_all_take_together_is_bounded_and_a_held_one_stays(machine: Machine) -> None:
    await released(machine)
    scale = Scale(machine, Bounds(8, most=300 * MB))
    scale.weights = {str(name): 400 * MB for name in (ALICE, BOB, CAROL)}
    await scale.sweeper.sweep()
    assert closed(machine) == [True, True, False]


async def test_one_that_nobody_used_for_long_is_closed_cleanly(machine: Machine) -> None:
    await released(machine)
    machine.profile(ALICE).slot.last_used = machine.profile(CAROL).slot.last_used = time.monotonic() - 61
    scale = Scale(machine, Bounds(8, idle_s=60))
    await scale.sweeper.sweep()
    assert closed(machine) == [True, False, False]
    assert machine.host.cache.taken == 2


async def test_a_long_hold_counts_as_use_to_its_end(machine: Machine) -> None:
    await machine.open(41)
    machine.profile().slot.last_used = time.monotonic() - 3600
    await machine.profile().close_hold(41)
    await Scale(machine, Bounds(8, idle_s=60)).sweeper.sweep()
    assert not machine.browser().closed


async def test_rule_18_holds_for_the_sweeper_too(machine: Machine) -> None:
    """Not what the host remembers decides but the lock service: this one was granted anew."""
    await released(machine)
    machine.locks.busy.add(ALICE)
    scale = Scale(machine, Bounds(8, most=1))
    scale.weights = {str(ALICE): 2, str(BOB): 2}
    await scale.sweeper.sweep()
    assert closed(machine) == [False, True, False]


async def test_a_host_sweeps_all_the_time(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeper, "SWEEP_S", 0.001)
    await machine.host.aclose()
    machine.host = machine._host()
    machine.host.cache.bounds = Bounds(8, idle_s=60)
    await machine.host.start()
    await machine.open(41, ALICE)
    machine.profile(ALICE).slot.last_used = time.monotonic() - 61
    machine.locks.located.clear()
    await machine.profile(ALICE).close_hold(41)
    machine.profile(ALICE).slot.last_used = time.monotonic() - 61
    await machine.browser().ended
    assert machine.browser().closed
