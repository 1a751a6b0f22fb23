"""What happens without rule 15 at a host: PROTOCOL's trace 9, each guard with its mutant.

The deadline counted from the reply, or not asked for at dispatch: executed after QUARANTINED. Whoever
quarantines without an acknowledgement waits, from its own sight of the suspicion, for longer than SERVE_S.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from browserhost import admission, gatekeeper
from browserhost import fence as fences
from browserhost.fence import Answer, Fence, Step
from tenure.errors import StoreUnavailable, TenureError
from tenure.fencing import SERVE_S
from tests.browserhost.fakes import ALICE, Machine

SLOW_S = SERVE_S - 1
"""How long the lock service's answer is on its way."""


class Clock:
    """CLOCK_BOOTTIME in the test's hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (admission, gatekeeper):
        monkeypatch.setattr(module, "boottime", clock)
    machine.locks.now = clock
    return clock


async def acts_after_quarantine(machine: Machine, clock: Clock) -> TenureError | None:
    """A verify whose answer took long, then silence; the hold becomes suspect right after it was asked.

    Recovery waits SERVE_S and a bit from there. Whether the worker's frame is refused then.
    """
    machine.locks.current[ALICE] = 41
    machine.locks.answer = asyncio.Event()
    opening = asyncio.create_task(machine.ask(41))
    await machine.locks.asked.wait()
    suspected = clock.now
    clock.now += SLOW_S
    machine.locks.answer.set()
    opened = await opening
    machine.locks.away = True
    clock.now = suspected + SERVE_S * 1.02 + 0.5
    try:
        machine.endpoint.gates[opened.session.secret]()
    except TenureError as error:
        return error
    return None


async def test_nothing_is_executed_once_recovery_has_waited_for_it(machine: Machine, clock: Clock) -> None:
    assert isinstance(await acts_after_quarantine(machine, clock), StoreUnavailable)


async def test_mutant_a_deadline_counted_from_the_reply_executes_after_quarantined(
    machine: Machine, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    proven = fences.proven

    def from_the_reply(state: Fence, token: int, sent_at: float) -> Step | None:
        return proven(state, token, clock.now)

    monkeypatch.setattr(fences, "proven", from_the_reply)
    assert await acts_after_quarantine(machine, clock) is None


async def test_mutant_a_deadline_not_asked_for_at_dispatch_executes_after_quarantined(
    machine: Machine, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def floor_alone(state: Fence, token: int, now: float) -> Answer:
        return Answer.SUPERSEDED if token < state.floor else Answer.SERVE

    machine.locks.current[ALICE] = 41
    await machine.ask(41)
    monkeypatch.setattr(fences, "check", floor_alone)
    clock.now += SERVE_S * 1.02 + 0.5
    machine.endpoint.gates["s0"]()


# --- an older answer that comes late ------------------------------------------------------


async def refused_after(machine: Machine, clock: Clock, renew: Callable[[], Awaitable[None]]) -> bool:
    await machine.open(41)
    await renew()
    clock.now += SERVE_S / 2 + 0.1
    try:
        machine.endpoint.gates["s0"]()
    except StoreUnavailable:
        return True
    return False


async def test_an_overtaken_answer_shortens_no_newer_proof(machine: Machine, clock: Clock) -> None:
    async def out_of_order() -> None:
        clock.now += SERVE_S / 2
        state = machine.profile()._fence
        newer = fences.proven(state.state, 41, clock.now)
        assert newer is not None
        older = fences.proven(newer.fence, 41, clock.now - SERVE_S / 2)
        assert older is not None
        state.state = older.fence

    assert not await refused_after(machine, clock, out_of_order)


async def test_mutant_an_answer_taken_as_it_comes_cuts_a_hold_that_is_proven(
    machine: Machine, clock: Clock
) -> None:
    async def as_it_comes() -> None:
        clock.now += SERVE_S / 2
        state = machine.profile()._fence
        state.state = replace(state.state, sent_at=clock.now - SERVE_S / 2)

    assert await refused_after(machine, clock, as_it_comes)
