"""A token cut off for an incident: what the acknowledgement promises, and whom it leaves alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from browserhost import durable, ending, floor, marker
from browserhost.marker import Marker
from browserhost.opening import Use
from browserhost.session import State
from browserhost.witness.ledger import NOTE, SCREENSHOT
from tenure.errors import (
    BrowserCrashed,
    DiskFull,
    HoldRevoked,
    LeaseExpired,
    NotFound,
    OutcomeUnknown,
    ProfileCorrupt,
    ProfileQuarantined,
    TenureError,
    TokenSuperseded,
)
from tests.browserhost.fakes import ALICE, Machine


def on_disk(machine: Machine) -> tuple[int, Marker | None]:
    paths = machine.root.profile(ALICE)
    return floor.load(paths.floor), marker.load(paths.marker)


async def settled(machine: Machine) -> None:
    """Everything that runs in the background has come to its end."""
    while machine.profile()._tasks._running:
        await asyncio.wait(machine.profile()._tasks._running)


async def kinds(machine: Machine, token: int) -> list[str]:
    return [item.kind for item in (await machine.profile().witness.ledger(token)).items.values()]


# --- quarantine ---------------------------------------------------------------------------


async def test_an_incident_that_comes_while_the_browser_starts_stays_on_record(machine: Machine) -> None:
    starts, go_on = machine.chrome.pause("launch")
    opening = asyncio.create_task(machine.open(41))
    await starts.wait()
    await machine.profile().slot.record.quarantine(41)
    go_on.set()
    await opening
    _, found = on_disk(machine)
    assert found is not None
    assert (found.suspected, found.pid) == (True, machine.browser().pid)


async def test_a_session_that_its_client_ended_is_over_before_its_token_is_acknowledged(
    machine: Machine,
) -> None:
    await machine.open(41)
    machine.endpoint.slow = asyncio.Event()
    machine.endpoint.on_ends["s0"]()
    quarantining = asyncio.create_task(machine.profile().quarantine(41))
    await asyncio.wait([quarantining], timeout=0.2)
    assert not quarantining.done()
    machine.endpoint.slow.set()
    assert (await quarantining).floor == 42


async def test_a_quarantined_token_is_cut_off_and_every_further_act_of_it_is_refused(
    machine: Machine,
) -> None:
    opened = await machine.open(41)
    secret = opened.session.secret
    done = await machine.profile().quarantine(41)
    assert (done.floor, done.browser_alive) == (42, True)
    assert machine.endpoint.cuts == [(secret, "HOLD_REVOKED")]
    assert opened.session.state is State.CUT
    for act in (
        machine.ask(41),
        machine.profile().step(41, 2, "pay"),
        machine.profile().end_session(41),
        machine.profile().shut_down(41),
        used(machine, 41),
    ):
        with pytest.raises(HoldRevoked):
            await act
    with pytest.raises(HoldRevoked):
        machine.endpoint.gates[secret]()
    with pytest.raises(ProfileQuarantined):
        await machine.profile().close_hold(41)


async def used(machine: Machine, token: int) -> None:
    async with machine.profile().using(token):
        raise AssertionError


async def test_floor_and_marker_are_on_disk_before_the_browser_is_looked_at(machine: Machine) -> None:
    await machine.open(41)
    reached, go_on = machine.chrome.pause("answers")
    quarantine = asyncio.create_task(machine.profile().quarantine(41))
    await reached.wait()
    raised, found = on_disk(machine)
    assert raised == 42
    assert found is not None
    assert (found.held, found.suspected, found.report) == (True, True, "")
    go_on.set()
    assert (await quarantine).browser_alive


async def test_the_last_page_is_on_record_with_a_picture_and_the_browser_stays(machine: Machine) -> None:
    await machine.open(41, url="http://a.test/checkout")
    await machine.profile().quarantine(41)
    assert not machine.browser().closed
    items = (await machine.profile().witness.ledger(41)).items.values()
    assert "quarantined at http://a.test/checkout" in [item.text for item in items if item.kind == NOTE]
    assert [item.text for item in items if item.kind == SCREENSHOT] == ["as it was quarantined"]
    assert (machine.root.profile(ALICE).evidence_dir / f"{41:016d}" / "incident").exists()


async def test_a_picture_that_cannot_be_had_is_a_note(machine: Machine) -> None:
    machine.chrome.unsafe = True
    await machine.open(41)
    assert (await machine.profile().quarantine(41)).browser_alive
    items = (await machine.profile().witness.ledger(41)).items.values()
    assert "no picture: a secret field on the page could not be covered" in [item.text for item in items]
    assert SCREENSHOT not in await kinds(machine, 41)


async def test_a_browser_that_hangs_does_not_keep_the_acknowledgement_waiting(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ending, "CAPTURE_S", 0.01)
    await machine.open(41)
    machine.chrome.pause("answers")
    done = await machine.profile().quarantine(41)
    assert (done.floor, done.browser_alive) == (42, False)
    items = (await machine.profile().witness.ledger(41)).items.values()
    assert any("cut short" in item.text for item in items)


async def test_nothing_is_acknowledged_while_a_page_is_busy_with_what_the_token_sent(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ending, "REST_S", 0.05)
    await machine.open(41)
    _, at_rest = machine.chrome.pause("rest")
    with pytest.raises(OutcomeUnknown, match="is busy"):
        await machine.profile().quarantine(41)
    # The old worker is cut off all the same, and whoever calls again gets the word once it is so.
    assert on_disk(machine)[0] == 42
    at_rest.set()
    assert (await machine.profile().quarantine(41)).floor == 42


async def test_a_picture_that_hangs_leaves_the_browser_alive(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ending, "CAPTURE_S", 0.5)
    await machine.open(41)
    machine.chrome.pause("picture")
    assert (await machine.profile().quarantine(41)).browser_alive


async def test_a_dead_browser_is_told_as_dead(machine: Machine) -> None:
    await machine.open(41)
    machine.chrome.fail["answers"] = BrowserCrashed(problem="gone")
    assert not (await machine.profile().quarantine(41)).browser_alive


async def test_it_works_where_no_browser_was_ever_opened(machine: Machine) -> None:
    done = await machine.profile().quarantine(41)
    assert (done.floor, done.browser_alive) == (42, False)
    assert on_disk(machine) == (42, None)
    assert not machine.root.profile(ALICE).evidence_dir.exists()
    machine.locks.current[ALICE] = 41
    with pytest.raises(HoldRevoked):
        await machine.ask(41)


async def test_a_repeated_quarantine_answers_the_same_and_changes_nothing(machine: Machine) -> None:
    await machine.open(41)
    first = await machine.profile().quarantine(41)
    before = on_disk(machine)
    assert await machine.profile().quarantine(41) == first
    assert on_disk(machine) == before


async def test_a_late_quarantine_leaves_a_later_hold_alone(machine: Machine) -> None:
    await machine.open(41)
    await machine.profile().close_hold(41)
    later = await machine.open(47)
    pictures = machine.browser().pictures
    done = await machine.profile().quarantine(41)
    assert (done.floor, done.browser_alive) == (47, True)
    machine.endpoint.gates[later.session.secret]()
    assert later.session.state is State.OPEN
    assert machine.browser().pictures == pictures
    found = on_disk(machine)[1]
    assert found is not None
    assert (found.token, found.suspected) == (47, False)
    with pytest.raises(HoldRevoked):
        await machine.ask(41)


async def test_a_hold_that_was_closed_here_but_never_released_is_quarantined_too(machine: Machine) -> None:
    await machine.open(41)
    await machine.profile().close_hold(41)
    assert (await machine.profile().quarantine(41)).floor == 42
    with pytest.raises(ProfileQuarantined):
        await machine.profile().close_hold(41)
    assert (await machine.open(50)).reused


async def test_an_open_under_way_is_ended_first(machine: Machine) -> None:
    reached, _ = machine.chrome.pause("launch")
    opening = asyncio.create_task(machine.open(41))
    await reached.wait()
    await machine.profile().quarantine(41)
    with pytest.raises(HoldRevoked):
        await opening
    assert machine.chrome.launched == []
    assert not machine.is_locked()


async def test_a_quarantine_ends_an_open_at_every_point_of_it(machine: Machine) -> None:
    for token, step in ((41, "launch"), (51, "open"), (61, "hand_over")):
        reached, go_on = machine.chrome.pause(step)
        opening = asyncio.create_task(machine.open(token))
        await reached.wait()
        done = await machine.profile().quarantine(token)
        assert done.floor == token + 1
        with pytest.raises(HoldRevoked):
            await opening
        go_on.set()
        machine.chrome.hold.clear()


async def test_what_the_host_knew_of_the_holds_end_is_what_its_worker_is_told(machine: Machine) -> None:
    await machine.open(41)
    machine.browser().die()
    await asyncio.sleep(0)
    await settled(machine)
    assert (await machine.profile().quarantine(41)).browser_alive is False
    with pytest.raises(BrowserCrashed):
        await machine.ask(41)


async def test_a_worker_that_the_verify_cut_off_keeps_its_reason_at_the_socket(machine: Machine) -> None:
    opened = await machine.open(41)
    secret = opened.session.secret
    machine.locks.refusals[41] = "LEASE_EXPIRED"
    with pytest.raises(LeaseExpired):
        await machine.profile()._fence.verified(41)
    await machine.profile().quarantine(41)
    assert machine.endpoint.cuts == [(secret, "LEASE_EXPIRED")]


async def test_a_full_disk_acknowledges_nothing_and_yet_lets_nobody_act(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = await machine.open(41)
    secret = opened.session.secret

    def refuse(*_: object) -> None:
        raise DiskFull(path="/full")

    with monkeypatch.context() as patch:
        patch.setattr(durable, "write", refuse)
        for _ in range(2):
            with pytest.raises(DiskFull):
                await machine.profile().quarantine(41)
    with pytest.raises(HoldRevoked):
        machine.endpoint.gates[secret]()
    assert on_disk(machine)[0] == 41
    assert (await machine.profile().quarantine(41)).floor == 42
    assert on_disk(machine)[0] == 42


@pytest.mark.parametrize("number", [5, 30])
async def test_a_broken_or_read_only_disk_is_refused_as_safely(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    await machine.open(41)

    def refuse(*_: object) -> Path:
        raise OSError(number, "no")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", refuse)
        with pytest.raises(DiskFull, match="cannot write"):
            await machine.profile().quarantine(41)
        machine.browser().die()
        await asyncio.sleep(0)
        await settled(machine)
    with pytest.raises(HoldRevoked):
        await machine.ask(41)
    assert (await machine.profile().quarantine(41)).floor == 42


async def test_a_floor_that_cannot_be_read_serves_nobody(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(durable, "read", refuse)
    with pytest.raises(ProfileCorrupt, match="Input/output error"):
        machine.profile()


async def test_a_restart_after_a_quarantine_reports_nothing_and_refuses_as_before(machine: Machine) -> None:
    await machine.open(41)
    await machine.profile().quarantine(41)
    await machine.killed()
    await machine.host.start()
    await settled(machine)
    assert machine.locks.suspects == []
    with pytest.raises(HoldRevoked):
        await machine.ask(41)
    done = await machine.profile().quarantine(41)
    assert (done.floor, done.browser_alive) == (42, False)


async def test_a_quarantine_after_a_restart_ends_the_report_too(machine: Machine) -> None:
    await machine.open(41)
    machine.locks.deaf = True
    await machine.killed()
    await machine.host.start()
    await machine.locks.told.wait()
    await machine.profile().quarantine(41)
    machine.locks.knows_incidents = False
    machine.locks.back.set()
    await settled(machine)
    found = on_disk(machine)[1]
    assert found is not None
    assert (found.report, found.suspected, found.held) == ("", True, True)


async def test_a_hold_that_a_decision_let_in_drives_the_browser_that_stayed(machine: Machine) -> None:
    await machine.open(41)
    await machine.profile().quarantine(41)
    opened = await machine.open(50)
    assert opened.reused
    found = on_disk(machine)[1]
    assert found is not None
    assert (found.token, found.held, found.suspected) == (50, True, False)


async def test_an_incidents_browser_is_evicted_only_once_a_decision_freed_the_profile(
    machine: Machine,
) -> None:
    await machine.open(41)
    await machine.profile().quarantine(41)
    machine.locks.busy.add(ALICE)
    assert not await machine.profile().evict()
    machine.locks.busy.clear()
    machine.locks.revision = 44
    assert await machine.profile().evict()
    assert on_disk(machine)[0] == 45, "rule 18: the floor is above the revision at which it was free"
    assert (await machine.open(50)).session.state is State.OPEN


async def test_a_machine_that_was_started_anew_is_told_apart_from_a_host_that_was(machine: Machine) -> None:
    await machine.open(41)
    told: list[str] = []
    machine.boot_id = "another"
    await machine.killed()

    async def suspect(*report: object) -> bool:
        told.extend(map(str, report))
        return True

    machine.locks.suspect = suspect  # type: ignore[assignment,method-assign]
    await machine.host.start()
    await settled(machine)
    assert told[1:] == ["41", "HOST_RESTARTED", "the host's machine was started anew while the hold lasted"]


# --- acting -------------------------------------------------------------------------------


class Actor:
    """Acts in a session, and stays in the act until it is let go or cut."""

    def __init__(self, machine: Machine, token: int) -> None:
        self.machine, self.token = machine, token
        self.inside, self.go_on = asyncio.Event(), asyncio.Event()
        self.left = False
        self.use: Use | None = None

    async def act(self) -> None:
        async with self.machine.profile().using(self.token) as self.use:
            self.inside.set()
            try:
                await self.go_on.wait()
            finally:
                await asyncio.sleep(0)  # as one that lets a key go
                self.left = True


@pytest.mark.parametrize(
    ("end", "error"),
    [
        (lambda machine: machine.profile().quarantine(41), HoldRevoked),
        (lambda machine: machine.profile().close_hold(41), TokenSuperseded),
        (lambda machine: machine.profile().end_session(41), NotFound),
        (lambda machine: machine.profile().shut_down(41), NotFound),
        (lambda machine: machine.open(50), TokenSuperseded),
    ],
)
async def test_an_act_under_way_is_ended_and_waited_for_by_whatever_ends_its_session(
    machine: Machine, end: Callable[[Machine], asyncio.Future[object]], error: type[TenureError]
) -> None:
    await machine.open(41)
    actor = Actor(machine, 41)
    acting = asyncio.create_task(actor.act())
    await actor.inside.wait()
    await end(machine)
    assert actor.left
    with pytest.raises(error):
        await acting
    assert not acting.cancelled()


async def test_an_act_in_a_browser_that_dies_says_so(machine: Machine) -> None:
    await machine.open(41)
    actor = Actor(machine, 41)
    acting = asyncio.create_task(actor.act())
    await actor.inside.wait()
    machine.browser().die()
    with pytest.raises(BrowserCrashed):
        await acting


async def test_a_caller_that_gives_up_is_cancelled_as_any(machine: Machine) -> None:
    await machine.open(41)
    actor = Actor(machine, 41)
    acting = asyncio.create_task(actor.act())
    await actor.inside.wait()
    acting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await acting
    await machine.profile().quarantine(41)


async def test_acts_go_on_side_by_side_and_their_gate_is_the_tokens(machine: Machine) -> None:
    await machine.open(41)
    actors = [Actor(machine, 41), Actor(machine, 41)]
    tasks = [asyncio.create_task(actor.act()) for actor in actors]
    for actor in actors:
        await actor.inside.wait()
        assert actor.use is not None
        actor.use.gate()
        actor.go_on.set()
    await asyncio.gather(*tasks)
    await machine.profile().quarantine(41)
    assert actors[0].use is not None
    with pytest.raises(HoldRevoked):
        actors[0].use.gate()


async def test_an_act_needs_an_open_session_of_its_own_token(machine: Machine) -> None:
    machine.locks.current[ALICE] = 41
    with pytest.raises(NotFound):
        await used(machine, 41)
    await machine.open(41)
    with pytest.raises(TokenSuperseded):
        await used(machine, 40)
    await machine.profile().end_session(41)
    with pytest.raises(NotFound):
        await used(machine, 41)


async def test_what_an_act_touches_and_keeps_is_recorded(machine: Machine) -> None:
    await machine.open(41)
    async with machine.profile().using(41) as use:
        use.touch("a click at 10,20")
        name = await use.keep(b"picture", "image/png")
    recording = machine.profile().witness.recording(41)
    assert recording.touched == "a click at 10,20"
    assert name.startswith("tenants/default/profiles/alice/incidents/41/evidence/")
    assert await machine.profile().witness.picture(41, name.rpartition("/")[2]) == b"picture"
