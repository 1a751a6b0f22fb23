"""A next host and the browsers that live on: which it goes on with, and whom it serves. Without Chrome."""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from browserhost import marker as marks
from browserhost import profile as profiles
from browserhost.adoption import mismatch
from browserhost.browser import LaunchSpec, NotAdopted
from browserhost.keepers import Called
from browserhost.marker import Marker
from browserhost.note import Seat
from browserhost.session import State
from browserhost.witness.ledger import URL, Item
from tenure.errors import BrowserCrashed, DiskFull, HoldRevoked, TenureError, TokenSuperseded
from tests.browserhost.fakes import ALICE, BOB, FakeBrowser, Machine
from tests.fixtures.chrome import until

MARKER = Marker(41, held=True, boot_id="boot", pid=7, start_ticks=8, used=True, driven=41)


@pytest.mark.parametrize(
    ("marker", "why"),
    [
        (MARKER, ""),
        (replace(MARKER, held=False), ""),
        (replace(MARKER, suspected=True), ""),
        (None, "no running browser on record"),
        (replace(MARKER, end=marks.CLEAN), "no running browser on record"),
        (replace(MARKER, end=marks.UNCLEAN), "no running browser on record"),
        (replace(MARKER, boot_id="another"), "before this machine's boot"),
        (replace(MARKER, pid=9), "another process"),
        (replace(MARKER, start_ticks=9), "another process"),
        (replace(MARKER, pid=0, start_ticks=0), "another process"),
        (replace(MARKER, report="BROWSER_LOST"), "gone wrong"),
    ],
)
def test_only_the_browser_that_the_marker_names_is_gone_on_with(marker: Marker | None, why: str) -> None:
    found = mismatch(marker, 7, 8, "boot")
    assert (found == "") == (why == "")
    assert why in found


async def opened(machine: Machine) -> str:
    """An open session; its secret."""
    return (await machine.open(41)).session.secret


async def succeeded(machine: Machine) -> None:
    """The host was killed, and there is a next one."""
    called = await machine.left()
    await machine.host.start(called)


def state(machine: Machine) -> State:
    session = machine.profile().session
    assert session is not None
    return session.state


async def served(machine: Machine) -> None:
    await until(lambda: machine.profile().session is not None and state(machine) is State.OPEN)


async def test_a_hold_that_is_current_is_served_again_under_the_same_secret(machine: Machine) -> None:
    secret = await opened(machine)
    browser, asked = machine.browser(), len(machine.locks.verified)
    await succeeded(machine)
    await served(machine)
    session = machine.profile().session
    assert session is not None
    assert (session.secret, session.token, session.page) == (secret, 41, browser)
    assert machine.locks.verified[asked:] == [41]
    assert (browser.stilled, browser.tainted, browser.runs) == ("", True, True)
    machine.endpoint.gates[secret]()
    assert (await machine.ask(41)).session is session
    await machine.profile().close_hold(41)
    assert (await machine.open(50)).reused
    assert machine.chrome.launched == [browser]
    assert machine.locks.suspects == []


