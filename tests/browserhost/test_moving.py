"""A profile's directory on its way from one host to another, and each host's part in it: rules 18 and 20."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest

from browserhost import directory, floor, lock, marker
from browserhost.config import Look
from browserhost.inspect.verdict import Inspection, Verdict
from browserhost.moving import Moving, Retired
from browserhost.premises import Premises
from browserhost.slot import Slot
from browserhost.whereabouts import Whereabouts
from tenure.errors import (
    DiskFull,
    InvalidField,
    ProfileBusy,
    ProfileCorrupt,
    ProfileMissing,
    StoreUnavailable,
    TokenSuperseded,
)
from tenure.names import ProfileName
from tenure.userdata import archive
from tenure.userdata.contents import digest
from tests.browserhost.fakes import ALICE, HOST, Machine

NEW = "hosts/h-2"
# mod(p) as the move is begun on: the release of token 41.
REVISION = 45


@pytest.fixture
async def there(tmp_path: Path) -> AsyncIterator[Machine]:
    """Another host, where the profile is not at home. Both are called HOST: the fakes tell them apart."""
    made = Machine(tmp_path / "there")
    made.locks.homes[ALICE], made.locks.revision = NEW, REVISION
    await made.host.start()
    yield made
    await made.host.aclose()


async def used(machine: Machine) -> None:
    """Alice was held under 41 and released; her browser is warm, and there is something to take along."""
    await machine.open(41)
    await machine.profile().close_hold(41)
    place = machine.root.profile(ALICE).profile_dir
    (place / "Default/Cache").mkdir(parents=True)
    (place / "Default/Cookies").write_bytes(b"signed in")
    (place / "Default/Cache/data").write_bytes(b"much")
    machine.locks.used.add(ALICE)
    machine.locks.revision = REVISION


async def retire(machine: Machine, revision: int = REVISION) -> Retired:
    return await machine.profile().moving.retire(revision)


async def sent(machine: Machine, revision: int = REVISION) -> list[bytes]:
    return [part async for part in machine.profile().moving.send(revision)]


async def each(parts: Iterable[bytes]) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def receive(machine: Machine, wanted: str, parts: Iterable[bytes], revision: int = REVISION) -> str:
    return await machine.profile().moving.receive(revision, wanted, each(parts))


def cookies(machine: Machine) -> bytes:
    return (machine.root.profile(ALICE).profile_dir / "Default/Cookies").read_bytes()


def aside(machine: Machine) -> list[Path]:
    return sorted(machine.root.profile(ALICE).aside_dir.glob("*"))


def left_over(machine: Machine) -> bool:
    return machine.root.profile(ALICE).staging_dir.exists()


async def test_a_directory_moves_and_opens_at_its_new_home_after_a_look(
    machine: Machine, there: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await used(machine)
    retired = await retire(machine)
    assert machine.browser().closed
    assert floor.load(machine.root.profile(ALICE).floor) == REVISION + 1
    assert retired.size == len(b"signed in")
    assert await receive(there, retired.digest, await sent(machine)) == retired.digest
    assert cookies(there) == b"signed in"
    assert not (there.root.profile(ALICE).profile_dir / "Default/Cache").exists()
    assert floor.load(there.root.profile(ALICE).floor) == REVISION + 1
    assert not left_over(there)
    # The lock service has made it the home.
    looked = []

    def look(*what: object) -> Inspection:
        looked.append(what)
        return Inspection(Verdict.CLEAN, ())

    monkeypatch.setattr(directory, "inspect", look)
    there.locks.used.add(ALICE)
    assert not (await there.open(50)).reused
    assert len(looked) == 1


# --- the old home ---------------------------------------------------------------------------------


async def test_a_home_serves_nothing_older_after_it_was_retired_and_a_later_hold_as_before(
    machine: Machine,
) -> None:
    await used(machine)
    await retire(machine)
    machine.locks.current[ALICE] = 41
    with pytest.raises(TokenSuperseded):
        await machine.ask(41)
    opened = await machine.open(50)
    assert not opened.reused
    # What was to be sent is not what is there any more.
    with pytest.raises(TokenSuperseded):
        await sent(machine)


async def test_retiring_again_answers_the_same(machine: Machine) -> None:
    await used(machine)
    assert await retire(machine) == await retire(machine)
    both = await asyncio.gather(retire(machine), retire(machine))
    assert both[0] == both[1]


async def test_a_held_profile_is_not_retired_and_its_browser_stays(machine: Machine) -> None:
    await used(machine)
    machine.locks.busy.add(ALICE)
    with pytest.raises(ProfileBusy):
        await retire(machine)
    assert floor.load(machine.root.profile(ALICE).floor) == 42
    assert not machine.browser().closed


async def test_only_the_home_is_retired_and_only_as_it_was(machine: Machine) -> None:
    await used(machine)
    with pytest.raises(TokenSuperseded):
        await retire(machine, REVISION - 1)
    machine.locks.homes[ALICE] = NEW
    with pytest.raises(TokenSuperseded):
        await retire(machine)
    machine.locks.away = True
    with pytest.raises(StoreUnavailable):
        await retire(machine)
    assert not machine.browser().closed


@pytest.mark.parametrize("mutant", [False, True])
async def test_a_hold_that_began_while_the_home_was_asked_for_keeps_its_browser_or_a_mutant_closes_it(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, mutant: bool
) -> None:
    """The lock service's answer is older than the hold, which has opened meanwhile."""
    if mutant:
        monkeypatch.setattr(Premises, "refuse_when_held", lambda *_: None)
    await used(machine)
    machine.locks.slow = asyncio.Event()
    machine.locks.located.clear()
    retiring = asyncio.create_task(retire(machine))
    await machine.locks.located.wait()
    await machine.open(50)
    machine.locks.slow.set()
    [outcome] = await asyncio.gather(retiring, return_exceptions=True)
    assert isinstance(outcome, TokenSuperseded) is not mutant
    assert machine.browser().closed is mutant
    machine.profile()._fence.gate(50)


