"""Small files that survive a crash: written whole or not at all, and on disk when the call returns."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tenure.errors import DiskFull

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_MISSING = frozenset({errno.ENOENT, errno.ENOTDIR})


def write(path: Path, content: bytes) -> None:
    """Replace the file at `path`; makes its directory. On disk, name and all, when this returns.

    Raises DiskFull, with the old content untouched: the new one is written beside it and
    takes its name only once it is whole (rename(2) is atomic).
    """
    with disk_full_is_refused(path):
        make_directory(path.parent)
        beside = path.with_name(f".{path.name}.new")
        try:
            with beside.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        except OSError:
            with suppress(OSError):
                beside.unlink()
            raise
        sync_directory(path.parent)


def append(path: Path, line: bytes) -> None:
    """Add a line to the file at `path`, on disk when this returns. Raises DiskFull."""
    with disk_full_is_refused(path):
        make_directory(path.parent)
        with path.open("ab", buffering=0) as file:
            before = file.tell()
            try:
                if file.write(line + b"\n") != len(line) + 1:
                    raise OSError(errno.ENOSPC, "only a part of the line was taken")
                os.fsync(file.fileno())
            except OSError:
                # Half a line would spoil the next one.
                with suppress(OSError):
                    file.truncate(before)
                raise


def read(path: Path) -> bytes | None:
    """The file's content; None when there is no such file."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def make_directory(path: Path) -> None:
    """Make a directory and what is missing above it, private to us, each one's name on disk."""
    if path.is_dir():
        return
    make_directory(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Put the names in a directory on disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def temporary_directory(place: Path, prefix: str = "tmp") -> tempfile.TemporaryDirectory[str]:
    """A folder below `place` that goes with its context. Raises DiskFull."""
    with disk_full_is_refused(place):
        return tempfile.TemporaryDirectory(dir=place, prefix=prefix)


@contextmanager
def disk_full_is_refused(path: Path) -> Iterator[None]:
    """Turn what a disk does not take into DiskFull, which names the place and what is free there.

    A disk that became read-only or breaks is as safe to refuse as a full one, and is told apart in words.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _MISSING:
            raise
        full = error.errno in _FULL
        text = "" if full else f"The host cannot write to its disk at '{path}': {error.strerror or error}."
        raise DiskFull(text, path=str(path), free_bytes=free_bytes(path)) from error


def free_bytes(path: Path) -> int:
    """What an ordinary user could still write at `path`, there or not yet; 0 where nobody can tell."""
    try:
        while not path.exists():
            path = path.parent
        return shutil.disk_usage(path).free
    except OSError:
        return 0