async def test_nobody_is_served_before_the_hold_is_proven_anew(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await opened(machine)
    called = await machine.left()
    machine.locks.away = True
    machine.locks.asked.clear()
    monkeypatch.setattr("browserhost.adoption.PROOF_S", 0.0)
    await machine.host.start(called)
    await machine.locks.asked.wait()
    await until(lambda: machine.browser().stilled == "for now")
    assert state(machine) is State.CUT
    assert machine.endpoint.gates == {}
    machine.locks.away = False
    await served(machine)
    assert machine.browser().stilled == ""


@pytest.mark.parametrize("reason", ["TOKEN_SUPERSEDED", "LEASE_EXPIRED", "PROFILE_QUARANTINED"])
async def test_a_hold_that_ended_meanwhile_is_served_to_nobody_and_its_browser_stays(
    machine: Machine, reason: str
) -> None:
    await opened(machine)
    browser, called = machine.browser(), await machine.left()
    machine.locks.refusals[41] = reason
    asked = len(machine.locks.verified)
    await machine.host.start(called)
    await until(lambda: len(machine.locks.verified) > asked)
    await until(lambda: not machine.profile()._tasks._running)
    assert machine.endpoint.gates == {}
    assert state(machine) is State.CUT
    assert browser.runs
    assert browser.stilled
    # The lock service has made an incident of it, or will: this host has nothing to add.
    assert machine.locks.suspects == []
    await machine.profile().quarantine(41)
    with pytest.raises(HoldRevoked):
        await machine.ask(41)


async def test_what_was_done_while_no_host_was_there_is_not_known(machine: Machine) -> None:
    await opened(machine)
    await succeeded(machine)
    await served(machine)
    await machine.profile().quarantine(41)
    found, _ = await machine.profile().examiner.examine(41)
    assert not found.HasField("account_touched")
    assert not found.HasField("form_in_flight")
    assert any("did not see the whole session" in each for each in found.findings)


async def test_that_is_not_known_either_when_the_session_is_opened_once_more(machine: Machine) -> None:
    await opened(machine)
    await machine.profile().end_session(41)
    called = await machine.left()
    # The kill came before the first record was on disk.
    shutil.rmtree(machine.root.profile(ALICE).evidence_dir, ignore_errors=True)
    await machine.host.start(called)
    await machine.ask(41, url="http://b.test/")
    found, _ = await machine.profile().examiner.examine(41)
    assert not found.HasField("account_touched")


async def test_a_session_that_was_closed_stays_closed(machine: Machine) -> None:
    await opened(machine)
    await machine.profile().end_session(41)
    await succeeded(machine)
    await until(lambda: not machine.profile()._tasks._running)
    assert machine.profile().session is None
    assert machine.endpoint.gates == {}
    assert machine.browser().stilled == "for good"
    assert (await machine.ask(41)).reused


async def test_a_released_profiles_browser_is_warm_for_the_next_hold(machine: Machine) -> None:
    await opened(machine)
    await machine.profile().close_hold(41)
    asked = len(machine.locks.verified)
    await succeeded(machine)
    assert machine.profile().warm
    assert machine.host.cache.taken == 1
    assert machine.locks.verified[asked:] == []
    assert machine.browser().stilled == "for good"
    assert (await machine.open(50)).reused


async def test_an_incidents_browser_stays_for_those_who_look_into_it(machine: Machine) -> None:
    await opened(machine)
    await machine.profile().quarantine(41)
    asked = len(machine.locks.verified)
    # The kill came before its keeper was told that the session is over.
    machine.browser().remember(seat=Seat(41, {"main": "s0", "further": {}}, 0.0, ""))
    await succeeded(machine)
    assert machine.browser().stilled == "for good"
    found = await machine.profile().quarantine(41)
    assert found.browser_alive
    assert machine.endpoint.gates == {}
    assert machine.locks.verified[asked:] == []
    with pytest.raises(HoldRevoked):
        await machine.ask(41)


async def test_a_close_that_the_last_host_began_is_gone_on_with(machine: Machine) -> None:
    """The floor is up, the marker still says held."""
    await opened(machine)
    machine.chrome.hold["flush"] = asyncio.Event()
    machine.chrome.reached["flush"] = asyncio.Event()
    closing = asyncio.create_task(machine.profile().close_hold(41))
    await machine.chrome.reached["flush"].wait()
    closing.cancel()
    called = await machine.left()
    machine.chrome.hold.clear()
    await machine.host.start(called)
    with pytest.raises(TokenSuperseded):
        await machine.ask(41)
    assert machine.endpoint.gates == {}
    closed = await machine.profile().close_hold(41)
    assert closed.used
    assert (await machine.open(50)).reused


async def test_a_browser_that_is_not_the_markers_ends_and_its_hold_becomes_an_incident(
    machine: Machine,
) -> None:
    await opened(machine)
    browser, (called,) = machine.browser(), await machine.left()
    called.reports = ("keeper 1 1", "xvfb 2 1 7", "chrome 999999 5")
    await machine.host.start([called])
    assert browser.was_let_go()
    await until(lambda: machine.locks.suspects)
    assert machine.locks.suspects == [(ALICE, 41, "HOST_RESTARTED")]
    assert machine.endpoint.gates == {}


async def test_a_browser_of_another_boot_is_not_gone_on_with(machine: Machine) -> None:
    await opened(machine)
    browser = machine.browser()
    machine.boot_id = "after the boot"
    await succeeded(machine)
    assert browser.was_let_go()
    await until(lambda: machine.locks.suspects)


async def test_a_browser_without_its_profiles_lock_is_not_gone_on_with(machine: Machine) -> None:
    await opened(machine)
    browser, called = machine.browser(), await machine.left()
    os.close(browser._lock)
    await machine.host.start(called)
    browser._lock = os.open("/dev/null", os.O_RDONLY)
    assert browser.was_let_go()
    assert not machine.is_locked()
    await until(lambda: machine.locks.suspects)


async def test_a_browser_that_does_not_answer_ends_and_its_hold_becomes_an_incident(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await opened(machine)
    called = await machine.left()

    async def refuse(step: str) -> None:
        if step == "adopt":
            raise NotAdopted("it does not answer")

    monkeypatch.setattr(machine.chrome, "at", refuse)
    await machine.host.start(called)
    await until(lambda: machine.locks.suspects)
    assert machine.profile().slot.browser is None
    assert machine.host.cache.taken == 0
    assert machine.browser().was_let_go()


@pytest.mark.parametrize("error", [DiskFull(path="/tmp"), BrowserCrashed(problem="no folders")])
async def test_a_browser_that_gets_no_folders_ends_and_its_hold_becomes_an_incident(
    machine: Machine, error: TenureError
) -> None:
    await opened(machine)
    called = await machine.left()
    machine.chrome.fail["begin_files"] = error
    await machine.host.start(called)
    await until(lambda: machine.locks.suspects)
    assert machine.locks.suspects == [(ALICE, 41, "HOST_RESTARTED")]
    assert machine.browser().closed
    assert machine.profile().slot.browser is None
    assert machine.host.cache.taken == 0
    assert not machine.is_locked()


async def test_what_nobody_foresaw_of_one_browser_keeps_no_other_from_being_served(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await machine.open(42, BOB)
    await opened(machine)
    alices, adopt = machine.browser().spec.profile_dir, machine.chrome.adopt

    async def break_one(spec: LaunchSpec, *rest: Any, **how: Any) -> FakeBrowser:
        if spec.profile_dir == alices:
            raise KeyError("sessionId")
        return await adopt(spec, *rest, **how)

    # The next host has it from here on.
    monkeypatch.setattr(machine.chrome, "adopt", break_one)
    called = await machine.left()
    await machine.host.start(called)
    await until(lambda: machine.locks.suspects)
    assert machine.locks.suspects == [(ALICE, 41, "HOST_RESTARTED")]
    assert machine.browser().was_let_go()
    assert machine.host.cache.taken == 1
    assert machine.profile(BOB).slot.browser is machine.chrome.launched[0]


async def test_whatever_goes_wrong_with_a_session_that_was_open_its_browser_ends(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await opened(machine)
    called = await machine.left()

    def refuse(*_: object) -> None:
        raise KeyError("secret")

    monkeypatch.setattr(machine.profile().adoption._sitting, "adopt", refuse)
    await machine.host.start(called)
    await until(lambda: machine.locks.suspects)
    assert machine.browser().closed
    assert machine.host.cache.taken == 0


async def test_a_browser_whose_upstream_is_another_by_now_is_not_gone_on_with(machine: Machine) -> None:
    await machine.open(41, proxy_key="miami__fl")
    browser, (called,) = machine.browser(), await machine.left()
    called.note = replace(called.note, fingerprint="of another upstream")
    await machine.host.start([called])
    assert browser.was_let_go()
    await until(lambda: machine.locks.suspects)


async def test_a_browser_of_a_directory_that_is_not_ours_ends(machine: Machine) -> None:
    await opened(machine)
    browser, (called,) = machine.browser(), await machine.left()
    called.note = replace(called.note, profile_dir="/elsewhere")
    await machine.host.start([called])
    assert browser.was_let_go()


async def test_of_two_that_say_to_be_one_profiles_neither_is_told_apart_by_chance(machine: Machine) -> None:
    await opened(machine)
    (called,) = await machine.left()
    other = machine.browser().called()
    other.reports = ("keeper 1 1", "xvfb 2 1 7", "chrome 999999 5")
    await machine.host.start([other, called])
    await served(machine)


async def test_without_keepers_a_restart_is_as_ever(machine: Machine) -> None:
    await opened(machine)
    await machine.killed()
    await machine.host.start()
    await until(lambda: machine.locks.suspects)
    assert machine.locks.suspects == [(ALICE, 41, "HOST_RESTARTED")]


async def test_each_of_many_browsers_goes_on_with_its_own_profile(machine: Machine) -> None:
    await machine.open(41)
    await machine.open(42, BOB)
    called: list[Called] = await machine.left()
    await machine.host.start(called[::-1])
    for name, browser in zip((ALICE, BOB), machine.chrome.launched, strict=True):
        assert machine.profile(name).slot.browser is browser


async def test_a_host_that_stops_keeps_its_browsers_for_nobody(machine: Machine) -> None:
    await opened(machine)
    await machine.host.aclose()
    assert machine.browser().kept_for_nobody


async def test_a_host_that_hands_over_lets_what_is_under_way_come_to_its_end(machine: Machine) -> None:
    await opened(machine)
    begun, finish = asyncio.Event(), asyncio.Event()

    async def acts() -> None:
        async with machine.profile().using(41):
            begun.set()
            await finish.wait()

    acting = asyncio.create_task(acts())
    await begun.wait()
    leaving = asyncio.create_task(machine.profile().leave())
    await until(lambda: machine.browser().flushed_at is not None)
    for _ in range(20):
        await asyncio.sleep(0)
    assert not leaving.done()
    finish.set()
    await asyncio.wait_for(leaving, 30)
    assert acting.done()


async def test_a_host_that_hands_over_proves_its_holds_once_more_for_what_their_clients_are_still_told(
    machine: Machine,
) -> None:
    await opened(machine)
    asked = len(machine.locks.verified)
    await machine.host.leave()
    assert 41 in machine.locks.verified[asked:]
    await succeeded(machine)
    await served(machine)


async def test_a_host_that_hands_over_proves_its_holds_before_it_waits_for_what_is_under_way(
    machine: Machine,
) -> None:
    """A proof of some age would run out meanwhile, and their clients be cut off."""
    await opened(machine)
    asked = len(machine.locks.verified)
    flushing, flushes = machine.chrome.pause("flush")
    leaving = asyncio.create_task(machine.host.leave())
    await asyncio.wait_for(flushing.wait(), 30)
    assert 41 in machine.locks.verified[asked:]
    flushes.set()
    await asyncio.wait_for(leaving, 30)
    await succeeded(machine)


async def test_a_proof_is_had_without_the_end_of_what_is_being_recorded(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clients go on while a host hands over, and so do steps."""
    await opened(machine)
    recording = machine.profile().witness.recording(41)
    await recording.on_disk()
    writing, disk, store = asyncio.Event(), threading.Event(), recording._store
    noted = partial(asyncio.get_running_loop().call_soon_threadsafe, writing.set)

    def slow(entries: list[Any]) -> list[Item | None]:
        noted()
        disk.wait(30)
        return store(entries)

    monkeypatch.setattr(recording, "_store", slow)
    written = recording.say(URL, "http://a.test/1")
    await asyncio.wait_for(writing.wait(), 30)
    behind = recording.say(URL, "http://a.test/2")
    await asyncio.wait_for(machine.profile().prove(), 30)
    disk.set()
    items = [await asyncio.wait_for(each, 30) for each in (written, behind)]
    assert [item.text for item in items if item is not None] == ["http://a.test/1", "http://a.test/2"]


async def test_what_clients_did_until_they_were_left_to_the_next_host_is_on_disk(machine: Machine) -> None:
    await opened(machine)
    witness = machine.profile().witness
    machine.endpoint.on_hand_over = partial(witness.recording(41).committed, "http://a.test/last", own=False)
    await machine.host.hand_over("HOST_STOPPING")
    seen = witness.recording(41).folder.load().items.values()
    assert "http://a.test/last" in [item.text for item in seen]
    await succeeded(machine)


async def test_a_lock_service_that_is_away_holds_no_host_up_that_hands_over(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profiles, "PROVE_S", 0.05)
    await opened(machine)
    machine.locks.answer = asyncio.Event()
    await asyncio.wait_for(machine.host.leave(), 30)
    machine.locks.answer = None
    await succeeded(machine)
    await served(machine)


async def test_clients_that_are_not_back_yet_end_with_a_hold_that_is_not_current(machine: Machine) -> None:
    await opened(machine)
    browser, called = machine.browser(), await machine.left()
    machine.locks.refusals[41] = "TOKEN_SUPERSEDED"
    await machine.host.start(called)
    await until(lambda: browser.put_out_for)
    assert browser.put_out_for == "TOKEN_SUPERSEDED"
    assert machine.endpoint.expected == [browser]
