"""Processes that may be no children of ours: waited for, killed and reaped as far as that goes."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tenure import processes


@dataclass(slots=True)
class Child:
    """A process below the keeper. The descriptor names it for good, whatever becomes of its pid."""

    pid: int
    start_ticks: int
    pidfd: int

    def kill(self, number: int) -> None:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, number)


async def ended(pidfd: int, timeout: float) -> bool:
    """Whether the process ends within `timeout` seconds. It need not be a child."""
    loop = asyncio.get_running_loop()
    end: asyncio.Future[None] = loop.create_future()
    loop.add_reader(pidfd, _resolve, end)
    try:
        async with asyncio.timeout(timeout):
            await end
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(pidfd)
    return True


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def runs(pid: int, start_ticks: int) -> bool:
    """Whether that very process is there; dead and not reaped counts as not."""
    try:
        found = processes.parse_stat(Path(f"/proc/{pid}/stat").read_text())
    except (OSError, ValueError):
        return False
    return found.start == start_ticks and found.runs


def kill_group(group: int) -> None:
    """Kill what is left of the process group of a Chrome that is no child of ours, and dead.

    Not by killpg, as its number may be another's by now.
    """
    for process in processes.table():
        with suppress(ProcessLookupError):
            if process.runs and os.getpgid(process.pid) == group:
                os.kill(process.pid, signal.SIGKILL)


def reap(pid: int) -> int | None:
    """The status of a dead child; None when it was not ours, or another reaped it."""
    try:
        done, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return None
    return status if done else None


async def reap_group(group: int) -> None:
    """Reap what was killed with its group; each needs a moment to die."""
    for _ in range(400):
        if not _has_dead_or_living(group):
            return
        await asyncio.sleep(0.005)


def _has_dead_or_living(group: int) -> bool:
    """Reap the group's dead children of ours; whether any, dead until now or living, was there."""
    try:
        os.waitpid(-group, os.WNOHANG)
    except ChildProcessError:
        return False
    return True
