"""File objects that an event loop makes transports of."""

from __future__ import annotations

import asyncio
import io


def transported(descriptor: int, mode: str) -> io.FileIO:
    """A file for `connect_read_pipe` ("rb") or `connect_write_pipe` ("wb") of the running loop: with its
    transport the descriptor is closed, once.

    uvloop closes the descriptor by itself and after that the file, as if that were harmless: by then the
    number may be another thread's, whose descriptor would be closed (uvloop 0.23 `UVSocketHandle._close`).
    """
    by_file = isinstance(asyncio.get_running_loop(), asyncio.BaseEventLoop)
    return io.FileIO(descriptor, mode, closefd=by_file)
