"""The processes below this one, as Linux's /proc tells: to leave none behind, and to prove it."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Process:
    """One line of the process table. `pid` with `start` names a process for good: pids come back. Two lines
    of one process are equal, whatever has become of it in between.
    """

    pid: int
    parent: int = field(compare=False)
    state: str = field(compare=False)
    """One letter, as in proc(5); Z is dead and not yet reaped."""
    name: str = field(compare=False)
    start: int
    """Clock ticks since boot."""

    @property
    def runs(self) -> bool:
        return self.state not in "ZX"


def parse_stat(text: str) -> Process:
    """Return what a /proc/PID/stat says. The name may hold spaces and parentheses: the last one closes it."""
    pid, _, rest = text.partition(" (")
    name, _, fields = rest.rpartition(") ")
    parts = fields.split()
    return Process(int(pid), int(parts[1]), parts[0], name, int(parts[19]))


def table() -> list[Process]:
    """Every process of this pid namespace."""
    found = []
    for entry in _PROC.iterdir():
        if entry.name.isdecimal():
            try:
                found.append(parse_stat((entry / "stat").read_text()))
            except (FileNotFoundError, ProcessLookupError):
                continue  # it ended meanwhile
    return found


def below(root: int, processes: Iterable[Process]) -> list[Process]:
    """The processes that descend from `root`, parents before children."""
    children: dict[int, list[Process]] = {}
    for process in processes:
        children.setdefault(process.parent, []).append(process)
    found: list[Process] = []
    level = [root]
    while level:
        next_level = [child for pid in level for child in children.get(pid, [])]
        found.extend(next_level)
        level = [child.pid for child in next_level]
    return found


def adopt_orphans() -> None:
    """Make this process the parent of whatever its descendants leave behind (prctl(2)).

    From then on nothing below it can get out of sight, except into another pid namespace.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def reap(processes: Iterable[Process], keep: Collection[int]) -> None:
    """Bury the dead children of this process, those in `keep` excepted: somebody else waits for them."""
    for process in processes:
        if process.parent == os.getpid() and not process.runs and process.pid not in keep:
            try:
                os.waitpid(process.pid, os.WNOHANG)
            except ChildProcessError:
                continue
