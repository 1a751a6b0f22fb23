"""A snapshot put in the place of a directory, by a person's word: when it may be, and what becomes of what
was there.
"""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from browserhost import floor, replacing
from browserhost import marker as marks
from browserhost.premises import Premises
from browserhost.snapshot import restoring
from browserhost.snapshot.manifest import ASKED, BEFORE_RESTORE, Manifest
from browserhost.whereabouts import Whereabouts
from tenure.errors import (
    DiskFull,
    InvalidField,
    NotFound,
    ProfileBusy,
    ProfileCorrupt,
    ProfileMissing,
    ProfileQuarantined,
    StoreUnavailable,
    TokenSuperseded,
)
from tenure.userdata.contents import digest
from tenure.v1.hold_pb2 import (
    PROFILE_STATE_AVAILABLE,
    PROFILE_STATE_DISABLED,
    PROFILE_STATE_HELD,
    PROFILE_STATE_MANUAL_REVIEW,
    PROFILE_STATE_QUARANTINED,
    ProfileState,
)
from tests.browserhost.fakes import ALICE, Machine
from tests.fixtures.chrome import until
from tests.fixtures.sound import logged_in, sound

# mod(p) as the person had read it.
REVISION = 77


async def taken(machine: Machine) -> Manifest:
    """Alice is signed in, and there is a snapshot of it; then she is disabled."""
    await machine.open(41)
    sound(place(machine))
    await machine.profile().close_hold(41)
    machine.locks.used.add(ALICE)
    snapshot = await machine.profile().snapshots.take(ASKED)
    sound(place(machine), login="signed out")
    disabled(machine)
    return snapshot


def disabled(machine: Machine, revision: int = REVISION) -> None:
    machine.locks.states[ALICE] = PROFILE_STATE_DISABLED
    machine.locks.revision = revision


def enabled(machine: Machine) -> None:
    del machine.locks.states[ALICE]
    machine.locks.revision += 2


def place(machine: Machine) -> Path:
    return machine.root.profile(ALICE).profile_dir


def aside(machine: Machine) -> list[Path]:
    return sorted(machine.root.profile(ALICE).aside_dir.glob("*"))


async def restore(machine: Machine, snapshot: Manifest | str, revision: int = REVISION) -> Path | None:
    name = snapshot if isinstance(snapshot, str) else snapshot.id
    return await machine.profile().restoring.restore(revision, name, "signed out")


async def test_a_damaged_directory_is_kept_and_the_snapshot_opens_after_a_look(machine: Machine) -> None:
    snapshot = await taken(machine)
    (place(machine) / "Default/Cookies").write_bytes(b"razed")
    kept = await restore(machine, snapshot)
    assert kept == aside(machine)[0]
    assert kept.name == f"{REVISION}-0"
    assert (kept / "Default/Cookies").read_bytes() == b"razed"
    assert logged_in(place(machine)) == "signed in"
    assert floor.load(machine.root.profile(ALICE).floor) == REVISION + 1
    assert "signed out" in machine.root.profile(ALICE).findings.read_text()
    enabled(machine)
    opened = await machine.open(machine.locks.revision)
    assert not opened.reused
    assert "inspect" in opened.timings


async def test_a_directory_that_is_gone_comes_back(machine: Machine) -> None:
    snapshot = await taken(machine)
    shutil.rmtree(place(machine))
    enabled(machine)
    with pytest.raises(ProfileMissing):
        await machine.open(79)
    disabled(machine, 83)
    assert await restore(machine, snapshot, 83) is None
    assert aside(machine) == []
    enabled(machine)
    await machine.open(85)
    assert logged_in(place(machine)) == "signed in"


async def test_what_was_there_is_a_snapshot_too_where_it_is_sound(machine: Machine) -> None:
    snapshot = await taken(machine)
    await restore(machine, snapshot)
    before, first = await machine.profile().snapshots.all()
    assert (before.cause, first) == (BEFORE_RESTORE, snapshot)
    await restore(machine, before)
    assert logged_in(place(machine)) == "signed out"


async def test_repeated_it_does_nothing_more(machine: Machine) -> None:
    snapshot = await taken(machine)
    await restore(machine, snapshot)
    inode = place(machine).stat().st_ino
    assert await restore(machine, snapshot) is None
    assert place(machine).stat().st_ino == inode
    assert len(aside(machine)) == 1


async def test_copies_of_a_request_that_run_at_once_do_it_once(machine: Machine) -> None:
    snapshot = await taken(machine)
    kept = await asyncio.gather(*(restore(machine, snapshot) for _ in range(3)))
    assert [path for path in kept if path is not None] == aside(machine)
    assert len(aside(machine)) == 1
    assert logged_in(place(machine)) == "signed in"


