"""Which processes own a profile directory right now, from three witnesses that cannot be left behind.

A command line with `--user-data-dir`, an open file in the directory, an fcntl lock on one of its
files. Chrome's Singleton links are none of them: they stay behind after a kill, and a browser
whose links were removed goes on living.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tenure.processes import parse_stat

_FLAG = "--user-data-dir="
# struct flock of fcntl(2): l_type, l_whence, l_start, l_len, l_pid. Native alignment.
_FLOCK = "hhqqi"
_LOCKED_NAMES = ("LOCK", "lockfile", "Cookies", "History", "Web Data", "Login Data")


@dataclass(frozen=True, slots=True)
class Owner:
    """A process, told apart from a later one with its pid by its start time (clock ticks since boot)."""

    pid: int
    start_ticks: int
    how: str


@dataclass(frozen=True, slots=True)
class Singleton:
    """What Chrome's own lock link says: a hint, never a proof."""

    host: str
    pid: int

    @property
    def foreign(self) -> bool:
        """It names another machine, whose processes cannot be seen from here."""
        return self.host != socket.gethostname()


def start_ticks(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None when it is gone."""
    try:
        return parse_stat(Path(f"/proc/{pid}/stat").read_text()).start
    except OSError:
        return None


def owners(profile_dir: Path) -> list[Owner]:
    """Every process that has the directory in use, each once, by pid."""
    found: dict[int, str] = {}
    for pid in _pids():
        how = _named(pid, profile_dir) or _open_file(pid, profile_dir)
        if how:
            found[pid] = how
    for path in _lockable(profile_dir):
        pid = _lock_holder(path)
        if pid:
            found.setdefault(pid, f"locks {path.name}")
    return [Owner(pid, start_ticks(pid) or 0, how) for pid, how in sorted(found.items())]


def singleton(profile_dir: Path) -> Singleton | None:
    """What SingletonLock says. A dangling link is the usual case, so nothing here follows it."""
    try:
        host, _, pid = str((profile_dir / "SingletonLock").readlink()).rpartition("-")
    except OSError:
        return None
    return Singleton(host, int(pid) if pid.isdigit() else 0)


def _pids() -> Iterator[int]:
    return (int(entry.name) for entry in os.scandir("/proc") if entry.name.isdigit())


def _named(pid: int, profile_dir: Path) -> str:
    with suppress(OSError):
        command = os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes())
        # Chrome writes its command line anew, with blanks between, and a path may hold blanks too.
        for rest in command.split(_FLAG)[1:]:
            argument = rest.partition("\0")[0]
            wanted = str(profile_dir)
            if argument.startswith(wanted) and argument[len(wanted) :][:1] in ("", " "):
                return "runs on it"
            if Path(argument).resolve() == profile_dir:
                return "runs on it"
    return ""


def _open_file(pid: int, profile_dir: Path) -> str:
    inside = f"{profile_dir}/"
    with suppress(OSError), os.scandir(f"/proc/{pid}/fd") as entries:
        for entry in entries:
            with suppress(OSError):
                target = str(Path(entry.path).readlink())
                if target.startswith(inside):
                    return f"has {target.removeprefix(inside)} open"
    return ""


def _lockable(profile_dir: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(profile_dir):
        for name in _LOCKED_NAMES:
            if name in names:
                yield Path(folder, name)


def _lock_holder(path: Path) -> int:
    """The pid of an fcntl lock on the file, 0 for none. Asking takes no lock."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return 0
    try:
        question = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        answer = struct.unpack(_FLOCK, fcntl.fcntl(descriptor, fcntl.F_GETLK, question))
        # A lock of another pid namespace has pid 0, one of an open file description -1.
        return 0 if answer[0] == fcntl.F_UNLCK else max(1, answer[4])
    finally:
        os.close(descriptor)