async def test_what_would_not_be_started_is_not_sent(machine: Machine) -> None:
    await used(machine)
    machine.chrome.dies_clean = False
    machine.chrome.fail["flush"] = StoreUnavailable()
    shutil.rmtree(machine.root.profile(ALICE).profile_dir / "Default")
    with pytest.raises(ProfileCorrupt):
        await retire(machine)
    shutil.rmtree(machine.root.profile(ALICE).profile_dir)
    with pytest.raises(ProfileMissing):
        await retire(machine)


async def test_a_profile_that_nobody_ever_used_has_nothing_to_send(machine: Machine, there: Machine) -> None:
    machine.locks.revision = REVISION
    assert await retire(machine) == Retired(REVISION, "", 0, REVISION + 1)
    assert await receive(there, "", []) == ""
    assert not there.root.profile(ALICE).profile_dir.exists()


async def test_nothing_is_sent_that_was_not_retired(machine: Machine) -> None:
    await used(machine)
    with pytest.raises(TokenSuperseded):
        await sent(machine)
    await retire(machine)
    with pytest.raises(TokenSuperseded):
        await sent(machine, REVISION - 1)
    # Nor by a host that has restarted since: it is retired anew.
    await machine.killed()
    with pytest.raises(TokenSuperseded):
        await sent(machine)
    await retire(machine)
    assert await sent(machine)


@pytest.mark.parametrize("restarted", [False, True])
async def test_no_browser_is_launched_ahead_at_a_retired_home_until_it_is_held_again(
    machine: Machine, restarted: bool
) -> None:
    """Rule 20: what is there stays what was sent, since the change of home compares no more than mod(p)."""
    await used(machine)
    retired = await retire(machine)
    launched = len(machine.chrome.launched)
    if restarted:
        await machine.killed()
    with pytest.raises(ProfileBusy):
        await machine.profile().prewarming.prewarm("", Look())
    assert len(machine.chrome.launched) == launched
    assert (await retire(machine)).digest == retired.digest
    assert b"signed in" in b"".join(await sent(machine))
    # Given up: it was held here since.
    await machine.open(50)
    await machine.profile().close_hold(50)
    machine.locks.revision = 55
    assert (await machine.profile().prewarming.prewarm("", Look())).warm


async def test_a_launch_ahead_that_waits_while_a_home_is_retired_is_refused(
    machine: Machine,
) -> None:
    await used(machine)
    closing, go_on = machine.chrome.pause("close")
    retiring = asyncio.create_task(retire(machine))
    await closing.wait()
    launched = len(machine.chrome.launched)
    warming = asyncio.create_task(machine.profile().prewarming.prewarm("", Look()))
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(ProfileBusy):
        await warming
    assert (await retiring).digest
    assert len(machine.chrome.launched) == launched