async def test_the_browser_of_an_incident_is_closed_first(machine: Machine) -> None:
    snapshot = await taken(machine)
    enabled(machine)
    await machine.open(79)
    await machine.profile().quarantine(79)
    machine.locks.states[ALICE], machine.locks.revision = PROFILE_STATE_MANUAL_REVIEW, 90
    await restore(machine, snapshot, 90)
    assert machine.browser().closed
    marker = marks.load(machine.root.profile(ALICE).marker)
    assert marker is not None
    assert (marker.held, marker.suspected, marker.end, marker.used) == (False, False, marks.UNCLEAN, True)
    # What the incident's evidence goes by is as it was: it is not proven that nothing was done under 79.
    assert machine.profile().examiner.drove(79)


OTHER_STATES: dict[ProfileState.ValueType, type[Exception]] = {
    PROFILE_STATE_HELD: ProfileBusy,
    PROFILE_STATE_QUARANTINED: ProfileQuarantined,
    PROFILE_STATE_AVAILABLE: InvalidField,
}


@pytest.mark.parametrize("mutant", [False, True])
@pytest.mark.parametrize("state", OTHER_STATES)
async def test_in_any_other_state_nothing_moves_or_a_mutant_restores_under_an_owner(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, state: ProfileState.ValueType, mutant: bool
) -> None:
    snapshot = await taken(machine)
    machine.locks.states[ALICE] = state
    if mutant:
        monkeypatch.setattr(Whereabouts, "why_not_restored", lambda *_: None)
        await restore(machine, snapshot)
    else:
        with pytest.raises(OTHER_STATES[state]):
            await restore(machine, snapshot)
    assert (logged_in(place(machine)) == "signed in") is mutant


@pytest.mark.parametrize("mutant", [False, True])
async def test_what_has_changed_since_it_was_read_is_left_or_a_mutant_restores_over_it(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, mutant: bool
) -> None:
    """A late copy of a restore: since then the profile was enabled, signed in to anew, and disabled again."""
    snapshot = await taken(machine)
    enabled(machine)
    await machine.open(79)
    sound(place(machine), login="signed in anew")
    await machine.profile().close_hold(79)
    disabled(machine, 85)
    if mutant:
        monkeypatch.setattr(Whereabouts, "why_not_restored", lambda *_: None)
        monkeypatch.setattr(Premises, "_refuse_what_came_later", lambda *_: None)
        await restore(machine, snapshot)
    else:
        with pytest.raises(TokenSuperseded):
            await restore(machine, snapshot)
    assert logged_in(place(machine)) == ("signed in" if mutant else "signed in anew")


async def test_a_profile_whose_home_is_elsewhere_is_left(machine: Machine) -> None:
    snapshot = await taken(machine)
    machine.locks.homes[ALICE] = "hosts/elsewhere"
    with pytest.raises(TokenSuperseded):
        await restore(machine, snapshot)
    machine.locks.away = True
    with pytest.raises(StoreUnavailable):
        await restore(machine, snapshot)
    assert logged_in(place(machine)) == "signed out"


