"""A profile under its fence: who is served, what a close promises, what a lost browser means."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from browserhost import admission, floor, gatekeeper, incidents, marker
from browserhost import fence as fences
from browserhost.marker import Marker
from browserhost.session import State
from tenure.errors import (
    BrowserCrashed,
    DiskFull,
    HostUnreachable,
    LeaseExpired,
    NavigationFailed,
    ProfileCorrupt,
    ProfileMissing,
    ProfileQuarantined,
    StoreUnavailable,
    TokenSuperseded,
)
from tenure.fencing import SERVE_S
from tests.browserhost.fakes import ALICE, BOB, Machine


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


def on_disk(machine: Machine) -> tuple[int, Marker | None]:
    paths = machine.root.profile(ALICE)
    return floor.load(paths.floor), marker.load(paths.marker)


async def settled(machine: Machine) -> None:
    """Everything that runs in the background has come to its end."""
    while machine.profile()._tasks._running:
        await asyncio.wait(machine.profile()._tasks._running)


# --- who is served ------------------------------------------------------------------------


async def test_an_open_puts_floor_and_marker_on_disk_before_chrome_starts(machine: Machine) -> None:
    reached, go_on = machine.chrome.pause("launch")
    opening = asyncio.create_task(machine.open(41))
    await reached.wait()
    assert on_disk(machine) == (41, Marker(41, held=True, boot_id="boot", driven=41))
    go_on.set()
    opened = await opening
    assert not opened.reused
    found = on_disk(machine)[1]
    assert found is not None
    assert found.used
    assert found.pid == machine.browser().pid


async def test_the_same_token_gets_the_same_session_and_navigates_once(machine: Machine) -> None:
    first, second = await asyncio.gather(machine.open(41), machine.open(41))
    third = await machine.open(41)
    assert first.session is second.session is third.session
    assert machine.browser().visited == ["http://a.test/"]
    assert len(machine.chrome.launched) == 1


async def test_a_token_that_is_not_current_is_refused_and_changes_nothing(machine: Machine) -> None:
    machine.locks.current[ALICE] = 41
    with pytest.raises(TokenSuperseded):
        await machine.ask(99)
    assert on_disk(machine) == (0, None)
    machine.locks.refusals[41] = "LEASE_EXPIRED"
    with pytest.raises(LeaseExpired):
        await machine.ask(41)
    machine.locks.refusals[41] = "WRONG_HOME"
    with pytest.raises(HostUnreachable):
        await machine.ask(41)
    assert machine.chrome.launched == []


async def test_a_later_hold_cuts_the_earlier_and_takes_its_browser_over(machine: Machine) -> None:
    first = await machine.open(41)
    secret = first.session.secret
    second = await machine.open(42)
    assert second.reused
    assert machine.endpoint.cuts == [(secret, "TOKEN_SUPERSEDED")]
    assert first.session.state is State.CUT
    with pytest.raises(TokenSuperseded):
        machine.endpoint.gates[secret]()
    with pytest.raises(TokenSuperseded):
        await machine.ask(41)


async def test_a_session_that_was_ended_for_good_is_not_cut_again_by_the_next_hold(machine: Machine) -> None:
    await machine.open(41)
    await machine.profile().close_hold(41)
    assert (await machine.open(50)).reused
    assert machine.browser().put_out_for == ""


async def test_a_cut_that_broke_off_is_made_again_by_the_next_hold(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(secret: str, reason: str) -> None:
        raise TimeoutError

    await machine.open(41)
    with monkeypatch.context() as patched:
        patched.setattr(machine.endpoint, "cut", broken)
        with pytest.raises(TimeoutError):
            await machine.profile().close_hold(41)
    assert (await machine.open(50)).reused
    assert machine.browser().put_out_for == "TOKEN_SUPERSEDED"


async def test_an_earlier_open_under_way_is_drained_before_a_later_hold_is_served(machine: Machine) -> None:
    reached, go_on = machine.chrome.pause("open")
    first = asyncio.create_task(machine.open(41))
    await reached.wait()
    second = asyncio.create_task(machine.open(42))
    with pytest.raises(TokenSuperseded):
        await first
    go_on.set()
    assert (await second).session.token == 42


async def test_an_open_goes_on_when_its_caller_gives_up(machine: Machine) -> None:
    reached, go_on = machine.chrome.pause("launch")
    caller = asyncio.create_task(machine.open(41))
    await reached.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    go_on.set()
    assert (await machine.open(41)).session.state is State.OPEN
    assert len(machine.chrome.launched) == 1


async def test_a_verify_answer_that_comes_after_the_close_serves_nobody(machine: Machine) -> None:
    """Trace 10, through the whole of a profile."""
    machine.locks.current[ALICE] = 41
    machine.locks.answer = asyncio.Event()
    opening = asyncio.create_task(machine.ask(41))
    await machine.locks.asked.wait()
    closing = asyncio.create_task(machine.profile().close_hold(41))
    machine.locks.answer.set()
    await closing
    with pytest.raises(TokenSuperseded):
        await opening
    assert on_disk(machine)[0] == 42


# --- deadlines ----------------------------------------------------------------------------


async def test_access_ends_when_the_proof_is_too_old_and_chrome_stays(machine: Machine, clock: Clock) -> None:
    """Trace 9 and rule 15: counted from the sending of the last good verify."""
    opened = await machine.open(41)
    secret = opened.session.secret
    machine.locks.away = True
    clock.now += SERVE_S - 0.01
    machine.endpoint.gates[secret]()
    clock.now += 0.01
    with pytest.raises(StoreUnavailable):
        machine.endpoint.gates[secret]()
    machine.profile().tick()
    await settled(machine)
    assert machine.endpoint.cuts == [(secret, "STORE_UNAVAILABLE")]
    assert opened.session.state is State.CUT
    assert not machine.browser().closed


async def test_a_session_cut_for_want_of_a_proof_comes_back_where_it_was(
    machine: Machine, clock: Clock
) -> None:
    first = await machine.open(41)
    secret = first.session.secret
    clock.now += SERVE_S
    machine.profile().tick()
    await settled(machine)
    again = await machine.open(41)
    assert again.session is first.session
    assert again.session.state is State.OPEN
    assert again.session.secret not in ("", secret)
    assert machine.browser().visited == ["http://a.test/"]


@pytest.mark.parametrize("comes_back", [False, True])
async def test_a_session_that_was_cut_for_want_of_a_proof_is_cut_for_good_by_the_next_hold(
    machine: Machine, clock: Clock, comes_back: bool
) -> None:
    first = await machine.open(41)
    secrets = [first.session.secret]
    clock.now += SERVE_S
    machine.profile().tick()
    await settled(machine)
    browser = machine.browser()
    assert browser.stilled == "for now"
    if comes_back:
        secrets.append((await machine.open(41)).session.secret)
    browser.stilled = ""
    assert (await machine.open(42)).reused
    assert [secret for secret, _ in machine.endpoint.cuts] == secrets
    assert browser.stilled == "for good"


async def test_what_is_served_is_verified_again_in_time(machine: Machine, clock: Clock) -> None:
    opened = await machine.open(41)
    for _ in range(10):
        clock.now += fences.VERIFY_EVERY_S
        machine.profile().tick()
        await settled(machine)
        machine.endpoint.gates[opened.session.secret]()
    assert machine.endpoint.cuts == []


async def test_a_hold_that_is_no_longer_current_is_cut_at_the_next_verify(
    machine: Machine, clock: Clock
) -> None:
    opened = await machine.open(41)
    secret = opened.session.secret
    machine.locks.refusals[41] = "LEASE_EXPIRED"
    clock.now += fences.VERIFY_EVERY_S
    machine.profile().tick()
    await settled(machine)
    assert machine.endpoint.cuts == [(secret, "LEASE_EXPIRED")]
    with pytest.raises(StoreUnavailable):
        machine.endpoint.gates[secret]()


async def test_nobody_is_let_in_on_an_answer_older_than_a_proof_lasts(machine: Machine, clock: Clock) -> None:
    machine.locks.current[ALICE] = 41
    machine.locks.answer = asyncio.Event()
    opening = asyncio.create_task(machine.ask(41))
    await machine.locks.asked.wait()
    clock.now += SERVE_S
    machine.locks.answer.set()
    with pytest.raises(StoreUnavailable):
        await opening
    assert machine.chrome.launched == []


async def test_a_launch_that_outlasts_the_proof_does_not_navigate(machine: Machine, clock: Clock) -> None:
    reached, go_on = machine.chrome.pause("launch")
    opening = asyncio.create_task(machine.open(41))
    await reached.wait()
    clock.now += SERVE_S
    go_on.set()
    with pytest.raises(StoreUnavailable):
        await opening
    assert machine.browser().visited == []


async def test_a_hand_over_is_not_dispatched_on_an_old_proof(machine: Machine, clock: Clock) -> None:
    await machine.open(41)
    store = marker.store

    def slow(path: Path, written: Marker) -> None:
        clock.now += SERVE_S
        store(path, written)

    await machine.profile().close_hold(41)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(marker, "store", slow)
        with pytest.raises(StoreUnavailable):
            await machine.open(50, url="http://b.test/")
    assert machine.browser().visited == ["http://a.test/"]


async def test_a_long_launch_is_served_when_its_token_is_verified_meanwhile(
    machine: Machine, clock: Clock
) -> None:
    reached, go_on = machine.chrome.pause("launch")
    opening = asyncio.create_task(machine.open(41))
    await reached.wait()
    for _ in range(5):
        clock.now += fences.VERIFY_EVERY_S
        machine.locks.asked.clear()
        machine.profile().tick()
        verifying = machine.profile()._admission._verifying
        assert verifying is not None
        await verifying
    go_on.set()
    assert (await opening).session.state is State.OPEN


# --- closing ------------------------------------------------------------------------------


async def test_a_closed_hold_is_not_served_though_its_proof_is_fresh(machine: Machine) -> None:
    """Trace 8: released at the lock service, still served by the host until its deadline."""
    opened = await machine.open(41)
    secret = opened.session.secret
    closed = await machine.profile().close_hold(41)
    assert closed.used
    assert closed.flushed_at is not None
    assert closed.session is opened.session
    assert closed.session.state is State.CLOSED
    assert machine.endpoint.cuts == [(secret, "SESSION_ENDED")]
    with pytest.raises(TokenSuperseded):
        machine.endpoint.gates[secret]()
    with pytest.raises(TokenSuperseded):
        await machine.ask(41)
    found = on_disk(machine)
    assert found[0] == 42
    assert found[1] is not None
    assert not found[1].held
    assert not machine.browser().closed


async def test_a_close_is_repeatable_and_a_late_one_leaves_a_later_hold_alone(machine: Machine) -> None:
    await machine.open(41)
    await machine.profile().close_hold(41)
    await machine.profile().close_hold(41)
    later = await machine.open(47)
    await machine.profile().close_hold(41)
    machine.endpoint.gates[later.session.secret]()
    assert later.session.state is State.OPEN
    found = on_disk(machine)
    assert found[0] == 47
    assert found[1] is not None
    assert found[1].held


async def test_a_hold_that_was_never_opened_here_is_closed_too(machine: Machine) -> None:
    machine.locks.current[ALICE] = 41
    closed = await machine.profile().close_hold(41)
    assert not closed.used
    assert on_disk(machine)[0] == 42
    with pytest.raises(TokenSuperseded):
        await machine.ask(41)


async def test_a_number_made_up_cannot_raise_the_floor(machine: Machine) -> None:
    machine.locks.current[ALICE] = 41
    with pytest.raises(TokenSuperseded):
        await machine.profile().close_hold((1 << 53) - 1)
    assert on_disk(machine)[0] == 0
    assert (await machine.ask(41)).session.state is State.OPEN


async def test_a_close_ends_an_open_that_is_under_way(machine: Machine) -> None:
    reached, go_on = machine.chrome.pause("launch")
    opening = asyncio.create_task(machine.open(41))
    await reached.wait()
    closed = await machine.profile().close_hold(41)
    with pytest.raises(TokenSuperseded):
        await opening
    go_on.set()
    assert not closed.used
    assert not machine.is_locked()


async def test_a_full_disk_refuses_the_close_and_changes_nothing(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = await machine.open(41)

    def refuse(*_: object) -> int:
        raise DiskFull(path="/full")

    with monkeypatch.context() as patch:
        patch.setattr(floor, "raise_to", refuse)
        with pytest.raises(DiskFull):
            await machine.profile().close_hold(41)
    machine.endpoint.gates[opened.session.secret]()
    await machine.profile().close_hold(41)
    assert on_disk(machine)[0] == 42


async def test_a_close_whose_marker_was_not_written_is_made_good_by_the_next(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await machine.open(41)

    def refuse(*_: object) -> None:
        raise DiskFull(path="/full")

    with monkeypatch.context() as patch:
        patch.setattr(marker, "store", refuse)
        with pytest.raises(DiskFull):
            await machine.profile().close_hold(41)
    found = on_disk(machine)[1]
    assert found is not None
    assert found.held
    await machine.profile().close_hold(41)
    found = on_disk(machine)[1]
    assert found is not None
    assert not found.held


async def test_a_full_disk_refuses_the_open_and_starts_nothing(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise DiskFull(path="/full")

    with monkeypatch.context() as patch:
        patch.setattr(marker, "store", refuse)
        with pytest.raises(DiskFull):
            await machine.open(41)
    assert machine.chrome.launched == []
    assert machine.host.cache.taken == 0
    assert not machine.is_locked()
    assert not (await machine.open(41)).reused


async def test_a_browser_that_does_not_flush_is_closed_for_it(machine: Machine) -> None:
    await machine.open(41)
    machine.chrome.fail["flush"] = BrowserCrashed(problem="hangs")
    closed = await machine.profile().close_hold(41)
    assert closed.flushed_at is not None
    assert machine.browser().closed


async def test_a_close_that_may_have_lost_cookies_becomes_an_incident(machine: Machine) -> None:
    await machine.open(41)
    machine.chrome.fail["flush"] = BrowserCrashed(problem="hangs")
    machine.chrome.dies_clean = False
    with pytest.raises(BrowserCrashed):
        await machine.profile().close_hold(41)
    await settled(machine)
    assert machine.locks.suspects == [(ALICE, 41, "BROWSER_LOST")]
    with pytest.raises(ProfileQuarantined):
        await machine.profile().close_hold(41)


async def test_ending_the_session_keeps_the_hold_and_a_further_open_is_served(machine: Machine) -> None:
    first = await machine.open(41)
    ended = await machine.profile().end_session(41)
    assert ended is first.session
    assert ended.state is State.CLOSED
    assert machine.endpoint.cuts == [("s0", "SESSION_ENDED")]
    again = await machine.open(41, url="http://b.test/")
    assert again.reused
    assert again.session is not first.session
    assert machine.browser().visited == ["http://a.test/", "http://b.test/"]
    assert await machine.profile().end_session(41) is again.session
    with pytest.raises(TokenSuperseded):
        await machine.profile().end_session(40)


async def test_a_clients_browser_close_ends_the_session_and_not_the_browser(machine: Machine) -> None:
    opened = await machine.open(41)
    machine.endpoint.on_ends["s0"]()
    await settled(machine)
    assert opened.session.state is State.CLOSED
    assert machine.endpoint.cuts == [("s0", "SESSION_ENDED")]
    assert not machine.browser().closed


async def test_shutting_down_closes_the_browser_and_keeps_the_hold(machine: Machine) -> None:
    await machine.open(41)
    assert await machine.profile().shut_down(41)
    assert not await machine.profile().shut_down(41)
    found = on_disk(machine)[1]
    assert found is not None
    assert (found.held, found.end) == (True, marker.CLEAN)
    again = await machine.open(41)
    assert not again.reused
    assert "inspect" not in again.timings


# --- what goes wrong ----------------------------------------------------------------------


async def test_a_browser_lost_while_held_ends_the_hold_and_is_reported(machine: Machine) -> None:
    opened = await machine.open(41)
    secret = opened.session.secret
    machine.browser().die()
    await asyncio.sleep(0)
    await settled(machine)
    assert opened.session.state is State.CRASHED
    assert machine.endpoint.cuts == [(secret, "BROWSER_CRASHED")]
    assert machine.locks.suspects == [(ALICE, 41, "BROWSER_LOST")]
    with pytest.raises(BrowserCrashed):
        await machine.ask(41)
    found = on_disk(machine)
    assert found[0] == 42
    assert found[1] is not None
    assert (found[1].held, found[1].suspected, found[1].report) == (True, True, "")


async def test_a_release_after_a_lost_browser_is_not_acknowledged(machine: Machine) -> None:
    await machine.open(41)
    machine.browser().die()
    await asyncio.sleep(0)
    await settled(machine)
    with pytest.raises(ProfileQuarantined):
        await machine.profile().close_hold(41)


async def test_a_release_that_races_with_the_loss_is_not_acknowledged_either(machine: Machine) -> None:
    """Also where an earlier hold's flush is on record: it says nothing of this hold's cookies."""
    await machine.open(41)
    await machine.profile().close_hold(41)
    await machine.open(50)
    machine.browser().die()
    with pytest.raises(BrowserCrashed):
        await machine.profile().close_hold(50)
    await settled(machine)
    assert machine.locks.suspects == [(ALICE, 50, "BROWSER_LOST")]


async def test_a_loss_found_before_the_release_is_not_hidden_by_an_earlier_flush(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await machine.open(41)
    await machine.profile().close_hold(41)
    await machine.open(50)
    slot, noticed = machine.profile().slot, asyncio.Event()
    lost = slot.lost

    async def lose(how: str) -> None:
        await lost(how)
        noticed.set()

    monkeypatch.setattr(slot, "lost", lose)
    async with machine.profile()._fence.queue:
        closing = asyncio.create_task(machine.profile().close_hold(50))
        machine.browser().die()
        await noticed.wait()
    with pytest.raises((BrowserCrashed, ProfileQuarantined)):
        await closing
    await settled(machine)
    assert {each[1:] for each in machine.locks.suspects} == {(50, "BROWSER_LOST")}


async def test_an_earlier_holds_browser_that_ends_is_no_incident_of_a_later_hold(machine: Machine) -> None:
    await machine.open(41)
    reached, go_on = machine.chrome.pause("hand_over")
    opening = asyncio.create_task(machine.open(50))
    await reached.wait()
    machine.browser().die()
    go_on.set()
    with pytest.raises(ProfileCorrupt):
        await opening
    await settled(machine)
    assert machine.locks.suspects == [(ALICE, 50, "PROFILE_UNSOUND")]
    found = on_disk(machine)[1]
    assert found is not None
    assert found.token == 50


async def test_a_superseded_session_tells_nothing_of_the_next_ones_pages(machine: Machine) -> None:
    first = await machine.open(41, url="http://a.test/")
    await machine.open(50, url="http://b.test/")
    assert first.session.message().url == "http://a.test/"


async def test_the_next_hold_waits_until_the_loss_was_reported(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await machine.open(41)
    machine.locks.deaf = True
    machine.browser().die()
    await machine.locks.told.wait()
    monkeypatch.setattr(incidents, "REPORT_WAIT_S", 0.01)
    with pytest.raises(StoreUnavailable, match="not yet reported"):
        await machine.open(50)
    assert len(machine.chrome.launched) == 1
    machine.locks.back.set()
    await settled(machine)


async def test_a_warm_browser_that_dies_is_nobodys_incident_and_is_inspected_next(machine: Machine) -> None:
    await machine.open(41)
    await machine.profile().close_hold(41)
    machine.browser().die()
    await asyncio.sleep(0)
    await settled(machine)
    assert machine.locks.suspects == []
    found = on_disk(machine)[1]
    assert found is not None
    assert found.end == marker.UNCLEAN


async def test_a_browser_that_dies_in_the_first_navigation_is_lost(machine: Machine) -> None:
    machine.chrome.fail["open"] = BrowserCrashed(problem="gone")
    machine.chrome.dies_clean = False
    with pytest.raises(BrowserCrashed, match="alice"):
        await machine.open(41)
    await settled(machine)
    assert machine.locks.suspects == [(ALICE, 41, "BROWSER_LOST")]


async def test_a_launch_that_fails_is_no_incident_and_the_hold_goes_on(machine: Machine) -> None:
    machine.chrome.fail["launch"] = BrowserCrashed(problem="Xvfb did not start")
    with pytest.raises(BrowserCrashed):
        await machine.open(41)
    assert machine.locks.suspects == []
    assert machine.host.cache.taken == 0
    machine.chrome.fail.clear()
    assert (await machine.open(41)).session.state is State.OPEN


async def test_a_start_url_that_does_not_load_keeps_browser_and_hold(machine: Machine) -> None:
    machine.chrome.fail["open"] = NavigationFailed(url="http://a.test/")
    with pytest.raises(NavigationFailed):
        await machine.open(41)
    machine.chrome.fail.clear()
    assert (await machine.open(41)).reused
    assert machine.locks.suspects == []


async def test_a_used_profile_without_a_directory_is_missing_and_never_made_anew(machine: Machine) -> None:
    machine.locks.used.add(ALICE)
    for _ in range(2):
        with pytest.raises(ProfileMissing):
            await machine.open(41)
    await settled(machine)
    assert machine.chrome.launched == []
    assert not machine.root.profile(ALICE).profile_dir.exists()
    assert machine.locks.suspects == [(ALICE, 41, "PROFILE_MISSING")]
    with pytest.raises(ProfileMissing):
        await machine.open(55)


# --- a host that comes back ---------------------------------------------------------------


async def test_a_host_that_was_killed_ends_what_was_held_and_says_so(machine: Machine) -> None:
    """Rule 17, and trace 12 with it."""
    await machine.open(41)
    await machine.killed()
    await machine.host.start()
    await settled(machine)
    assert machine.locks.suspects == [(ALICE, 41, "HOST_RESTARTED")]
    assert on_disk(machine)[0] == 42
    with pytest.raises(ProfileQuarantined):
        await machine.ask(41)
    with pytest.raises(ProfileQuarantined):
        await machine.profile().close_hold(41)


async def test_it_says_so_once(machine: Machine) -> None:
    await machine.open(41)
    for _ in range(2):
        await machine.killed()
        await machine.host.start()
        await settled(machine)
    assert len(machine.locks.suspects) == 1


async def test_it_says_so_also_after_a_clean_stop(machine: Machine) -> None:
    await machine.open(41)
    await machine.host.aclose()
    found = on_disk(machine)[1]
    assert found is not None
    assert (found.held, found.end) == (True, marker.CLEAN)
    await machine.killed()
    await machine.host.start()
    await settled(machine)
    assert machine.locks.suspects == [(ALICE, 41, "HOST_RESTARTED")]


async def test_a_warm_browser_at_a_clean_stop_is_nobodys_incident(machine: Machine) -> None:
    await machine.open(41)
    await machine.profile().close_hold(41)
    await machine.host.aclose()
    await machine.killed()
    await machine.host.start()
    assert machine.locks.suspects == []
    assert "inspect" not in (await machine.open(50)).timings


async def test_a_report_is_kept_until_the_lock_service_answers_however_often_the_host_dies(
    machine: Machine,
) -> None:
    await machine.open(41)
    machine.locks.deaf = True
    machine.browser().die()
    await machine.locks.told.wait()
    await machine.killed()
    await machine.host.start()
    machine.locks.back.set()
    await settled(machine)
    assert machine.locks.suspects == [(ALICE, 41, "BROWSER_LOST")]


async def test_a_stopping_host_refuses_and_cuts(machine: Machine) -> None:
    opened = await machine.open(41)
    secret = opened.session.secret
    await machine.host.aclose()
    assert machine.endpoint.cuts == [(secret, "HOST_STOPPING")]
    with pytest.raises(HostUnreachable):
        await machine.ask(41)
    with pytest.raises(HostUnreachable):
        await machine.profile().close_hold(41)


async def test_a_stopping_host_takes_on_no_profile_that_it_did_not_know(machine: Machine) -> None:
    """Nobody would close that one's browser any more."""
    reached, go_on = machine.chrome.pause("close")
    await machine.open(41)
    stopping = asyncio.create_task(machine.host.aclose())
    await reached.wait()
    with pytest.raises(HostUnreachable):
        await machine.open(7, BOB)
    go_on.set()
    await stopping
    assert len(machine.chrome.launched) == 1


