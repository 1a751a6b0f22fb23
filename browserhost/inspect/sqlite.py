"""Checks SQLite databases without writing a byte beside them.

SQLite opens a name, and follows it wherever it leads, however often it was looked at before; and the folder
is its browser's. So it is given a copy, in a folder of ours, of the file that was found to be one.
`mode=ro` alone creates a -shm file on a WAL database and fails on a hot journal; `immutable=1` ignores both
and calls a database in need of its journal malformed. So one with a hot journal or a WAL is copied sidecars
and all, and any other is opened immutable. (Measured with Chromium 156 and SQLite 3.40.)
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from browserhost import durable
from browserhost.inspect import plain

MAGIC = b"SQLite format 3\0"
# https://www.sqlite.org/fileformat2.html#the_rollback_journal: a header without it is a finished one.
_HOT = bytes.fromhex("d9d505f920a163d7")
_PART = 1 << 20


@dataclass(frozen=True, slots=True)
class Database:
    """One database's state: `problem` is empty when it is sound, `left_over` names an unfinished journal.

    A WAL is no such sign: Chrome leaves one through a clean end, of a database it did not open.
    """

    path: Path
    problem: str = ""
    left_over: str = ""


def check(path: Path, scratch: Path) -> Database:
    """Check a file that should be a database; `scratch` is a directory for a copy.

    SQLite's quick_check reads every page; it leaves out the comparison of indexes with tables. Raises
    DiskFull when there is no room for a copy.
    """
    left_over = _left_over(path)
    try:
        with plain.opened(path) as file:
            header = file.read(len(MAGIC))
    except plain.NotPlain as error:
        return Database(path, str(error), left_over)
    except FileNotFoundError:
        return Database(path, "is missing", left_over)
    if not header:
        return Database(path, "is empty", left_over)
    if header != MAGIC:
        return Database(path, "has no SQLite header", left_over)
    try:
        with opened(path, scratch) as connection:
            answers = [row[0] for row in connection.execute("PRAGMA quick_check(1)")]
    except sqlite3.Error as error:
        return Database(path, str(error), left_over)
    return Database(path, "" if answers == ["ok"] else str(answers[0]), left_over)


@contextmanager
def opened(path: Path, scratch: Path) -> Iterator[sqlite3.Connection]:
    """A connection that reads the database as a recovery would leave it, the files themselves untouched.

    Raises sqlite3.Error, also for what is no regular file; DiskFull.
    """
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        try:
            # Sidecars also where they are not needed: what is no file is nothing that Chrome left.
            copy, *sidecars = (_copied(path, suffix, Path(folder)) for suffix in ("", "-journal", "-wal"))
        except plain.NotPlain as error:
            raise sqlite3.OperationalError(str(error)) from None
        address = f"file:{quote(str(copy))}"
        if not _needs_them(*sidecars):
            address += "?mode=ro&immutable=1"
        with closing(sqlite3.connect(address, uri=True)) as connection:
            # Foreign bytes of any encoding must not stop an inspection.
            connection.text_factory = lambda data: data.decode("utf-8", "replace")
            yield connection


def _copied(path: Path, suffix: str, folder: Path) -> Path:
    """Where a copy of a regular file is, of no more than it has now; of none, where there is none.

    Raises NotPlain, DiskFull.
    """
    target = folder / f"{path.name}{suffix}"
    with suppress(FileNotFoundError), plain.opened(Path(f"{path}{suffix}")) as source:
        left = os.fstat(source.fileno()).st_size
        with durable.disk_full_is_refused(folder), target.open("xb") as copy:
            while left and (part := source.read(min(left, _PART))):
                copy.write(part)
                left -= len(part)
    return target


def _needs_them(journal: Path, wal: Path) -> bool:
    """Whether a database needs what was copied of its sidecars."""
    with suppress(FileNotFoundError), journal.open("rb") as file:
        if file.read(len(_HOT)) == _HOT:
            return True
    return wal.exists() and wal.stat().st_size > 0


def _left_over(path: Path) -> str:
    name = f"{path.name}-journal"
    with suppress(FileNotFoundError):
        return name if path.with_name(name).lstat().st_size else ""
    return ""