async def test_a_home_with_a_browser_that_nobody_closed_is_not_retired(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stays(_: Slot) -> None:
        pass

    await used(machine)
    with monkeypatch.context() as patch:
        patch.setattr(Slot, "close", stays)
        with pytest.raises(TokenSuperseded):
            await retire(machine)
    assert (await retire(machine)).digest


# --- the new home ---------------------------------------------------------------------------------


async def test_a_directory_of_an_earlier_stay_is_put_aside_for_good(machine: Machine, there: Machine) -> None:
    await used(machine)
    retired = await retire(machine)
    parts = await sent(machine)
    place = there.root.profile(ALICE).profile_dir
    place.mkdir(parents=True)
    (place / "old").write_bytes(b"older")
    await receive(there, retired.digest, parts)
    assert [path.name for path in aside(there)] == [f"{REVISION}-0"]
    assert (aside(there)[0] / "old").read_bytes() == b"older"
    assert not (place / "old").exists()
    # The same again finds it there, reads nothing and puts nothing aside.
    assert await receive(there, retired.digest, []) == retired.digest
    assert len(aside(there)) == 1
    assert digest(place)[0] == retired.digest


async def test_what_a_browser_of_an_earlier_host_still_writes_to_is_looked_at_once_that_has_ended(
    machine: Machine, there: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await used(machine)
    retired = await retire(machine)
    parts = await sent(machine)
    await receive(there, retired.digest, parts)
    waiting = asyncio.Event()
    wait_for_lock = lock.wait_for_lock

    async def waits(path: Path, timeout: float) -> int | None:
        waiting.set()
        return await wait_for_lock(path, 30.0)

    monkeypatch.setattr(lock, "wait_for_lock", waits)
    paths = there.root.profile(ALICE)
    descriptor = lock.try_lock(paths.lock)
    assert descriptor is not None
    receiving = asyncio.create_task(receive(there, retired.digest, parts))
    await waiting.wait()
    # So far it is as it was sent.
    (paths.profile_dir / "Default/Cookies").write_bytes(b"signed out")
    os.close(descriptor)
    assert await receiving == retired.digest
    assert cookies(there) == b"signed in"


async def test_where_nothing_comes_an_earlier_stay_is_put_aside_too(there: Machine) -> None:
    """An attested move back to where it once was: the login of then is not taken for that of now."""
    place = there.root.profile(ALICE).profile_dir
    for stay in range(2):
        place.mkdir(parents=True)
        (place / f"old {stay}").touch()
        await receive(there, "", [])
    assert not place.exists()
    assert [sorted(path.name for path in each.iterdir()) for each in aside(there)] == [["old 0"], ["old 1"]]
    there.locks.used.add(ALICE)
    with pytest.raises(ProfileMissing):
        await there.open(50)


async def test_a_host_that_is_the_home_takes_nothing(machine: Machine) -> None:
    await used(machine)
    retired = await retire(machine)
    parts = await sent(machine)
    for wanted in (retired.digest, ""):
        with pytest.raises(TokenSuperseded):
            await receive(machine, wanted, parts)
    assert cookies(machine) == b"signed in"
    assert aside(machine) == []


@pytest.mark.parametrize("mutant", [False, True])
async def test_a_profile_that_has_come_home_meanwhile_is_not_replaced_or_a_mutant_that_asks_once_does(
    machine: Machine, there: Machine, monkeypatch: pytest.MonkeyPatch, mutant: bool
) -> None:
    """A copy of a move that was overtaken by another: the home is asked for again before the rename."""
    await used(machine)
    retired = await retire(machine)
    parts = await sent(machine)
    place = there.root.profile(ALICE).profile_dir

    async def late() -> AsyncIterator[bytes]:
        for part in parts:
            yield part
        there.locks.homes[ALICE], there.locks.revision = HOST, REVISION + 1
        place.mkdir(parents=True)
        (place / "newer").touch()
        if mutant:
            monkeypatch.setattr(Moving, "_refuse_where_home", lambda *_: None)

    receiving = there.profile().moving.receive(REVISION, retired.digest, late())
    [outcome] = await asyncio.gather(receiving, return_exceptions=True)
    assert isinstance(outcome, TokenSuperseded) is not mutant
    assert (place / "newer").exists() is not mutant
    assert not left_over(there)


async def test_whoever_is_to_be_cut_off_does_not_wait_for_what_is_received(
    machine: Machine, there: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await used(machine)
    retired = await retire(machine)
    parts = await sent(machine)
    reached, go_on = asyncio.Event(), asyncio.Event()
    locate, asked = there.locks.locate, []

    async def locates(name: ProfileName) -> Whereabouts:
        asked.append(name)
        if len(asked) == 2:
            reached.set()
            await go_on.wait()
        return await locate(name)

    monkeypatch.setattr(there.locks, "locate", locates)
    receiving = asyncio.create_task(receive(there, retired.digest, parts))
    async with asyncio.timeout(30):
        await reached.wait()
        assert (await there.profile().quarantine(31)).floor == REVISION + 1
    assert not receiving.done()
    go_on.set()
    assert await receiving == retired.digest
    assert cookies(there) == b"signed in"


@pytest.mark.parametrize("revision", [REVISION - 1, REVISION + 1])
async def test_a_directory_of_another_revision_is_not_taken(there: Machine, revision: int) -> None:
    with pytest.raises(TokenSuperseded):
        await receive(there, "", [], revision)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda parts: [*parts[:-1], parts[-1][:-1600]],
        lambda parts: [part.replace(b"signed in", b"signed on") for part in parts],
        lambda parts: [b"no archive at all" * 99],
        lambda parts: [],
    ],
    ids=["cut short", "altered", "garbage", "nothing"],
)
async def test_what_is_not_what_was_retired_is_refused_and_leaves_nothing(
    machine: Machine, there: Machine, spoil: object
) -> None:
    await used(machine)
    retired = await retire(machine)
    parts = await sent(machine)
    with pytest.raises(InvalidField):
        await receive(there, retired.digest, spoil(parts))  # type: ignore[operator]
    assert not there.root.profile(ALICE).profile_dir.exists()
    assert not left_over(there)
    assert await receive(there, retired.digest, parts)


async def test_a_stream_that_breaks_off_leaves_nothing(machine: Machine, there: Machine) -> None:
    await used(machine)
    retired = await retire(machine)
    [part] = await sent(machine)
    arrived = asyncio.Event()

    async def half() -> AsyncIterator[bytes]:
        yield part[:700]
        arrived.set()
        await asyncio.Event().wait()

    receiving = asyncio.create_task(there.profile().moving.receive(REVISION, retired.digest, half()))
    await arrived.wait()
    receiving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await receiving
    assert not left_over(there)
    assert not there.root.profile(ALICE).profile_dir.exists()


async def test_a_full_disk_takes_nothing_and_says_so(
    machine: Machine, there: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await used(machine)
    retired = await retire(machine)
    parts = await sent(machine)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(archive, "_write", full)
        with pytest.raises(DiskFull):
            await receive(there, retired.digest, parts)
    assert not there.root.profile(ALICE).profile_dir.exists()
    assert await receive(there, retired.digest, parts)


@pytest.mark.parametrize("restarted", [False, True])
async def test_what_was_left_half_received_is_cleared_and_begun_anew(
    machine: Machine, there: Machine, tmp_path: Path, restarted: bool
) -> None:
    await used(machine)
    retired = await retire(machine)
    parts = await sent(machine)
    staging = there.root.profile(ALICE).staging_dir
    (staging / "profile").mkdir(parents=True)
    (staging / "archive").write_bytes(b"half")
    kept = tmp_path / "not ours"
    kept.mkdir()
    (staging.parent / "bob").symlink_to(kept)
    (kept / "file").touch()
    if restarted:
        await there.killed()
        await there.host.start()
        assert not left_over(there)
        assert (kept / "file").exists()
    await receive(there, retired.digest, parts)
    assert cookies(there) == b"signed in"
    assert not left_over(there)


async def test_a_browser_that_was_left_where_the_home_is_no_more_is_closed_first(
    machine: Machine, there: Machine
) -> None:
    """Its profile was moved away while this host was taken for dead."""
    there.locks.homes.clear()
    await there.open(31)
    await there.profile().close_hold(31)
    left = there.browser()
    there.locks.homes[ALICE] = NEW
    await used(machine)
    retired = await retire(machine)
    await receive(there, retired.digest, await sent(machine))
    assert left.closed
    assert cookies(there) == b"signed in"
    found = marker.load(there.root.profile(ALICE).marker)
    assert found is not None
    assert (found.held, found.used, found.end, found.token) == (False, True, marker.UNCLEAN, 0)
