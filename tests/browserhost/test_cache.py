"""One browser a directory, how many in all, and which one goes."""

from __future__ import annotations

import asyncio

import pytest

from browserhost import directory, floor
from browserhost.inspect.verdict import Inspection, Verdict
from tenure.errors import BrowserCrashed, NoRoom, ProfileCorrupt, ProxyDown
from tests.browserhost.fakes import ALICE, BOB, CAROL, Machine

FLORIDA = "miami__fl"


@pytest.fixture
def small(machine: Machine) -> Machine:
    """Room for two."""
    machine.host.cache.capacity = 2
    return machine


def warm(machine: Machine) -> list[tuple[str, str]]:
    return [(each.profile, each.proxy_key) for each in machine.host.warm()]


async def test_a_warm_browser_is_used_again(machine: Machine) -> None:
    await machine.open(41)
    await machine.profile().close_hold(41)
    again = await machine.open(50, url="http://b.test/")
    assert again.reused
    assert again.timings.keys() >= {"verify", "navigate"}
    assert len(machine.chrome.launched) == 1


async def test_another_proxy_key_closes_the_old_browser_cleanly_first(machine: Machine) -> None:
    """Never two browsers on one profile because the proxy differs."""
    await machine.open(41)
    await machine.profile().close_hold(41)
    reached, go_on = machine.chrome.pause("launch")
    opening = asyncio.create_task(machine.open(50, proxy_key=FLORIDA))
    await reached.wait()
    assert machine.chrome.launched[0].closed
    go_on.set()
    opened = await opening
    assert not opened.reused
    assert str(machine.browser().spec.upstream) == "127.0.0.1:3128"
    assert "inspect" not in opened.timings


async def test_an_unknown_proxy_is_refused_and_the_warm_browser_stays(machine: Machine) -> None:
    await machine.open(41)
    with pytest.raises(ProxyDown):
        await machine.open(50, proxy_key="nowhere__xx")
    assert not machine.browser().closed


async def test_without_reuse_every_session_has_a_browser_of_its_own(machine: Machine) -> None:
    await machine.open(41)
    await machine.profile().close_hold(41)
    fresh = await machine.open(50, reuse=False)
    assert not fresh.reused
    assert machine.chrome.launched[0].closed
    closed = await machine.profile().close_hold(50)
    assert machine.chrome.launched[1].closed
    assert closed.flushed_at is not None
    assert machine.host.cache.taken == 0


async def test_without_reuse_the_same_token_still_gets_the_same_session(machine: Machine) -> None:
    first, second = await machine.open(41, reuse=False), await machine.open(41, reuse=False)
    assert first.session is second.session


async def test_a_warm_browser_that_proves_unusable_is_replaced(machine: Machine) -> None:
    await machine.open(41)
    await machine.profile().close_hold(41)
    machine.chrome.fail["hand_over"] = BrowserCrashed(problem="does not answer")
    again = await machine.open(50)
    assert not again.reused
    assert machine.chrome.launched[0].closed
    assert len(machine.chrome.launched) == 2


async def test_one_that_did_not_end_cleanly_is_inspected_before_it_is_replaced(machine: Machine) -> None:
    await machine.open(41)
    await machine.profile().close_hold(41)
    machine.chrome.fail["hand_over"] = BrowserCrashed(problem="does not answer")
    machine.chrome.dies_clean = False
    with pytest.raises(ProfileCorrupt):
        await machine.open(50)
    assert len(machine.chrome.launched) == 1
    assert machine.locks.suspects == [(ALICE, 50, "PROFILE_UNSOUND")]
    assert machine.host.cache.taken == 0


