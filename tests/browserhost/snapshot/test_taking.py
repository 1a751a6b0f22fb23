"""A snapshot of a profile at a host: what must be so before, who is let through meanwhile, when it counts."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from browserhost import floor, lock
from browserhost import marker as marks
from browserhost.inspect.verdict import Inspection, Verdict
from browserhost.snapshot import store as stores
from browserhost.snapshot.manifest import ASKED, CLOSED
from browserhost.snapshot.policy import Policy
from browserhost.snapshot.store import Store
from browserhost.snapshot.sweeping import QUIET_S, Sweeping
from browserhost.snapshot.taking import Snapshots
from tenure.errors import (
    DiskFull,
    NotFound,
    ProfileBusy,
    ProfileCorrupt,
    ProfileMissing,
    StoreUnavailable,
    TokenSuperseded,
)
from tenure.names import ProfileName
from tenure.userdata import contents
from tests.browserhost.fakes import ALICE, BOB, Machine
from tests.fixtures.sound import sound

REVISION = 45


async def used(machine: Machine, token: int = 41, name: ProfileName = ALICE, **has: Any) -> Path:
    """Held under a token and released; the browser is warm, and there is a login."""
    await machine.open(token, name)
    place = machine.root.profile(name).profile_dir
    sound(place, **has)
    await machine.profile(name).close_hold(token)
    machine.locks.used.add(name)
    machine.locks.revision = max(machine.locks.revision, REVISION)
    return place


async def closed(machine: Machine, token: int = 41, name: ProfileName = ALICE, **has: Any) -> Path:
    """As `used`, and then evicted."""
    place = await used(machine, token, name, **has)
    assert await machine.profile(name).evict()
    return place


def snapshots(machine: Machine, name: ProfileName = ALICE) -> Snapshots:
    return machine.profile(name).snapshots


def findings(machine: Machine) -> str:
    path = machine.root.profile(ALICE).findings
    return path.read_text() if path.exists() else ""


def left(machine: Machine) -> list[str]:
    return sorted(path.name for path in machine.root.profile(ALICE).snapshots_dir.glob("*"))


async def test_who_asks_has_the_browser_closed_and_a_verified_snapshot(machine: Machine) -> None:
    place = await used(machine, cookies=12)
    (place / "Last Version").write_text("156.0.7.1")
    taken = await snapshots(machine).take(ASKED)
    assert machine.browser().closed
    assert (taken.generation, taken.cookies, taken.chrome, taken.cause) == (41, 12, "156.0.7.1", ASKED)
    assert taken.digest == contents.digest(place)[0]
    assert taken.verified_at >= taken.created_at
    assert await snapshots(machine).all() == [taken]
    assert left(machine) == [f"{taken.id}.json", f"{taken.id}.tar.zst"]
    assert not machine.is_locked()


@pytest.mark.parametrize("mutant", [False, True])
async def test_a_snapshot_is_restored_whole_before_it_counts_or_a_mutant_keeps_what_is_broken(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, mutant: bool
) -> None:
    """What lies on the disk is not what was read: a bit tipped on the way."""
    await closed(machine)
    pack = Store.pack

    def packs(self: Store, *what: Any) -> stores.Packed:
        packed = pack(self, *what)
        content = bytearray(packed.path.read_bytes())
        content[len(content) // 2] ^= 1
        packed.path.write_bytes(content)
        return packed

    monkeypatch.setattr(Store, "pack", packs)
    if mutant:
        monkeypatch.setattr(Snapshots, "_check", lambda *_: Inspection(Verdict.CLEAN, ()))
    outcome = await asyncio.gather(snapshots(machine).take(ASKED), return_exceptions=True)
    assert isinstance(outcome[0], ProfileCorrupt) is not mutant
    assert (await snapshots(machine).all() == []) is not mutant
    if not mutant:
        assert left(machine) == []
        assert "not what the directory was" in findings(machine)


async def test_the_floor_is_above_all_that_was_granted_before_anything_is_read(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await closed(machine)
    floors = []
    pack = Store.pack

    def packs(self: Store, *what: Any) -> stores.Packed:
        floors.append(floor.load(machine.root.profile(ALICE).floor))
        return pack(self, *what)

    monkeypatch.setattr(Store, "pack", packs)
    await snapshots(machine).take(CLOSED)
    assert floors == [REVISION + 1]
    machine.locks.current[ALICE] = 41
    with pytest.raises(TokenSuperseded):
        await machine.ask(41)


async def test_only_a_free_profile_that_is_at_home_here_is_taken(machine: Machine) -> None:
    await used(machine)
    machine.locks.busy.add(ALICE)
    with pytest.raises(ProfileBusy):
        await snapshots(machine).take(ASKED)
    machine.locks.busy.clear()
    machine.locks.homes[ALICE] = "hosts/elsewhere"
    with pytest.raises(TokenSuperseded):
        await snapshots(machine).take(ASKED)
    machine.locks.away = True
    with pytest.raises(StoreUnavailable):
        await snapshots(machine).take(ASKED)
    assert not machine.browser().closed


async def test_a_hold_that_began_since_keeps_its_browser(machine: Machine) -> None:
    """The lock service's answer is older than the hold, which has opened meanwhile."""
    await used(machine)
    machine.locks.slow = asyncio.Event()
    machine.locks.located.clear()
    taking = asyncio.create_task(snapshots(machine).take(ASKED))
    await machine.locks.located.wait()
    await machine.open(50)
    machine.locks.slow.set()
    with pytest.raises(TokenSuperseded):
        await taking
    assert not machine.browser().closed
    machine.profile()._fence.gate(50)


