"""What happens without rule 17 at a host: PROTOCOL's trace 12, each guard with its mutant.

A rebooted host starts Chrome on a crashed profile that nobody inspected.
"""

from __future__ import annotations

import asyncio

import pytest

from browserhost import directory, starting
from browserhost.incidents import Incidents
from browserhost.inspect.verdict import Inspection, Verdict
from browserhost.starting import Judgement, Start
from tenure.errors import ProfileCorrupt, ProfileQuarantined, TenureError
from tests.browserhost.fakes import ALICE, Machine


@pytest.fixture
def unclean(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What Chrome leaves after a power cut; notes that it was looked at."""
    looks: list[str] = []

    def look(*_: object) -> Inspection:
        looks.append("looked")
        return Inspection(Verdict.UNCLEAN_CONSISTENT, ("exit_type is Crashed",))

    monkeypatch.setattr(directory, "inspect", look)
    return looks


async def rebooted(machine: Machine) -> None:
    """The machine loses power in the middle of a hold, and the host comes up again."""
    await machine.open(41)
    machine.boot_id = "another"
    await machine.killed()
    await machine.host.start()
    while machine.profile()._tasks._running:
        await asyncio.wait(list(machine.profile()._tasks._running))


async def tried(machine: Machine, token: int) -> TenureError | None:
    machine.locks.current[ALICE] = token
    try:
        await machine.ask(token)
    except TenureError as error:
        return error
    return None


# --- the hold that went on does not go on -------------------------------------------------


async def test_a_hold_that_a_reboot_cut_in_two_is_an_incident_and_drives_nothing(
    machine: Machine, unclean: list[str]
) -> None:
    await rebooted(machine)
    assert machine.locks.suspects == [(ALICE, 41, "HOST_RESTARTED")]
    assert isinstance(await tried(machine, 41), ProfileQuarantined)
    assert len(machine.chrome.launched) == 1


async def test_mutant_a_host_that_does_not_recover_reports_nothing(
    machine: Machine, unclean: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(self: Incidents, boot_id: str) -> None:
        return None

    monkeypatch.setattr(Incidents, "recover", nothing)
    await rebooted(machine)
    assert machine.locks.suspects == [], "nobody will ever decide on this hold"
    # And its worker gets as far as the next guard, the look before a start.
    assert isinstance(await tried(machine, 41), ProfileCorrupt)


# --- no launch after an unproven end without inspection -----------------------------------


async def test_a_later_hold_starts_only_after_a_look(machine: Machine, unclean: list[str]) -> None:
    await rebooted(machine)
    assert await tried(machine, 50) is None
    assert unclean == ["looked"]


async def test_mutant_an_end_taken_to_be_clean_starts_chrome_unseen(
    machine: Machine, unclean: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starting, "before_start", lambda *_: Start.SURE)
    await rebooted(machine)
    assert await tried(machine, 50) is None
    assert unclean == [], "a Chrome on a crashed profile that nobody inspected"


# --- an unclean one starts only where a decision freed it ---------------------------------


async def unheard(machine: Machine) -> TenureError | None:
    """The lock service knows of no incident of the hold, so no decision can have freed the profile."""
    machine.locks.knows_incidents = False
    await rebooted(machine)
    return await tried(machine, 50)


async def test_an_unclean_profile_that_no_decision_freed_is_refused(
    machine: Machine, unclean: list[str]
) -> None:
    assert isinstance(await unheard(machine), ProfileCorrupt)
    assert len(machine.chrome.launched) == 1


async def test_mutant_a_look_that_decides_nothing_starts_it(
    machine: Machine, unclean: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starting, "after_inspection", lambda *_: Judgement(start=True))
    assert await unheard(machine) is None
    assert len(machine.chrome.launched) == 2
