"""What happens without rules 16, 18 and 22 at a host: PROTOCOL's trace 8, and parts of 7 and 9, with mutants.

Each time the lock service has gone on, and a host with a proof that is not old yet must not.
"""

from __future__ import annotations

import asyncio

import pytest

from browserhost import fence as fences
from browserhost import floor
from browserhost.fence import Fence, Step
from browserhost.gatekeeper import Gatekeeper
from browserhost.whereabouts import Whereabouts
from recovery.times import Times
from tenure import token as tokens
from tenure.errors import HoldLost, TenureError
from tenure.fencing import SERVE_S
from tenure.v1.hold_pb2 import PROFILE_STATE_AVAILABLE as AVAILABLE
from tests.browserhost.fakes import ALICE, Machine

# How much faster or slower a machine's clock may run.
DRIFT = 0.02


# --- 8: released, still served by the host until its deadline ----------------------------------


async def after_the_close(machine: Machine) -> TenureError | None:
    """What the old worker's next call hears, right after the release was acknowledged."""
    secret = (await machine.open(41)).session.secret
    await machine.profile().close_hold(41)
    try:
        machine.endpoint.gates[secret]()
    except TenureError as error:
        return error
    return None


async def test_a_close_is_acknowledged_once_nothing_of_the_token_is_served(machine: Machine) -> None:
    assert isinstance(await after_the_close(machine), HoldLost)
    assert floor.load(machine.root.profile(ALICE).floor) == 42


async def test_mutant_a_close_that_leaves_the_floor_serves_on_until_the_proof_is_old(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fences, "ended", lambda fence, _: Step(fence, persist=False, cut=0))
    assert await after_the_close(machine) is None


# --- 7: a home that is retired while a verify is on its way ---------------------------------------


async def retired_meanwhile(machine: Machine, token: int, epoch: int) -> bool:
    """Whether the token may act at what was its home. The fence alone: nothing else stops it."""

    async def drained(*_: object) -> None:
        return

    path = machine.root.profile(ALICE).floor
    path.parent.mkdir(parents=True, exist_ok=True)
    fence = Gatekeeper(ALICE, path, machine.locks, "h-1", drained)
    machine.locks.current[ALICE], machine.locks.answer = token, asyncio.Event()
    admitting = asyncio.create_task(fence.admit(token))
    await machine.locks.asked.wait()
    async with fence.queue:
        await fence.retire(Whereabouts("hosts/h-1", AVAILABLE, 45, epoch=epoch))
    machine.locks.answer.set()
    await asyncio.gather(admitting, return_exceptions=True)
    try:
        fence.gate(token)
    except TenureError:
        return False
    return True


async def test_a_home_that_was_retired_meanwhile_serves_no_late_answer(machine: Machine) -> None:
    assert not await retired_meanwhile(machine, 41, epoch=0)


async def test_nor_one_of_an_epoch_that_was_raised_since_the_last_hold_here(machine: Machine) -> None:
    """The floor is of the old epoch, which says nothing of the tokens of the new one."""
    token = tokens.pack(1, 41)
    assert not await retired_meanwhile(machine, token, epoch=1)
    # Whoever is let in next is above the floor.
    assert floor.load(machine.root.profile(ALICE).floor) == token + 5


async def test_mutant_a_floor_that_is_not_checked_again_serves_at_a_retired_home(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unchecked(fence: Fence, token: int, sent_at: float) -> Step:
        return Step(Fence(token, sent_at), persist=False, cut=0)

    monkeypatch.setattr(fences, "proven", unchecked)
    assert await retired_meanwhile(machine, 41, epoch=0)


async def test_mutant_a_floor_of_the_epoch_before_serves_at_a_retired_home(machine: Machine) -> None:
    assert await retired_meanwhile(machine, tokens.pack(1, 41), epoch=0)


# --- 9: the wait shorter than the deadline ----------------------------------------------------------


def serves_after(wait_s: float) -> bool:
    """Whether a host whose clock is slow serves a token, verified just before recovery began to wait."""
    step = fences.proven(Fence(41, 1000.0), 41, 1000.0)
    assert step is not None
    return fences.check(step.fence, 41, 1000.0 + wait_s * (1 - DRIFT)) is fences.Answer.SERVE


def test_recovery_waits_longer_than_any_host_serves() -> None:
    assert not serves_after(Times().cut_off_s)


def test_mutant_a_wait_of_just_the_deadline_is_shorter_by_a_slow_clock() -> None:
    assert serves_after(SERVE_S)