async def test_an_open_that_the_hosts_stop_cuts_off_says_so(machine: Machine) -> None:
    """Its token is as good as before: it was not superseded."""
    reached, _ = machine.chrome.pause("launch")
    opening = asyncio.create_task(machine.open(41))
    await reached.wait()
    await machine.host.aclose()
    with pytest.raises(HostUnreachable):
        await opening


async def test_a_browser_whose_open_was_given_up_as_it_came_up_is_watched_all_the_same(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    came, go_on, store = asyncio.Event(), threading.Event(), marker.store
    loop = asyncio.get_running_loop()

    def store_slowly(path: Path, what: Marker) -> None:
        if what.pid:
            loop.call_soon_threadsafe(came.set)
            go_on.wait(30)
        store(path, what)

    monkeypatch.setattr(marker, "store", store_slowly)
    opening = asyncio.create_task(machine.open(41))
    await came.wait()
    ending = asyncio.create_task(machine.profile().end_session(41))
    loop.call_later(0.05, go_on.set)
    with pytest.raises(TokenSuperseded):
        await opening
    await ending
    machine.browser().die()
    await asyncio.wait_for(machine.locks.told.wait(), 30)
    await settled(machine)
    assert machine.locks.suspects == [(ALICE, 41, "BROWSER_LOST")]