async def test_a_verdict_that_comes_while_the_snapshot_is_unpacked_stands(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Freed and granted meanwhile: the owner's browser and directory are left alone."""
    snapshot = await taken(machine)
    unpack = machine.profile().snapshots.store.unpack
    loop = asyncio.get_running_loop()

    def unpacks(*what: Any, **how: Any) -> Path:
        async def freed() -> None:
            enabled(machine)
            await machine.open(79)

        asyncio.run_coroutine_threadsafe(freed(), loop).result(30)
        return unpack(*what, **how)

    monkeypatch.setattr(machine.profile().snapshots.store, "unpack", unpacks)
    with pytest.raises(TokenSuperseded):
        await restore(machine, snapshot)
    assert not machine.browser().closed
    assert logged_in(place(machine)) == "signed out"
    assert aside(machine) == []


async def test_a_browser_that_is_warm_after_a_later_hold_is_left_alone(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Freed, granted and released while the snapshot was unpacked: what that hold left stays."""
    snapshot = await taken(machine)
    loop, unpack = asyncio.get_running_loop(), machine.profile().snapshots.store.unpack

    def unpacks(*what: Any, **how: Any) -> Path:
        async def came_and_went() -> None:
            enabled(machine)
            await machine.open(79)
            await machine.profile().close_hold(79)

        asyncio.run_coroutine_threadsafe(came_and_went(), loop).result(30)
        return unpack(*what, **how)

    monkeypatch.setattr(machine.profile().snapshots.store, "unpack", unpacks)
    with pytest.raises(TokenSuperseded):
        await restore(machine, snapshot)
    assert not machine.browser().closed
    assert machine.profile().warm


async def test_a_hold_that_is_let_in_while_it_waits_for_the_directory_finds_its_own(machine: Machine) -> None:
    snapshot = await taken(machine)
    profile = machine.profile()
    async with profile._browser_lock:
        going = asyncio.create_task(restore(machine, snapshot))
        await until(lambda: profile._browser_lock.wanted)
        # What says that nobody is let in is older than this.
        opening = asyncio.create_task(machine.open(79))
        await until(lambda: profile._fence.was_proven(79))
    with pytest.raises(TokenSuperseded):
        await going
    await opening
    assert logged_in(place(machine)) == "signed out"
    assert aside(machine) == []


@pytest.mark.parametrize("at", ["the lock service", "the browser", "the digest", "the copy"])
async def test_whoever_is_to_be_cut_off_does_not_wait_for_a_restore(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    snapshot = await taken(machine)
    enabled(machine)
    await machine.open(79)
    await machine.profile().quarantine(79)
    machine.locks.states[ALICE], machine.locks.revision = PROFILE_STATE_MANUAL_REVIEW, 90
    reached, go_on = asyncio.Event(), threading.Event()
    loop, store = asyncio.get_running_loop(), machine.profile().snapshots.store

    def waits(what: Callable[..., Any]) -> Callable[..., Any]:
        def waiting(*args: Any, **how: Any) -> Any:
            loop.call_soon_threadsafe(reached.set)
            assert go_on.wait(30)
            return what(*args, **how)

        return waiting

    match at:
        case "the lock service":
            unpack, slow = store.unpack, asyncio.Event()

            def unpacks(*what: Any, **how: Any) -> Path:
                # It was asked once by now.
                machine.locks.slow, machine.locks.located = slow, reached
                return unpack(*what, **how)

            monkeypatch.setattr(store, "unpack", unpacks)
            monkeypatch.setattr(go_on, "set", slow.set)
        case "the browser":
            reached, closing = machine.chrome.pause("close")
            monkeypatch.setattr(go_on, "set", closing.set)
        case "the digest":
            await restore(machine, snapshot, 90)
            monkeypatch.setattr(restoring, "digest", waits(digest))
        case "the copy":
            monkeypatch.setattr(store, "pack", waits(store.pack))
    going = asyncio.create_task(restore(machine, snapshot, 90))
    try:
        async with asyncio.timeout(30):
            await reached.wait()
            assert (await machine.profile().quarantine(79)).floor == 91
        assert not going.done()
    finally:
        go_on.set()
    await going
    assert logged_in(place(machine)) == "signed in"


@pytest.mark.parametrize("mutant", [False, True])
async def test_a_token_of_before_is_not_served_on_what_was_restored_or_a_mutant_that_leaves_the_floor_does(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, mutant: bool
) -> None:
    """A hold that was granted and ended unseen by this host, with its verify still on its way here."""
    snapshot = await taken(machine)
    machine.locks.current[ALICE] = 71
    machine.locks.answer = asyncio.Event()
    machine.locks.asked.clear()
    opening = asyncio.create_task(machine.ask(71))
    await machine.locks.asked.wait()
    machine.locks.current.clear()
    if mutant:
        retire = machine.profile()._fence.retire

        async def at_first(found: Whereabouts) -> None:
            if found.revision < 71:
                await retire(found)

        monkeypatch.setattr(machine.profile()._fence, "retire", at_first)
        monkeypatch.setattr(Premises, "_refuse_what_came_later", lambda *_: None)
    await restore(machine, snapshot)
    machine.locks.answer.set()
    if mutant:
        assert not (await opening).reused
        assert machine.browser().runs
        return
    with pytest.raises(TokenSuperseded):
        await opening
    assert not machine.browser().runs
    assert logged_in(place(machine)) == "signed in"


async def test_a_damaged_snapshot_is_refused_and_nothing_moves(machine: Machine) -> None:
    snapshot = await taken(machine)
    path = machine.profile().snapshots.store.archive(snapshot)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ProfileCorrupt):
        await restore(machine, snapshot)
    assert logged_in(place(machine)) == "signed out"
    assert floor.load(machine.root.profile(ALICE).floor) < REVISION


@pytest.mark.parametrize("name", ["", "0000000000000009-0", "../../custody/alice/marker"])
async def test_what_is_no_snapshot_is_not_found(machine: Machine, name: str) -> None:
    await taken(machine)
    with pytest.raises(NotFound):
        await restore(machine, name)


@pytest.mark.parametrize("step", ["put_aside", "put_in_place"])
async def test_cut_short_it_leaves_what_cannot_be_started_or_was_never_touched_and_is_begun_anew(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    snapshot = await taken(machine)

    def fails(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(replacing, step, fails)
        with pytest.raises(DiskFull):
            await restore(machine, snapshot)
    await machine.killed()
    await machine.host.start()
    if step == "put_in_place":
        enabled(machine)
        with pytest.raises(ProfileMissing):
            await machine.open(79)
        assert logged_in(aside(machine)[0]) == "signed out"
        disabled(machine, 83)
    else:
        assert logged_in(place(machine)) == "signed out"
    await restore(machine, snapshot, machine.locks.revision)
    assert logged_in(place(machine)) == "signed in"