async def test_an_open_does_not_wait_for_a_snapshot_but_ends_it(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = await closed(machine)
    (place / "large").write_bytes(bytes(4 * contents.CHUNK))
    browser_lock = machine.profile()._browser_lock
    at_the_lock = threading.Event()
    acquire = browser_lock.acquire
    opening: list[asyncio.Task[Any]] = []
    loop, read = asyncio.get_running_loop(), contents.Found.read

    async def acquires() -> Literal[True]:
        waiting = asyncio.ensure_future(acquire())
        await asyncio.sleep(0)
        at_the_lock.set()
        return await waiting

    def open_now() -> None:
        monkeypatch.setattr(browser_lock, "acquire", acquires)
        opening.append(asyncio.create_task(machine.open(50)))

    def reads(self: contents.Found) -> Iterator[bytes]:
        for part in read(self):
            if self.path == "large" and not at_the_lock.is_set():
                loop.call_soon_threadsafe(open_now)
                assert at_the_lock.wait(30)
            yield part

    monkeypatch.setattr(contents.Found, "read", reads)
    with pytest.raises(ProfileBusy):
        await snapshots(machine).take(CLOSED)
    assert not (await opening[0]).reused
    assert left(machine) == []


async def test_a_running_browser_has_no_snapshot_taken_by_itself(machine: Machine) -> None:
    await used(machine)
    with pytest.raises(ProfileBusy):
        await snapshots(machine).take(CLOSED)
    assert not machine.browser().closed


async def test_a_directory_that_is_damaged_or_gone_or_never_was_has_none(machine: Machine) -> None:
    place = await closed(machine)
    (place / "Default/Cookies").write_bytes(b"not a database")
    with pytest.raises(ProfileCorrupt):
        await snapshots(machine).take(ASKED)
    place.rename(place.with_name("gone"))
    with pytest.raises(ProfileMissing):
        await snapshots(machine).take(ASKED)
    with pytest.raises(NotFound):
        await snapshots(machine, BOB).take(ASKED)
    assert left(machine) == []


async def test_a_disk_without_room_for_it_takes_none(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await closed(machine)
    with monkeypatch.context() as patch:
        patch.setattr("browserhost.snapshot.taking.durable.free_bytes", lambda _: 100)
        with pytest.raises(DiskFull):
            await snapshots(machine).take(ASKED)
    assert left(machine) == []
    await snapshots(machine).take(ASKED)
    assert len(left(machine)) == 2


async def test_a_login_that_is_gone_is_told_and_the_snapshot_that_has_it_stays(machine: Machine) -> None:
    place = await closed(machine, cookies=40)
    had = await snapshots(machine).take(ASKED)
    sound(place, cookies=3)
    few = await snapshots(machine).take(ASKED)
    said = f"3 cookies, and snapshot {had.id} has 40"
    assert said in few.findings
    assert said in findings(machine)


async def test_of_those_taken_the_policys_number_stays(machine: Machine) -> None:
    await closed(machine)
    for _ in range(5):
        await snapshots(machine).take(ASKED)
    assert len(await snapshots(machine).all()) == Policy().keep


async def test_whoever_gives_up_waiting_for_it_has_it_all_the_same(machine: Machine) -> None:
    await closed(machine)
    taking = asyncio.create_task(snapshots(machine).take(ASKED))
    await asyncio.sleep(0)
    taking.cancel()
    await asyncio.gather(taking, return_exceptions=True)
    await snapshots(machine).take(ASKED)
    assert len(await snapshots(machine).all()) == 2


# --- by itself ------------------------------------------------------------------------------------


class Sweeper:
    """A host's sweeping, at a time of its own."""

    def __init__(self, machine: Machine, rules: Policy) -> None:
        self._sweeping = Sweeping(machine.root, rules, lambda name: machine.profile(name).snapshots)
        self._marker = machine.root.profile(ALICE).marker

    async def look(self, later: float = QUIET_S + 1) -> None:
        await self._sweeping.look(self._marker.stat().st_mtime + later)


@pytest.fixture
def sweeper(machine: Machine) -> Sweeper:
    return Sweeper(machine, Policy())


async def causes(machine: Machine) -> list[tuple[int, str]]:
    return [(each.generation, each.cause) for each in await snapshots(machine).all()]


async def test_what_was_closed_cleanly_gets_a_snapshot_once_it_was_left_alone(
    machine: Machine, sweeper: Sweeper
) -> None:
    await used(machine)
    await sweeper.look()
    assert await causes(machine) == []
    await machine.profile().evict()
    await sweeper.look(QUIET_S - 1)
    assert await causes(machine) == []
    await sweeper.look()
    await sweeper.look()
    assert await causes(machine) == [(41, CLOSED)]


async def test_the_next_one_comes_an_hour_later_at_the_earliest(machine: Machine, sweeper: Sweeper) -> None:
    await closed(machine)
    await sweeper.look()
    await closed(machine, 60)
    await sweeper.look()
    assert len(await causes(machine)) == 1
    await sweeper.look(3700)
    assert await causes(machine) == [(60, CLOSED), (41, CLOSED)]


async def test_what_was_closed_before_a_restart_is_found_after_it(machine: Machine) -> None:
    await closed(machine)
    await machine.killed()
    await machine.host.start()
    await Sweeper(machine, Policy()).look()
    assert await causes(machine) == [(41, CLOSED)]


async def test_what_is_refused_is_not_asked_for_again_until_something_is_done_with_it(
    machine: Machine, sweeper: Sweeper
) -> None:
    place = await closed(machine)
    (place / "Default/Cookies").write_bytes(b"not a database")
    await sweeper.look()
    asked = len(findings(machine))
    machine.locks.located.clear()
    await sweeper.look()
    assert not machine.locks.located.is_set()
    assert len(findings(machine)) == asked
    marker = marks.load(machine.root.profile(ALICE).marker)
    assert marker is not None
    sound(place)
    marks.store(machine.root.profile(ALICE).marker, marker)
    await sweeper.look()
    assert await causes(machine) == [(41, CLOSED)]


async def test_while_the_lock_service_is_away_it_is_tried_again(machine: Machine, sweeper: Sweeper) -> None:
    await closed(machine)
    machine.locks.away = True
    await sweeper.look()
    machine.locks.away = False
    await sweeper.look()
    assert await causes(machine) == [(41, CLOSED)]


async def test_what_is_half_made_is_gone_at_the_next_start(machine: Machine) -> None:
    await closed(machine)
    folder = machine.root.profile(ALICE).snapshots_dir
    folder.mkdir(parents=True)
    (folder / ".half.new").touch()
    (folder / "0000000000000001-0.tar.zst").touch()
    (folder.parent / "link").symlink_to("/etc")
    await machine.killed()
    await machine.host.start()
    assert left(machine) == []
    assert list(folder.iterdir()) == []


async def test_a_host_that_takes_none_looks_for_none(machine: Machine) -> None:
    await Sweeping(machine.root, Policy(taken="never"), lambda name: machine.profile(name).snapshots).run()


async def test_while_a_snapshot_is_packed_the_directory_is_locked(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await closed(machine)
    seen = []
    pack = Store.pack

    def packs(self: Store, *what: Any) -> stores.Packed:
        descriptor = lock.try_lock(machine.root.profile(ALICE).lock)
        seen.append(descriptor)
        if descriptor is not None:
            os.close(descriptor)
        return pack(self, *what)

    monkeypatch.setattr(Store, "pack", packs)
    await snapshots(machine).take(ASKED)
    assert seen == [None]
