"""A user-data-dir from elsewhere as a profile's directory: under a token, where nothing ever was."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from browserhost import durable
from browserhost import marker as marks
from browserhost.importing import Imported, Importing
from browserhost.inspect import cookies
from browserhost.snapshot.manifest import IMPORTED
from tenure.errors import (
    DiskFull,
    InvalidField,
    ProfileCorrupt,
    ProfileMissing,
    QuotaExceeded,
    TenureError,
    TokenSuperseded,
)
from tenure.userdata import archive
from tenure.userdata.contents import digest
from tests.browserhost.fakes import ALICE, Machine
from tests.fixtures.sound import logged_in, sound


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """What somebody has on a desktop."""
    made = tmp_path / "theirs"
    sound(made, cookies=12, encrypted=b"v10secret")
    (made / "Default/Cache").mkdir()
    (made / "Default/Cache/data").write_bytes(b"much")
    return made


async def each(parts: Iterable[bytes]) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def receive(machine: Machine, parts: Iterable[bytes], token: int = 41) -> Imported:
    machine.locks.current[ALICE] = token
    return await machine.profile().importing.receive(token, each(parts))


def place(machine: Machine) -> Path:
    return machine.root.profile(ALICE).profile_dir


def nothing_is_left(machine: Machine) -> bool:
    paths = machine.root.profile(ALICE)
    return not paths.staging_dir.exists() and not paths.profile_dir.exists() and not paths.marker.exists()


async def test_what_is_imported_opens_after_a_look_and_has_a_snapshot(machine: Machine, theirs: Path) -> None:
    came = await receive(machine, archive.pack(theirs))
    assert (came.cookies, came.unreadable, came.findings) == (12, 0, ())
    assert came.digest == digest(theirs)[0]
    assert not (place(machine) / "Default/Cache").exists()
    closed = await machine.profile().close_hold(41)
    assert closed.used
    assert closed.flushed_at is not None
    machine.locks.used.add(ALICE)
    machine.locks.revision = 43
    taken = await machine.profile().snapshots.take(IMPORTED)
    assert (taken.generation, taken.cookies, taken.cause) == (41, 12, IMPORTED)
    opened = await machine.open(45)
    assert "inspect" in opened.timings
    assert logged_in(place(machine)) == "signed in"


async def test_cookies_that_only_their_desktop_can_read_are_counted(machine: Machine, theirs: Path) -> None:
    sound(theirs, cookies=3, encrypted=b"v11secret")
    with pytest.raises(ProfileCorrupt) as refused:
        await receive(machine, archive.pack(theirs))
    assert "3 cookies" in refused.value.finding
    assert nothing_is_left(machine)
    with contextlib.closing(sqlite3.connect(theirs / "Default/Cookies")) as database, database:
        database.execute("INSERT INTO cookies VALUES ('plain', '')")
    came = await receive(machine, archive.pack(theirs))
    assert (came.cookies, came.unreadable) == (4, 3)


def test_a_directory_without_a_database_has_no_cookies(tmp_path: Path) -> None:
    assert cookies.count(tmp_path, tmp_path) == cookies.Counted()
    (tmp_path / "Default").mkdir()
    (tmp_path / "Default/Cookies").write_bytes(b"no database")
    assert cookies.count(tmp_path, tmp_path) == cookies.Counted()


@pytest.mark.parametrize("mutant", [False, True])
async def test_nothing_is_imported_over_a_profile_that_was_used_or_a_mutant_does(
    machine: Machine, theirs: Path, monkeypatch: pytest.MonkeyPatch, mutant: bool
) -> None:
    await machine.open(31)
    sound(place(machine), login="their own")
    await machine.profile().shut_down(31)
    await machine.profile().close_hold(31)
    if mutant:
        monkeypatch.setattr(Importing, "_refuse_when_used", lambda _: None)
        monkeypatch.setattr("browserhost.importing.Path.rmdir", lambda path: path.rename(path.with_name("x")))
    [outcome] = await asyncio.gather(receive(machine, archive.pack(theirs)), return_exceptions=True)
    assert isinstance(outcome, InvalidField) is not mutant
    assert logged_in(place(machine)) == ("signed in" if mutant else "their own")


async def test_nor_over_one_that_was_used_elsewhere_or_has_a_directory(
    machine: Machine, theirs: Path
) -> None:
    machine.locks.used.add(ALICE)
    with pytest.raises(InvalidField):
        await receive(machine, archive.pack(theirs))
    assert nothing_is_left(machine)
    # However it came there.
    machine.locks.used.clear()
    machine.profile()._fence.used_elsewhere = False
    sound(place(machine), login="their own")
    with pytest.raises(InvalidField):
        await receive(machine, archive.pack(theirs))
    assert logged_in(place(machine)) == "their own"


async def test_without_a_token_nothing_is_taken(machine: Machine, theirs: Path) -> None:
    with pytest.raises(TokenSuperseded):
        await machine.profile().importing.receive(41, each(archive.pack(theirs)))
    assert nothing_is_left(machine)


async def test_a_token_that_ends_on_the_way_ends_the_import(machine: Machine, theirs: Path) -> None:
    machine.locks.current[ALICE] = 41

    async def parts() -> AsyncIterator[bytes]:
        whole = b"".join(archive.pack(theirs))
        yield whole[:700]
        await machine.profile().quarantine(41)
        yield whole[700:]

    with pytest.raises(TenureError):
        await machine.profile().importing.receive(41, parts())
    assert nothing_is_left(machine)


def cut_short(whole: bytes) -> bytes:
    return whole[: len(whole) // 2]


def without_its_end(whole: bytes) -> bytes:
    """Cut where a file ends: what is left reads like an archive."""
    return whole[:-1024]


@pytest.mark.parametrize(
    "spoil", [cut_short, without_its_end, lambda _: b"", lambda _: b"no archive" * 200, lambda w: w[512:]]
)
async def test_what_is_no_whole_archive_leaves_nothing(machine: Machine, theirs: Path, spoil: object) -> None:
    with pytest.raises(InvalidField):
        await receive(machine, [spoil(b"".join(archive.pack(theirs)))])  # type: ignore[operator]
    assert nothing_is_left(machine)
    # The hold that it came under is released as if nothing had been.
    assert not (await machine.profile().close_hold(41)).used


async def test_what_no_browser_would_start_on_is_refused(machine: Machine, theirs: Path) -> None:
    (theirs / "Default/Cookies").write_bytes(b"razed")
    with pytest.raises(ProfileCorrupt):
        await receive(machine, archive.pack(theirs))
    (theirs / "Default").rename(theirs / "Profile 1")
    with pytest.raises(ProfileCorrupt):
        await receive(machine, archive.pack(theirs))
    assert nothing_is_left(machine)


async def test_more_than_the_host_takes_is_refused(machine: Machine, theirs: Path) -> None:
    on = machine.profile().importing._premises
    object.__setattr__(on, "workshop", replace(on.workshop, import_limit=1000))
    with pytest.raises(QuotaExceeded):
        await receive(machine, archive.pack(theirs))
    assert nothing_is_left(machine)


async def test_a_disk_without_room_takes_nothing(
    machine: Machine, theirs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durable, "free_bytes", lambda _: 100)
    with pytest.raises(DiskFull):
        await receive(machine, archive.pack(theirs))
    assert nothing_is_left(machine)


def full(*_: object) -> None:
    raise OSError(28, "No space left on device")


async def test_what_could_not_be_put_in_its_place_leaves_the_profile_unused(
    machine: Machine, theirs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("browserhost.importing.replacing.put_in_place", full)
        with pytest.raises(DiskFull):
            await receive(machine, archive.pack(theirs))
    assert nothing_is_left(machine)
    assert not (await machine.profile().close_hold(41)).used
    # Another hold of it may import, or start with nothing.
    assert (await receive(machine, archive.pack(theirs), 43)).cookies == 12


async def test_what_is_in_its_place_counts_as_used_though_its_name_may_not_be_on_disk(
    machine: Machine, theirs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = durable.sync_directory
    monkeypatch.setattr(
        durable, "sync_directory", lambda path: full() if (path / "alice/Default").is_dir() else sync(path)
    )
    with pytest.raises(DiskFull):
        await receive(machine, archive.pack(theirs))
    assert (place(machine) / "Default").is_dir()
    monkeypatch.setattr(durable, "sync_directory", sync)
    assert (await machine.profile().close_hold(41)).used


class Died(BaseException):
    """What comes after it is not done any more."""


async def test_a_host_that_dies_between_marker_and_directory_never_starts_empty(
    machine: Machine, theirs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: object) -> None:
        raise Died

    monkeypatch.setattr("browserhost.importing.replacing.put_in_place", dies)
    with pytest.raises(Died):
        await receive(machine, archive.pack(theirs))
    marker = marks.load(machine.root.profile(ALICE).marker)
    assert marker is not None
    assert marker.used
    with pytest.raises(ProfileMissing):
        await machine.open(43)
