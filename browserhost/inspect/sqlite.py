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
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from browserhost import durable
from browserhost.inspect import plain
from tenure.errors import DiskFull

MAGIC = b"SQLite format 3\0"
# https://www.sqlite.org/fileformat2.html#the_rollback_journal: a header without it is a finished one.
_HOT = bytes.fromhex("d9d505f920a163d7")
_PART = 1 << 20
MOST = 2 << 30
"""Bytes of a file that is copied. Of a larger one nothing is known: anybody can make one, of holes."""


class TooLarge(sqlite3.OperationalError):
    """A database, or what is beside it, has more than MOST bytes."""


@dataclass(frozen=True, slots=True)
class Database:
    """One database's state: `problem` is empty when it is sound, or `unseen` says why that is not known;
    `left_over` names an unfinished journal.

    A WAL is no such sign: Chrome leaves one through a clean end, of a database it did not open.
    """

    path: Path
    problem: str = ""
    left_over: str = ""
    unseen: str = ""


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
    except OSError as error:
        return Database(path, _unreadable(error), left_over)
    if not header:
        return Database(path, "is empty", left_over)
    if header != MAGIC:
        return Database(path, "has no SQLite header", left_over)
    try:
        with opened(path, scratch) as connection:
            answers = [row[0] for row in connection.execute("PRAGMA quick_check(1)")]
    except TooLarge as error:
        return Database(path, "", left_over, str(error))
    except sqlite3.Error as error:
        return Database(path, str(error), left_over)
    return Database(path, "" if answers == ["ok"] else str(answers[0]), left_over)


@contextmanager
def opened(path: Path, scratch: Path) -> Iterator[sqlite3.Connection]:
    """A connection that reads the database as a recovery would leave it, the files themselves untouched.

    Raises sqlite3.Error, also for what is no regular file or cannot be read; TooLarge; DiskFull.
    """
    with durable.temporary_directory(scratch) as folder:
        try:
            # Sidecars also where they are not needed: what is no file is nothing that Chrome left.
            copy, *sidecars = (_copied(path, suffix, Path(folder)) for suffix in ("", "-journal", "-wal"))
        except plain.NotPlain as error:
            raise sqlite3.OperationalError(str(error)) from None
        except OSError as error:
            raise sqlite3.OperationalError(_unreadable(error)) from None
        address = f"file:{quote(str(copy))}"
        if not _needs_them(*sidecars):
            address += "?mode=ro&immutable=1"
        with closing(sqlite3.connect(address, uri=True)) as connection:
            # Foreign bytes of any encoding must not stop an inspection.
            connection.text_factory = lambda data: data.decode("utf-8", "replace")
            yield connection


def _copied(path: Path, suffix: str, folder: Path) -> Path:
    """Where a copy of a regular file is, of no more than it has now; of none, where there is none.

    Raises NotPlain, TooLarge, sqlite3.OperationalError for what cannot be read; DiskFull, before anything is
    written where it would take more than half of what is free: others write there too.
    """
    target = folder / f"{path.name}{suffix}"
    with suppress(FileNotFoundError), plain.opened(Path(f"{path}{suffix}")) as source:
        facts = os.fstat(source.fileno())
        if facts.st_size > MOST:
            raise TooLarge(f"has {facts.st_size} bytes, which is too large to be looked at")
        free = durable.free_bytes(folder)
        if min(facts.st_size, facts.st_blocks * 512) > free // 2:
            raise DiskFull(path=str(folder), free_bytes=free)
        with durable.disk_full_is_refused(folder), target.open("xb") as copy:
            for part in _parts(source, facts.st_size):
                if part.count(0) == len(part):
                    copy.seek(len(part), os.SEEK_CUR)  # holes stay holes
                else:
                    copy.write(part)
            copy.truncate()
    return target


def _parts(source: BinaryIO, left: int) -> Iterator[bytes]:
    """What a file has, up to `left` bytes. Raises sqlite3.OperationalError."""
    try:
        while left and (part := source.read(min(left, _PART))):
            yield part
            left -= len(part)
    except OSError as error:
        raise sqlite3.OperationalError(_unreadable(error)) from None


def _unreadable(error: OSError) -> str:
    return f"cannot be read: {error.strerror or error}"


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
