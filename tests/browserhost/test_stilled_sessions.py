"""What runs in a session's pages ends with its token, and whose pages are stilled, woken, and made ready."""

from __future__ import annotations

import asyncio

from browserhost.session import State
from tenure.errors import BrowserCrashed
from tests.browserhost.fakes import Machine


async def test_a_hold_that_is_closed_leaves_its_pages_still_and_a_tab_made_ready(machine: Machine) -> None:
    await machine.open(41)
    prepared = machine.chrome.reached["prepare"] = asyncio.Event()
    await machine.profile().close_hold(41)
    assert machine.browser().stilled == "for good"
    assert not machine.browser().loading
    await asyncio.wait_for(prepared.wait(), 30)


async def test_a_browser_that_cannot_be_made_ready_is_closed_before_the_next_hold(machine: Machine) -> None:
    await machine.open(41)
    machine.chrome.fail["prepare"] = BrowserCrashed(problem="does not answer")
    prepared = machine.chrome.reached["prepare"] = asyncio.Event()
    await machine.profile().close_hold(41)
    await asyncio.wait_for(prepared.wait(), 30)
    opened = await machine.open(42)
    assert machine.chrome.launched[0].closed
    assert not opened.reused
    assert "hand_over" not in machine.chrome.reached


async def test_a_quarantined_hold_leaves_its_pages_as_they_stand_and_still(machine: Machine) -> None:
    await machine.open(41)
    await machine.profile().quarantine(41)
    assert machine.browser().stilled == "for good"
    assert "prepare" not in machine.chrome.reached


async def test_a_later_hold_stills_the_pages_of_the_one_before(machine: Machine) -> None:
    await machine.open(41)
    begun, go_on = machine.chrome.pause("hand_over")
    opening = asyncio.create_task(machine.open(42))
    await begun.wait()
    assert machine.browser().stilled == "for good"
    go_on.set()
    await opening


async def test_a_session_cut_for_want_of_a_proof_loses_nothing_and_is_woken(machine: Machine) -> None:
    await machine.open(41)
    session = machine.profile().session
    assert session is not None
    await machine.profile()._sitting.cut(session, State.CUT, "STORE_UNAVAILABLE")
    assert (machine.browser().stilled, machine.browser().loading) == ("for now", True)
    assert (await machine.open(41)).session is session
    assert machine.browser().stilled == ""


async def test_a_client_that_asks_for_the_browsers_end_leaves_its_pages_still(machine: Machine) -> None:
    await machine.open(41)
    stilled = machine.chrome.reached["still"] = asyncio.Event()
    machine.endpoint.on_ends["s0"]()
    await asyncio.wait_for(stilled.wait(), 30)


async def test_a_late_quarantine_does_not_still_the_page_that_the_next_hold_is_sent_to(
    machine: Machine,
) -> None:
    await machine.open(41)
    await machine.profile().close_hold(41)
    begun, go_on = machine.chrome.pause("hand_over")
    opening = asyncio.create_task(machine.open(42))
    await begun.wait()
    machine.browser().stilled = ""
    await machine.profile().quarantine(41)
    assert machine.browser().stilled == ""
    go_on.set()
    assert (await opening).session.page is not None


async def test_calls_that_may_leave_something_taint_the_pages_and_others_do_not(machine: Machine) -> None:
    await machine.open(41)
    for harmless in ("Page.captureScreenshot", "Input.dispatchMouseEvent", "Page.navigate"):
        machine.endpoint.on_calls["s0"](harmless)
    assert not machine.browser().tainted
    machine.endpoint.on_calls["s0"]("Runtime.evaluate")
    assert machine.browser().tainted


async def test_a_browser_in_which_a_client_did_what_outlasts_it_is_not_handed_on(machine: Machine) -> None:
    await machine.open(41)
    machine.endpoint.on_calls["s0"]("Runtime.evaluate")
    assert not machine.browser().spent
    machine.endpoint.on_calls["s0"]("Security.setIgnoreCertificateErrors")
    await machine.profile().close_hold(41)
    assert not (await machine.open(42)).reused
    assert len(machine.chrome.launched) == 2


async def test_a_warm_browser_is_looked_at_while_the_token_is_proven_and_driven_only_after(
    machine: Machine,
) -> None:
    await machine.open(41)
    await machine.profile().close_hold(41)
    machine.locks.answer = asyncio.Event()
    machine.locks.asked.clear()
    before = machine.browser().looks
    opening = asyncio.create_task(machine.open(42))
    await machine.locks.asked.wait()
    assert machine.browser().looks == before + 1
    assert "hand_over" not in machine.chrome.reached
    machine.locks.answer.set()
    await opening
    assert "hand_over" in machine.chrome.reached


async def test_a_browser_that_somebody_has_is_not_looked_at(machine: Machine) -> None:
    await machine.open(41)
    await machine.open(42)
    assert machine.browser().looks == 0
