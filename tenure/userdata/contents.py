"""What belongs to a profile directory, and one digest of it all. Blocking: call it in a thread.

Regular files and folders alone: a link is never followed and never sent, nor is what only means something
to a process (sockets, pipes, Chrome's own locks), nor a cache.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tenure.userdata.caches import is_cache, is_of_a_process

CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Found:
    """A file or a folder. `path` is relative, `mode` as it is sent. Read it before asking for the next."""

    path: str
    mode: int
    size: int
    mtime: int
    is_folder: bool
    _name: str
    _folder_fd: int

    def read(self) -> Iterator[bytes]:
        """The file's content, at most 1 MiB at a time."""
        descriptor = os.open(
            self._name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=self._folder_fd
        )
        with open(descriptor, "rb", buffering=0) as file:  # noqa: PTH123 - it has no path
            while content := file.read(CHUNK):
                yield content


def contents(directory: Path) -> Iterator[Found]:
    """All that belongs to it, a folder before what is in it."""
    for folder, below, names, descriptor in os.fwalk(directory, follow_symlinks=False):
        inside = os.path.relpath(folder, directory)
        before = "" if inside == "." else f"{inside}/"
        below[:] = sorted(name for name in below if not is_cache(name))
        if not before:
            names = [name for name in names if not is_of_a_process(name)]
        for name in (*below, *sorted(names)):
            seen = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            is_folder = stat.S_ISDIR(seen.st_mode)
            if is_folder or stat.S_ISREG(seen.st_mode):
                # The owner may always read and write: else nobody could take it further.
                mode = stat.S_IMODE(seen.st_mode) & 0o777 | (0o700 if is_folder else 0o600)
                size = 0 if is_folder else seen.st_size
                yield Found(before + name, mode, size, int(seen.st_mtime), is_folder, name, descriptor)


class Tally:
    """The digest of a directory, from one reading of it. `size`: bytes of all contents so far."""

    def __init__(self) -> None:
        self.size = 0
        self._lines: list[list[object]] = []

    def folder(self, found: Found) -> None:
        """Take a folder."""
        self._lines.append([found.path, found.mode])

    def file(self, found: Found) -> Iterator[bytes]:
        """Read a file to its end: its content goes through this, and counts when it was all taken."""
        content, size = hashlib.sha256(), 0
        for part in found.read():
            content.update(part)
            size += len(part)
            yield part
        self._lines.append([found.path, found.mode, size, content.hexdigest()])
        self.size += size

    def digest(self) -> str:
        """The SHA-256 of all names, modes, sizes and contents, in any order of reading."""
        return hashlib.sha256(json.dumps(sorted(self._lines, key=_by_path)).encode()).hexdigest()


def _by_path(line: list[object]) -> str:
    return str(line[0])


def digest(directory: Path) -> tuple[str, int]:
    """The SHA-256 of all names, modes, sizes and contents, and how many bytes the contents have."""
    tally = Tally()
    for found in contents(directory):
        if found.is_folder:
            tally.folder(found)
            continue
        for _ in tally.file(found):
            pass
    return tally.digest(), tally.size


def size(directory: Path) -> int:
    """How many bytes the contents have; nothing is read."""
    return sum(found.size for found in contents(directory))