async def test_an_unusable_warm_browser_is_judged_by_how_its_last_hold_left_it(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unheld and flushed, it may be replaced even though it had to be killed: nothing was done since."""
    await machine.open(41)
    await machine.profile().close_hold(41)
    machine.chrome.fail["hand_over"] = machine.chrome.fail["flush"] = BrowserCrashed(problem="hangs")
    machine.chrome.dies_clean = False
    unclean = Inspection(Verdict.UNCLEAN_CONSISTENT, ("exit_type is Crashed",))
    monkeypatch.setattr(directory, "inspect", lambda *_: unclean)
    again = await machine.open(50)
    assert not again.reused
    assert "nobody held it" in machine.root.profile(ALICE).findings.read_text()


async def test_what_is_said_of_the_new_hold_while_an_unusable_browser_is_closed_stays_on_record(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await machine.open(41)
    await machine.profile().close_hold(41)
    machine.chrome.fail["hand_over"] = BrowserCrashed(problem="hangs")
    machine.chrome.dies_clean = False
    unclean = Inspection(Verdict.UNCLEAN_CONSISTENT, ("exit_type is Crashed",))
    monkeypatch.setattr(directory, "inspect", lambda *_: unclean)
    closing, go_on = machine.chrome.pause("close")
    opening = asyncio.create_task(machine.open(50))
    await closing.wait()
    await machine.profile().slot.record.quarantine(50)
    go_on.set()
    with pytest.raises(ProfileCorrupt):
        await opening
    assert len(machine.chrome.launched) == 1


async def test_when_all_places_are_taken_the_least_recently_used_unheld_one_goes(small: Machine) -> None:
    await small.open(41, ALICE)
    await small.open(42, BOB)
    await small.profile(ALICE).close_hold(41)
    await small.open(43, CAROL)
    assert small.chrome.launched[0].closed
    assert not small.chrome.launched[1].closed
    assert small.host.cache.taken == 2
    assert warm(small) == []
    for token, name in ((42, BOB), (43, CAROL)):
        await small.profile(name).close_hold(token)
    assert warm(small) == [(str(BOB), ""), (str(CAROL), "")]


async def test_a_held_browser_is_never_evicted(small: Machine) -> None:
    await small.open(41, ALICE)
    await small.open(42, BOB)
    with pytest.raises(NoRoom):
        await small.open(43, CAROL)
    assert [browser.closed for browser in small.chrome.launched] == [False, False]


async def test_one_whose_state_the_lock_service_does_not_vouch_for_is_not_evicted(small: Machine) -> None:
    """Rule 18: what has no token needs the profile to be free and at home here."""
    await small.open(41, ALICE)
    await small.open(42, BOB)
    await small.profile(ALICE).close_hold(41)
    await small.profile(BOB).close_hold(42)
    small.locks.busy.add(ALICE)
    await small.open(43, CAROL)
    assert [browser.closed for browser in small.chrome.launched[:2]] == [False, True]


async def test_one_whose_home_is_elsewhere_makes_room_whoever_holds_the_profile(small: Machine) -> None:
    """It was moved away while this host was not asked: nobody drives what is left of it here."""
    await small.open(41, ALICE)
    await small.profile(ALICE).close_hold(41)
    await small.open(42, BOB)
    small.locks.busy.add(ALICE)
    small.locks.homes[ALICE], small.locks.revision = "hosts/other", 60
    await small.open(43, CAROL)
    assert small.chrome.launched[0].closed
    # And no token up to that revision is served here, should it be proven late.
    assert floor.load(small.root.profile(ALICE).floor) == 61


async def test_a_profiles_own_place_is_enough_to_replace_its_browser(small: Machine) -> None:
    await small.open(41, ALICE)
    await small.open(42, BOB)
    await small.open(43, ALICE, proxy_key=FLORIDA)
    assert small.host.cache.taken == 2


async def test_launches_of_different_profiles_run_side_by_side_up_to_the_bound(machine: Machine) -> None:
    _, go_on = machine.chrome.pause("launch")
    opens = [asyncio.create_task(machine.open(41 + i, name)) for i, name in enumerate((ALICE, BOB, CAROL))]
    await machine.chrome.two_at_once.wait()
    go_on.set()
    await asyncio.gather(*opens)
    assert machine.chrome.most_side_by_side == 2


async def test_a_predecessors_browser_that_does_not_end_is_never_joined_by_a_second(machine: Machine) -> None:
    await machine.open(41)
    await machine.profile().close_hold(41)
    orphan = machine.browser()
    await machine.profile()._tasks.aclose()
    machine.host = machine._host()
    await machine.host.start()
    with pytest.raises(ProfileCorrupt, match="LIVE"):
        await machine.open(50)
    assert len(machine.chrome.launched) == 1
    orphan.vanish()
