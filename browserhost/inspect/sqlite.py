"""Checks SQLite databases without writing a byte beside them.

`mode=ro` alone creates a -shm file on a WAL database and fails on a hot journal; `immutable=1`
ignores both and calls a database in need of its journal malformed. So: a database with a hot
journal or a WAL is copied, sidecars and all, and the copy is opened; any other is opened
immutable. (Measured with Chromium 156 and SQLite 3.40.)
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from browserhost.inspect import plain

MAGIC = b"SQLite format 3\0"
# https://www.sqlite.org/fileformat2.html#the_rollback_journal: a header without it is a finished one.
_HOT = bytes.fromhex("d9d505f920a163d7")


@dataclass(frozen=True, slots=True)
class Database:
    """One database's state: `problem` is empty when it is sound, `left_over` names an unfinished journal.

    A WAL is no such sign: Chrome leaves one through a clean end, of a database it did not open.
    """

    path: Path
    problem: str = ""
    left_over: str = ""


def check(path: Path, scratch: Path) -> Database:
    """Check a file that should be a database; `scratch` is an empty directory for a copy.

    SQLite's quick_check reads every page; it leaves out the comparison of indexes with tables.
    """
    left_over = _left_over(path)
    try:
        with plain.opened(path) as file:
            header = file.read(len(MAGIC))
    except plain.NotPlain as error:
        return Database(path, str(error), left_over)
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

    Raises sqlite3.Error, also for what is no regular file.
    """
    _refuse_unless_plain(path)
    if _hot(path) or _size(path, "-wal"):
        for suffix in ("", "-journal", "-wal"):
            if _size(path, suffix):
                shutil.copyfile(f"{path}{suffix}", scratch / f"{path.name}{suffix}")
        address = f"file:{quote(str(scratch / path.name))}"
    else:
        address = f"file:{quote(str(path))}?mode=ro&immutable=1"
    with closing(sqlite3.connect(address, uri=True)) as connection:
        # Foreign bytes of any encoding must not stop an inspection.
        connection.text_factory = lambda data: data.decode("utf-8", "replace")
        yield connection


def _refuse_unless_plain(path: Path) -> None:
    for suffix in ("", "-journal", "-wal"):
        try:
            plain.opened(Path(f"{path}{suffix}")).close()
        except FileNotFoundError:
            continue
        except plain.NotPlain as error:
            raise sqlite3.OperationalError(str(error)) from None


def _left_over(path: Path) -> str:
    return f"{path.name}-journal" if _size(path, "-journal") else ""


def _hot(path: Path) -> bool:
    try:
        with plain.opened(Path(f"{path}-journal")) as file:
            return file.read(len(_HOT)) == _HOT
    except FileNotFoundError:
        return False


def _size(path: Path, suffix: str) -> int:
    try:
        return Path(f"{path}{suffix}").stat().st_size
    except FileNotFoundError:
        return 0
