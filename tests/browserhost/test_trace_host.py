"""What happens at a host without rules 13 to 17: PROTOCOL's traces 7 to 10 and 12, each with its mutant.

A mutant replaces the one pure decision that the rule is, and everything around it stays real.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from browserhost import fence as fences
from browserhost import gatekeeper, slot, starting
from browserhost.fence import Fence, Step
from browserhost.inspect.verdict import Inspection, Verdict
from browserhost.starting import Judgement, Start
from recovery.times import Times
from tenure.errors import (
    HoldLost,
    HostUnreachable,
    ProfileCorrupt,
    StoreUnavailable,
    TenureError,
    TokenSuperseded,
)
from tenure.fencing import SERVE_S
from tests.browserhost.fakes import ALICE, Machine
from tests.browserhost.test_profile import Clock, clock, on_disk, settled

__all__ = ["clock"]


def serves(machine: Machine, secret: str) -> bool:
    """Whether the next call of a session would be dispatched."""
    try:
        machine.endpoint.gates[secret]()
    except TenureError:
        return False
    return True


def guard(machine: Machine) -> gatekeeper.Gatekeeper:
    """The fence alone, so that nothing but it stops anybody."""

    async def drained(*_: object) -> None:
        return

    paths = machine.root.profile(ALICE)
    paths.floor.parent.mkdir(parents=True, exist_ok=True)
    return gatekeeper.Gatekeeper(ALICE, paths.floor, machine.locks, "h-1", drained)


def may_act(fence: gatekeeper.Gatekeeper, token: int) -> bool:
    try:
        fence.gate(token)
    except TenureError:
        return False
    return True


def unchecked(fence: Fence, token: int, sent_at: float) -> Step:
    """The mutant of rule 14: the floor is not looked at again when the answer comes."""
    return Step(Fence(token, sent_at), persist=False, cut=0)


# --- 7: two hosts both verify one token; a home change overtakes a late verify ---------------


async def opened_away_from_home(machine: Machine) -> None:
    machine.locks.refusals[41] = "WRONG_HOME"
    await machine.open(41)


async def test_7_a_host_that_is_not_the_home_starts_no_chrome(machine: Machine) -> None:
    with pytest.raises(HostUnreachable):
        await opened_away_from_home(machine)
    assert machine.chrome.launched == []


async def test_7_mutant_that_does_not_heed_the_answer_starts_a_second_chrome(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def heedless(self: gatekeeper.Gatekeeper, token: int) -> object:
        return await self._locks.verify(self._name, token)

    monkeypatch.setattr(gatekeeper.Gatekeeper, "verified", heedless)
    await opened_away_from_home(machine)
    assert len(machine.chrome.launched) == 1


@pytest.mark.parametrize("mutant", [False, True])
async def test_7_a_home_that_was_retired_meanwhile_serves_no_late_answer(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, mutant: bool
) -> None:
    if mutant:
        monkeypatch.setattr(fences, "proven", unchecked)
    fence = guard(machine)
    machine.locks.current[ALICE], machine.locks.answer = 41, asyncio.Event()
    admitting = asyncio.create_task(fence.admit(41))
    await machine.locks.asked.wait()
    async with fence.queue:
        await fence.retire(45)
    machine.locks.answer.set()
    await asyncio.gather(admitting, return_exceptions=True)
    assert may_act(fence, 41) is mutant


# --- 8: released, still served by the host until its deadline ----------------------------------


async def closed_with_a_fresh_proof(machine: Machine) -> str:
    secret = (await machine.open(41)).session.secret
    assert serves(machine, secret)
    await machine.profile().close_hold(41)
    return secret


async def test_8_a_close_is_acknowledged_once_nothing_of_the_token_is_served(machine: Machine) -> None:
    secret = await closed_with_a_fresh_proof(machine)
    with pytest.raises(HoldLost):
        machine.endpoint.gates[secret]()
    assert on_disk(machine)[0] == 42


async def test_8_mutant_that_leaves_the_floor_serves_on_until_its_proof_is_old(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fences, "ended", lambda fence, _: Step(fence, persist=False, cut=0))
    assert serves(machine, await closed_with_a_fresh_proof(machine))


# --- 9: the deadline counted from the reply: executed after QUARANTINED -------------------------


async def answered_late(machine: Machine, clock: Clock) -> tuple[str, float]:
    """A verify that is answered 5 s after it was sent; returns when recovery may call it cut off.

    The hold becomes suspect right after the lock service looked, so that is when recovery begins to wait.
    """
    machine.locks.answer = asyncio.Event()
    opening = asyncio.create_task(machine.open(41))
    await machine.locks.asked.wait()
    quarantined_at = clock.now + Times().cut_off_s
    clock.now += 5
    machine.locks.answer.set()
    secret = (await opening).session.secret
    assert serves(machine, secret)
    machine.locks.away = True
    return secret, quarantined_at


async def test_9_nothing_is_executed_once_recovery_has_waited(machine: Machine, clock: Clock) -> None:
    secret, quarantined_at = await answered_late(machine, clock)
    clock.now = quarantined_at
    with pytest.raises(StoreUnavailable):
        machine.endpoint.gates[secret]()


async def test_9_mutant_that_counts_from_the_answer_executes_after_the_quarantine(
    machine: Machine, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = fences.proven
    monkeypatch.setattr(fences, "proven", lambda fence, token, _: real(fence, token, clock.now))
    secret, quarantined_at = await answered_late(machine, clock)
    clock.now = quarantined_at
    assert serves(machine, secret)


def test_9_recovery_waits_longer_than_any_host_serves_though_its_clock_be_slow() -> None:
    assert Times().cut_off_s > SERVE_S * 1.02


# --- 10: a verify answer after the quarantine; a late quarantine --------------------------------


@pytest.mark.parametrize("mutant", [False, True])
async def test_10_a_verify_answer_that_a_quarantine_overtook_serves_nobody(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, mutant: bool
) -> None:
    if mutant:
        monkeypatch.setattr(fences, "proven", unchecked)
    fence = guard(machine)
    machine.locks.current[ALICE], machine.locks.answer = 41, asyncio.Event()
    admitting = asyncio.create_task(fence.admit(41))
    await machine.locks.asked.wait()
    async with fence.queue:
        assert await fence.quarantine(41, TokenSuperseded(profile="alice", token=41)) == 42
    machine.locks.answer.set()
    await asyncio.gather(admitting, return_exceptions=True)
    assert may_act(fence, 41) is mutant


@pytest.mark.parametrize("mutant", [False, True])
async def test_10_a_late_quarantine_leaves_a_later_hold_alone(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, mutant: bool
) -> None:
    if mutant:
        # The floor is what the last one said, not the highest.
        monkeypatch.setattr(fences, "ended", lambda _, token: Step(Fence(token + 1), persist=False, cut=99))
    fence = guard(machine)
    machine.locks.current[ALICE] = 47
    await fence.admit(47)
    async with fence.queue:
        await fence.quarantine(41, TokenSuperseded(profile="alice", token=41))
    assert may_act(fence, 47) is not mutant
    assert (fence.state.floor < 47) is mutant


# --- 12: a rebooted host starts Chrome on a crashed profile that nobody inspected ----------------


async def opened_after_a_crash(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The host is killed under hold 41; recovery frees the profile; 47 opens it."""
    await machine.open(41)
    await machine.killed()
    await machine.host.start()
    await settled(machine)
    damage = Inspection(Verdict.CORRUPT, ("Default/Cookies is malformed",))
    monkeypatch.setattr(slot, "inspect", lambda *_: damage)
    await machine.open(47)


async def test_12_nothing_starts_on_a_crashed_profile_that_is_not_sound(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ProfileCorrupt, match="Cookies is malformed"):
        await opened_after_a_crash(machine, monkeypatch)
    assert machine.locks.suspects[0] == (ALICE, 41, "HOST_RESTARTED")
    assert len(machine.chrome.launched) == 1


def blind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "before_start", lambda *_: Start.SURE)


def credulous(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "after_inspection", lambda *_: Judgement(start=True))


@pytest.mark.parametrize("mutant", [blind, credulous])
async def test_12_mutant_starts_chrome_which_razes_what_was_left(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, mutant: Callable[[pytest.MonkeyPatch], None]
) -> None:
    mutant(monkeypatch)
    await opened_after_a_crash(machine, monkeypatch)
    assert len(machine.chrome.launched) == 2
