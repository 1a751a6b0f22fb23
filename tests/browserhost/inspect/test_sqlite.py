"""SQLite checks that leave every byte as it was."""

from __future__ import annotations

import errno
import hashlib
import io
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from browserhost import durable
from browserhost.inspect import plain
from browserhost.inspect.sqlite import check, opened
from tenure.errors import DiskFull


@pytest.fixture
def database(tmp_path: Path) -> Path:
    (tmp_path / "profile").mkdir()
    path = tmp_path / "profile" / "Cookies"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE cookies (value)")
        connection.executemany("INSERT INTO cookies VALUES (?)", [("v" * 200,)] * 500)
        connection.commit()
    return path


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    (tmp_path / "scratch").mkdir()
    return tmp_path / "scratch"


def state(directory: Path) -> dict[str, tuple[str, int]]:
    return {
        path.name: (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in directory.iterdir()
    }


def left_behind(database: Path, mode: str) -> None:
    """What a kill leaves: the files of a transaction under way, copied beside the database."""
    copy = database.with_name("copy")
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA journal_mode={mode}")
        connection.execute("PRAGMA cache_size=1")
        connection.execute("BEGIN")
        connection.execute("UPDATE cookies SET value = 'new'")
        for suffix in ("", "-journal", "-wal"):
            if Path(f"{database}{suffix}").exists():
                shutil.copyfile(f"{database}{suffix}", f"{copy}{suffix}")
        connection.execute("ROLLBACK")
    for path in database.parent.glob("Cookies*"):
        path.unlink()
    for path in database.parent.glob("copy*"):
        path.rename(database.with_name(path.name.replace("copy", "Cookies")))


def test_a_sound_database_has_no_problem(database: Path, scratch: Path) -> None:
    found = check(database, scratch)
    assert (found.problem, found.left_over) == ("", "")
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("suffix", ["", "-journal", "-wal"])
def test_what_takes_its_place_once_it_was_looked_at_is_not_read(
    database: Path, scratch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    """Its browser's user may do that: another's database would be read for it, or a pipe be waited for."""
    elsewhere = tmp_path / "elsewhere"
    shutil.copyfile(database, elsewhere)
    with closing(sqlite3.connect(elsewhere)) as connection:
        connection.execute("INSERT INTO cookies VALUES ('of another')")
        connection.commit()
    real = sqlite3.connect

    def replaced(*what: Any, **how: Any) -> Any:
        there = Path(f"{database}{suffix}")
        there.unlink(missing_ok=True)
        there.symlink_to(elsewhere)
        return real(*what, **how)

    monkeypatch.setattr(sqlite3, "connect", replaced)
    with opened(database, scratch) as connection:
        assert connection.execute("SELECT count(*) FROM cookies").fetchone() == (500,)
    assert list(scratch.iterdir()) == []


def test_one_that_went_is_told_of_as_missing(database: Path, scratch: Path) -> None:
    database.unlink()
    assert check(database, scratch).problem == "is missing"
    with pytest.raises(sqlite3.OperationalError), opened(database, scratch):
        pass


def test_no_room_for_a_copy_is_no_damage(
    database: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(DiskFull):
        check(database, scratch)


def test_a_copy_takes_no_more_than_half_of_what_is_free(
    database: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside it every profile's floor and marker are to be written."""
    monkeypatch.setattr(durable, "free_bytes", lambda _: 2 * database.stat().st_size - 10_000)
    with pytest.raises(DiskFull):
        check(database, scratch)


def test_without_room_for_even_a_folder_the_disk_is_full(
    database: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "mkdtemp", full)
    with pytest.raises(DiskFull):
        check(database, scratch)


@pytest.mark.parametrize("suffix", ["", "-journal", "-wal"])
def test_of_one_that_is_too_large_nothing_is_known_and_nothing_copied(
    database: Path, scratch: Path, suffix: str
) -> None:
    with Path(f"{database}{suffix}").open("ab") as file:
        file.truncate(1 << 40)
    found = check(database, scratch)
    assert (found.problem, "too large" in found.unseen) == ("", True)
    assert list(scratch.iterdir()) == []


def test_a_copy_has_the_holes_that_the_file_has(
    database: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with database.open("ab") as file:
        file.truncate(300 << 20)
    taken: list[tuple[int, bool]] = []
    real = sqlite3.connect

    def looked(*what: Any, **how: Any) -> Any:
        [copy] = scratch.glob("*/Cookies")
        taken.append((copy.stat().st_blocks * 512, copy.stat().st_size == 300 << 20))
        return real(*what, **how)

    monkeypatch.setattr(sqlite3, "connect", looked)
    with opened(database, scratch) as connection:
        assert connection.execute("SELECT count(*) FROM cookies").fetchone() == (500,)
    [(size, whole)] = taken
    assert size < 10 << 20
    assert whole


@pytest.mark.parametrize("so_far", [0, 1], ids=["at once", "later"])
def test_one_that_its_disk_does_not_give_is_damaged_and_no_disk_is_full(
    database: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch, so_far: int
) -> None:
    real, reads = plain.opened, 0

    class Broken(io.BufferedReader):
        def read(self, size: int | None = -1, /) -> bytes:
            nonlocal reads
            reads += 1
            if reads > so_far:
                raise OSError(errno.EIO, "Input/output error")
            return super().read(size)

    monkeypatch.setattr(plain, "opened", lambda path: Broken(real(path).detach()))  # type: ignore[attr-defined]
    assert check(database, scratch).problem == "cannot be read: Input/output error"


@pytest.mark.parametrize("mode", ["truncate", "wal"])
def test_what_a_kill_leaves_is_sound_after_recovery_and_not_touched(
    database: Path, scratch: Path, mode: str
) -> None:
    left_behind(database, mode)
    before = state(database.parent)
    assert len(before) == 2
    found = check(database, scratch)
    assert found.problem == ""
    assert found.left_over == ("Cookies-journal" if mode == "truncate" else "")
    with opened(database, scratch) as connection:
        assert connection.execute("SELECT count(*) FROM cookies WHERE value = 'new'").fetchone() == (0,)
    assert state(database.parent) == before


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda content: b"", "is empty"),
        (lambda content: bytes(16) + content[16:], "has no SQLite header"),
        (lambda content: content[: len(content) // 2], ""),
        (lambda content: content[:4096] + bytes(4096) + content[8192:], ""),
    ],
    ids=["empty", "header", "cut", "page"],
)
def test_damage_is_found_and_left_as_it_is(
    database: Path, scratch: Path, damage: object, problem: str
) -> None:
    assert callable(damage)
    database.write_bytes(damage(database.read_bytes()))
    before = state(database.parent)
    assert problem in check(database, scratch).problem
    assert check(database, scratch).problem
    assert state(database.parent) == before
