"""A user id of its own for every tenant, and the files of its profiles made its own.

A tenant keeps its id for good, and no id is ever given twice: files that one tenant left behind must
not become another's. The ids need no entry in passwd(5); they must be nobody else's.
"""

from __future__ import annotations

import json
import os
import pwd
import stat
import threading
from contextlib import suppress
from pathlib import Path

from browserhost import durable

_SUBORDINATE = (Path("/etc/subuid"), Path("/etc/subgid"))


class NoMoreIds(Exception):
    """Every id of the range is a tenant's, or somebody else's."""


class Uids:
    """Those of one data directory. `ids` are those that may be given, in this order."""

    def __init__(self, path: Path, ids: range) -> None:
        self._path = path
        self._ids = ids
        self._given: dict[str, int] | None = None
        self._turn = threading.Lock()

    def of(self, tenant: str) -> int:
        """The tenant's, on disk before it is answered. Blocks; for any thread. Raises DiskFull, NoMoreIds."""
        with self._turn:
            if self._given is None:
                self._given = json.loads(durable.read(self._path) or b"{}")
            if tenant not in self._given:
                given = {**self._given, tenant: self._next(self._given)}
                durable.write(self._path, json.dumps(given, indent=1).encode())
                self._given = given
            return self._given[tenant]

    def _next(self, given: dict[str, int]) -> int:
        taken = [*_subordinate(), range(max(given.values(), default=-1) + 1)]
        for each in self._ids:
            if not any(each in ids for ids in taken) and not _has_a_name(each):
                return each
        raise NoMoreIds(f"no user id between {self._ids.start} and {self._ids.stop - 1} is left for a tenant")


def own(directory: Path, uid: int) -> bool:
    """Make a profile's directory and everything in it `uid`'s; whether there was anything to do. Blocks.

    Nothing may run on it. The directory itself comes last, so one that was given up half-way is done
    anew. A file with a second name is left alone: the other one may lead to what is not the tenant's.
    """
    if directory.stat().st_uid == uid:
        return False
    for _, folders, files, at in os.fwalk(directory, follow_symlinks=False):
        for name in (*files, *folders):
            found = os.stat(name, dir_fd=at, follow_symlinks=False)
            if stat.S_ISLNK(found.st_mode):
                os.chown(name, uid, uid, dir_fd=at, follow_symlinks=False)
            elif stat.S_ISDIR(found.st_mode) or stat.S_ISREG(found.st_mode):
                _give(name, at, uid)
    os.chown(directory, uid, uid, follow_symlinks=False)
    return True


def open_the_way(place: Path, root: Path) -> None:
    """Let every user pass, but not look into, what is above `place` from `root` on. Blocks.

    What lies beside the way stays closed as it is.
    """
    for parent in (*place.parents,):
        if parent == root.parent:
            return
        mode = stat.S_IMODE(parent.stat().st_mode)
        if not mode & 0o001:
            parent.chmod(mode | 0o011)


def _give(name: str, at: int, uid: int) -> None:
    """By descriptor: what was looked at is what is given, whoever renames things meanwhile."""
    with suppress(FileNotFoundError):
        opened = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at)
        try:
            found = os.fstat(opened)
            if stat.S_ISDIR(found.st_mode) or (stat.S_ISREG(found.st_mode) and found.st_nlink == 1):
                os.fchown(opened, uid, uid)
        finally:
            os.close(opened)


def _has_a_name(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _subordinate() -> list[range]:
    """The ids that containers of ordinary users have (subuid(5))."""
    found = []
    for file in _SUBORDINATE:
        with suppress(OSError):
            for line in file.read_text().splitlines():
                _, _, rest = line.partition(":")
                first, _, count = rest.partition(":")
                if first.isdecimal() and count.isdecimal():
                    found.append(range(int(first), int(first) + int(count)))
    return found
