"""What happens without rules 14 and 16 at a host: PROTOCOL's trace 10, each guard with its mutant.

A verify's answer arrives after Quarantine raised the floor; a late Quarantine lowers it.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from browserhost import durable, fence, floor
from browserhost.fence import Fence, Step
from browserhost.session import State
from tenure.errors import HoldRevoked, TenureError
from tests.browserhost.fakes import ALICE, Machine


def on_disk(machine: Machine) -> int:
    return floor.load(machine.root.profile(ALICE).floor)


# --- a verify's answer that comes after the quarantine ------------------------------------


async def verified_too_late(machine: Machine) -> TenureError | None:
    """The token was current when it was asked about; it is quarantined before the answer comes."""
    machine.locks.current[ALICE] = 41
    machine.locks.answer = asyncio.Event()
    entering = asyncio.create_task(enter(machine))
    await machine.locks.asked.wait()
    await machine.profile().quarantine(41)
    machine.locks.answer.set()
    return await entering


async def enter(machine: Machine) -> TenureError | None:
    """What asks for a proof, and is not drained with an open."""
    try:
        await machine.profile()._fence.admit(41)
        machine.profile()._fence.gate(41)
    except TenureError as error:
        return error
    return None


async def test_an_answer_that_a_quarantine_has_overtaken_lets_nobody_in(machine: Machine) -> None:
    assert isinstance(await verified_too_late(machine), HoldRevoked)
    assert on_disk(machine) == 42


async def test_mutant_a_floor_that_is_not_checked_again_lets_the_old_worker_in(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unchecked(state: Fence, token: int, sent_at: float) -> Step:
        return Step(Fence(token, sent_at), persist=False, cut=0)

    monkeypatch.setattr(fence, "proven", unchecked)
    assert await verified_too_late(machine) is None


async def test_an_open_is_drained_before_the_acknowledgement(machine: Machine) -> None:
    machine.locks.current[ALICE] = 41
    machine.locks.answer = asyncio.Event()
    opening = asyncio.create_task(machine.ask(41))
    await machine.locks.asked.wait()
    await machine.profile().quarantine(41)
    assert not machine.profile()._underway.busy
    machine.locks.answer.set()
    with pytest.raises(HoldRevoked):
        await opening
    assert machine.chrome.launched == []


async def test_mutant_an_acknowledgement_without_a_drain_is_given_while_chrome_is_driven(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(*_: object) -> None:
        return None

    reached, go_on = machine.chrome.pause("open")
    opening = asyncio.create_task(machine.open(41))
    await reached.wait()
    monkeypatch.setattr(machine.profile()._sitting, "drain", nothing)
    monkeypatch.setattr("browserhost.ending.CAPTURE_S", 0.01)
    await machine.profile().quarantine(41)
    go_on.set()
    await opening
    assert machine.browser().visited == ["http://a.test/"], "navigated after the acknowledgement"


# --- a quarantine that comes late ---------------------------------------------------------


async def quarantined_late(machine: Machine) -> None:
    """41 ended, a decision let 50 in, and recovery's call for 41 arrives now."""
    await machine.open(41)
    await machine.profile().quarantine(41)
    await machine.open(50)
    await machine.profile().quarantine(41)


async def test_a_late_quarantine_touches_no_later_hold(machine: Machine) -> None:
    await quarantined_late(machine)
    session = machine.profile().session
    assert session is not None
    assert (session.token, session.state) == (50, State.OPEN)
    machine.endpoint.gates[session.secret]()
    assert on_disk(machine) == 50


async def test_mutant_a_cut_that_does_not_look_at_the_token_ends_the_later_hold(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def everybody(state: Fence, token: int) -> Step:
        return Step(Fence(max(state.floor, token + 1)), persist=True, cut=max(state.floor, token))

    monkeypatch.setattr(fence, "ended", everybody)
    await quarantined_late(machine)
    session = machine.profile().session
    assert session is not None
    assert session.state is State.CUT, "the later worker is cut off in the middle of its work"


async def test_a_floor_on_disk_never_sinks(machine: Machine) -> None:
    await quarantined_late(machine)
    await machine.killed()
    machine.locks.current[ALICE] = 45
    with pytest.raises(TenureError):
        await machine.ask(45)


async def test_mutant_a_floor_that_is_simply_written_sinks_and_admits_what_was_over(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def simply(path: Path, value: int) -> int:
        durable.write(path, b"%d\n" % value)
        return value

    monkeypatch.setattr(floor, "raise_to", simply)
    await quarantined_late(machine)
    assert on_disk(machine) == 42
    await machine.killed()
    machine.locks.current[ALICE] = 45
    await machine.profile()._fence.admit(45)
