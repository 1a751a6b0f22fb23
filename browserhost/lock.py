"""Our own lock on a profile directory: flock(2) on a file beside it.

A flock belongs to the open file, not to a process: the host opens and locks it, the keeper and
Chrome inherit it, the host drops its copy. So it is free exactly when keeper and Chrome are dead,
whatever became of the host. The file is never unlinked (two processes would hold two files).
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from pathlib import Path

from browserhost import durable

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.005, 0.25


def try_lock(path: Path) -> int | None:
    """Lock the file, making it when it is not there; its descriptor, or None when another has it.

    The caller owns the descriptor. It is not inherited unless told so. Raises DiskFull.
    """
    with durable.disk_full_is_refused(path):
        durable.make_directory(path.parent)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


async def wait_for_lock(path: Path, timeout: float) -> int | None:
    """As `try_lock`, waiting up to `timeout` seconds for a predecessor's browser to end.

    flock has no event to wait for and a thread blocked in it cannot be called off, so this asks
    again, at first every 5 ms, later every 250 ms.
    """
    deadline = asyncio.get_running_loop().time() + timeout
    pause = _FIRST_PAUSE_S
    while True:
        descriptor = try_lock(path)
        if descriptor is not None:
            return descriptor
        left = deadline - asyncio.get_running_loop().time()
        if left <= 0:
            return None
        await asyncio.sleep(min(pause, left))
        pause = min(pause * 2, _LONGEST_PAUSE_S)
