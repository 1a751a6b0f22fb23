"""What an earlier host of the same data left on the machine when it and a keeper were killed together.

A living keeper cleans up by itself. Without one, Xvfb runs on, and the browser's directory stays. Chrome ends
of its own once its pipe is closed, and is given the time to: its cookies are still being written.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import shutil
import signal
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from browserhost import cgroup

CLEAN_EXIT_S = 10.0
_LOOK_S = 0.1
_PROC = Path("/proc")

_log = structlog.get_logger("leftovers")


@dataclass(frozen=True, slots=True)
class Leftovers:
    """Directories and control groups of browsers that no keeper sees to."""

    directories: tuple[Path, ...] = ()
    groups: tuple[Path, ...] = ()


def directory(tmp_root: Path, host: str) -> Path:
    """A name for a browser's directory, by which its host knows it again. `host` is unique to the data."""
    return tmp_root / f"{prefix(host)}{secrets.token_hex(3)}"


def prefix(host: str) -> str:
    """What the names of all of a host's directories begin with."""
    return f"tenure-{hashlib.sha256(host.encode()).hexdigest()[:6]}"


def find(tmp_root: Path, host: str, groups: Path | None) -> Leftovers:
    """What is left. Blocks. For a host that has started no browser yet, and has called the keepers."""
    keepers = [command for _, command in _commands() if b"keeper.py" in command]
    left = sorted(tmp_root.glob(f"{prefix(host)}??????"))
    return Leftovers(
        tuple(each for each in left if not any(os.fsencode(each) in command for command in keepers)),
        () if groups is None else tuple(each for each in cgroup.groups(groups) if not _kept(each)),
    )


async def clear(left: Leftovers) -> None:
    """End it, Chrome in its own way if it will, and remove it. Idempotent."""
    if left == Leftovers():
        return
    for _ in range(round(CLEAN_EXIT_S / _LOOK_S)):
        if not await asyncio.to_thread(_chrome_ends, left):
            break
        await asyncio.sleep(_LOOK_S)
    await asyncio.to_thread(_end, left)


def _end(left: Leftovers) -> None:
    for group in left.groups:
        if not cgroup.end(group):
            _log.error("not ended", cgroup=str(group))
    for pid in _running_in(left.directories):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for each in left.directories:
        shutil.rmtree(each, ignore_errors=True)
        _log.warning("removed what nobody kept", directory=str(each))


def _chrome_ends(left: Leftovers) -> bool:
    """Whether a Chrome's main process is still among it."""
    pids = {*_running_in(left.directories), *(pid for group in left.groups for pid in cgroup.members(group))}
    return any(
        b"--user-data-dir=" in command for pid, command in _commands(pids) if b"--type=" not in command
    )


def _running_in(directories: Iterable[Path]) -> list[int]:
    """The processes whose temporary files are in one of the directories."""
    marks = [b"TMPDIR=" + os.fsencode(each) for each in directories]
    found = []
    for pid in _pids() if marks else ():
        with suppress(OSError):
            words = (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
            if any(word == mark or word.startswith(mark + b"/") for word in words for mark in marks):
                found.append(pid)
    return found


def _kept(group: Path) -> bool:
    """Whether a keeper is the parent of any process in the group; of an empty one nobody knows: no."""
    parents = set()
    for pid in cgroup.members(group):
        with suppress(OSError):
            stat = (_PROC / str(pid) / "stat").read_bytes()
            parents.add(int(stat[stat.rindex(b")") + 2 :].split()[1]))
    return any(b"keeper.py" in command for _, command in _commands(parents))


def _commands(pids: Iterable[int] | None = None) -> list[tuple[int, bytes]]:
    found = []
    for pid in _pids() if pids is None else pids:
        with suppress(OSError):
            found.append((pid, (_PROC / str(pid) / "cmdline").read_bytes()))
    return found


def _pids() -> list[int]:
    with os.scandir(_PROC) as entries:
        return [int(entry.name) for entry in entries if entry.name.isdecimal()]
