"""The moment at which a profile's floor rises on disk, as the kernel tells it (inotify(7))."""

from __future__ import annotations

import asyncio
import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.report import now

_IN_MOVED_TO = 0x80
_IN_NONBLOCK = os.O_NONBLOCK
_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def floor_rises(custody: Path) -> Iterator[asyncio.Future[float]]:
    """The future has the moment of the next rename to `floor` in a profile's custody folder."""
    descriptor = _libc.inotify_init1(_IN_NONBLOCK)
    if descriptor < 0 or _libc.inotify_add_watch(descriptor, os.fsencode(custody), _IN_MOVED_TO) < 0:
        raise OSError(ctypes.get_errno(), f"cannot watch {custody}")
    loop = asyncio.get_running_loop()
    risen: asyncio.Future[float] = loop.create_future()

    def read() -> None:
        # The name ends an event, padded with NULs.
        if b"floor\0" in os.read(descriptor, 4096) and not risen.done():
            risen.set_result(now())

    loop.add_reader(descriptor, read)
    try:
        yield risen
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
        risen.cancel()
