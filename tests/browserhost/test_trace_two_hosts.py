"""What happens without rules 14 and 20 at a host: PROTOCOL's trace 7, each guard with its mutant.

Two hosts both verify one token, or a home change overtakes a late verify: two Chromes on one account.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from browserhost import fence, lock, starting
from browserhost.fence import Fence, Step
from browserhost.gatekeeper import Gatekeeper
from browserhost.verifier import Proof
from tenure.errors import HostUnreachable, ProfileCorrupt, TenureError, TokenSuperseded
from tests.browserhost.fakes import ALICE, Machine


@pytest.fixture
async def other(machine: Machine, tmp_path: Path) -> AsyncIterator[Machine]:
    """A second host on the same directories, as after a mistake with a mount, and behind the same locks."""
    second = Machine(tmp_path)
    second.locks = machine.locks
    second.host = second._host()
    await second.host.start()
    yield second
    await second.host.aclose()


async def tried(machine: Machine, token: int = 41) -> TenureError | None:
    try:
        await machine.open(token)
    except TenureError as error:
        return error
    return None


# --- only its home serves a profile -------------------------------------------------------


async def moved_meanwhile(machine: Machine) -> TenureError | None:
    """A verify is asked; before the answer is made the profile has got another home."""
    machine.locks.refusals[41] = "WRONG_HOME"
    return await tried(machine)


async def test_a_token_whose_home_is_elsewhere_starts_no_browser(machine: Machine) -> None:
    assert isinstance(await moved_meanwhile(machine), HostUnreachable)
    assert machine.chrome.launched == []


async def test_mutant_a_verdict_that_nobody_heeds_starts_one(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def heedless(self: Gatekeeper, token: int) -> Proof:
        return await self._locks.verify(self._name, token)

    monkeypatch.setattr(Gatekeeper, "verified", heedless)
    assert await moved_meanwhile(machine) is None
    assert len(machine.chrome.launched) == 1, "a Chrome on a profile whose home is another host"


# --- the floor is checked again when the answer comes -------------------------------------


async def overtaken(machine: Machine) -> TenureError | None:
    """A verify of 41 is under way while the profile is handed over to 50, whose browser is open then."""
    machine.locks.current[ALICE] = 41
    machine.locks.answer = asyncio.Event()
    late = asyncio.create_task(tried(machine))
    await machine.locks.asked.wait()
    slow, machine.locks.answer = machine.locks.answer, None
    await machine.open(50)
    machine.locks.current[ALICE] = 50
    slow.set()
    return await late


async def test_an_answer_that_a_later_hold_has_overtaken_lets_nobody_in(machine: Machine) -> None:
    assert isinstance(await overtaken(machine), TokenSuperseded)
    session = machine.profile().session
    assert session is not None
    assert session.token == 50


async def test_mutant_a_floor_that_is_not_checked_again_serves_both(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unchecked(state: Fence, token: int, sent_at: float) -> Step:
        return Step(replace(state, floor=token, sent_at=sent_at), persist=False, cut=0)

    monkeypatch.setattr(fence, "proven", unchecked)
    assert await overtaken(machine) is None
    session = machine.profile().session
    assert session is not None
    assert session.token == 41, "the earlier hold drives the later one's browser"


# --- and beneath all of it, one lock a directory ------------------------------------------


async def test_two_hosts_that_both_got_a_proof_start_one_browser(machine: Machine, other: Machine) -> None:
    assert await tried(machine) is None
    refusal = await tried(other)
    assert isinstance(refusal, ProfileCorrupt)
    assert "LIVE" in refusal.finding
    assert len(machine.chrome.launched + other.chrome.launched) == 1


async def test_mutant_without_the_lock_they_start_two(
    machine: Machine, other: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def granted(path: Path, timeout: float) -> int:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT)

    monkeypatch.setattr(lock, "wait_for_lock", granted)
    await machine.open(41)
    # What its directory looks like is no guard either: the fakes' own is as good as sound.
    monkeypatch.setattr(starting, "before_start", lambda *_: starting.Start.SURE)
    await tried(other)
    assert len(machine.chrome.launched + other.chrome.launched) == 2
