"""What browsers cost and whether they compute, read from /proc: blocking, so in a thread.

One walk over the process table serves all browsers of a host.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from browserhost.autopsy import Scene
from browserhost.hang import Signs

_PROC = Path("/proc")
_OF_OUR_OWN = ("RssAnon:", "RssShmem:")


@dataclass(frozen=True, slots=True)
class Vitals:
    """One browser's. `bytes`: what no file backs, of all its processes with its X server.

    Memory that its processes share counts once for each of them: rather too much than too little.
    """

    bytes: int
    processes: int
    signs: Signs


@dataclass(frozen=True, slots=True)
class _Stat:
    parent: int
    ticks: int
    state: str


@dataclass(slots=True)
class _Table:
    """The process table of one moment."""

    stats: dict[int, _Stat] = field(default_factory=dict)
    children: dict[int, list[int]] = field(default_factory=dict)

    def tree(self, root: int) -> list[int]:
        found = [root]
        for pid in found:
            found.extend(self.children.get(pid, ()))
        return found


def scan(chromes: Mapping[str, int], *, memory: bool = True) -> dict[str, Vitals]:
    """The vitals of browsers by key, given the pids of their main processes; what has ended is left out.

    `memory` False saves its half of the work and says 0 bytes.
    """
    if not chromes:
        return {}
    table = _table()
    found = {}
    for key, pid in chromes.items():
        stat = table.stats.get(pid)
        if stat is None:
            continue
        # Its keeper's tree, the X server with it; an orphan's parent is this very process.
        root = pid if stat.parent in (os.getpid(), 1) else stat.parent
        tree = [each for each in table.tree(root) if each in table.stats]
        ticks = sum(table.stats[each].ticks for each in tree)
        size = sum(map(_own_bytes, tree)) if memory else 0
        found[key] = Vitals(size, len(tree), Signs(stat.ticks, ticks, stat.state))
    return found


def available() -> int:
    """Bytes that the machine could give to programs without swapping; a lot where nobody can tell."""
    text = _PROC.joinpath("meminfo").read_text()
    lines = [line for line in text.splitlines() if line.startswith("MemAvailable:")]
    return int(lines[0].split()[1]) << 10 if lines else 1 << 62


def scene(directory: Path) -> Scene:
    """The machine now, for a browser whose profile is in `directory`."""
    return Scene(_oom_kills(), _free(directory))


def _table() -> _Table:
    table = _Table()
    with os.scandir(_PROC) as entries:
        pids = [int(entry.name) for entry in entries if entry.name.isdecimal()]
    for pid in pids:
        try:
            text = _PROC.joinpath(str(pid), "stat").read_bytes()
        except OSError:
            continue  # it ended meanwhile
        fields = text[text.rindex(b")") + 2 :].split()
        # State, parent, then user and system time: fields 3, 4, 14 and 15 of proc_pid_stat(5).
        stat = _Stat(int(fields[1]), int(fields[11]) + int(fields[12]), chr(fields[0][0]))
        table.stats[pid] = stat
        table.children.setdefault(stat.parent, []).append(pid)
    return table


def _own_bytes(pid: int) -> int:
    try:
        lines: Iterable[str] = _PROC.joinpath(str(pid), "status").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith(_OF_OUR_OWN))


def _oom_kills() -> int:
    text = _PROC.joinpath("vmstat").read_text()
    lines = [line for line in text.splitlines() if line.startswith("oom_kill ")]
    return int(lines[0].split()[1]) if lines else 0


def _free(directory: Path) -> int:
    try:
        return shutil.disk_usage(directory).free
    except OSError:
        return 1 << 62  # a missing directory is another finding's business
