"""The debugging pipe: JSON messages ended by NUL, on two descriptors that only this process has.

https://source.chromium.org/chromium/chromium/src/+/main:content/browser/devtools/devtools_pipe_handler.cc
Closing it is a clean shutdown for Chrome.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Self

_KERNEL_BUFFER = 1 << 20  # /proc/sys/fs/pipe-max-size; a screenshot then takes a few wake-ups, not hundreds
_HIGH_WATER = 4 << 20


class DebuggingPipe:
    """The host's ends. `on_message` gets each message without its NUL; `on_lost` is called once.

    Make it with `open`, which also returns Chrome's ends: (reading, writing), the caller's to close.
    """

    def __init__(self, on_message: Callable[[bytes], None], on_lost: Callable[[], None]) -> None:
        self._on_message, self._on_lost = on_message, on_lost
        self._partial: list[bytes] = []
        self._reader: asyncio.ReadTransport | None = None
        self._writer: asyncio.WriteTransport | None = None
        self._room = asyncio.Event()
        self._room.set()
        self._lost = False

    @classmethod
    async def open(
        cls, on_message: Callable[[bytes], None], on_lost: Callable[[], None]
    ) -> tuple[Self, tuple[int, int]]:
        pipe = cls(on_message, on_lost)
        theirs_in, ours_out = os.pipe()
        ours_in, theirs_out = os.pipe()
        for end in (ours_out, ours_in):
            with suppress(OSError):  # an unprivileged user may be over the limit of all its pipes
                fcntl.fcntl(end, fcntl.F_SETPIPE_SZ, _KERNEL_BUFFER)
        loop = asyncio.get_running_loop()
        pipe._reader, _ = await loop.connect_read_pipe(lambda: _Reading(pipe), os.fdopen(ours_in, "rb", 0))
        pipe._writer, _ = await loop.connect_write_pipe(lambda: _Writing(pipe), os.fdopen(ours_out, "wb", 0))
        pipe._writer.set_write_buffer_limits(high=_HIGH_WATER)
        return pipe, (theirs_in, theirs_out)

    def write(self, message: bytes) -> None:
        """Send one message, later if the pipe is full; lost with the pipe."""
        if self._writer is not None and not self._lost:
            self._writer.write(message + b"\0")

    async def room(self) -> None:
        """Return when Chrome has read enough for more to be written; at once when the pipe is lost."""
        await self._room.wait()

    def close(self) -> None:
        """Idempotent. Tells Chrome to end, unless it has."""
        for transport in (self._reader, self._writer):
            if transport is not None:
                transport.close()
        self.lost()

    def received(self, data: bytes) -> None:
        """Take bytes as they come and pass on what they complete."""
        *ends, rest = data.split(b"\0")
        for end in ends:
            message = b"".join([*self._partial, end])
            self._partial = []
            self._on_message(message)
        if rest:
            self._partial.append(rest)

    def full(self) -> None:
        self._room.clear()

    def has_room(self) -> None:
        self._room.set()

    def lost(self) -> None:
        """Chrome closed its end, or we ours."""
        if not self._lost:
            self._lost = True
            self._room.set()
            self._on_lost()


class _Reading(asyncio.Protocol):
    def __init__(self, pipe: DebuggingPipe) -> None:
        self._pipe = pipe

    def data_received(self, data: bytes) -> None:
        self._pipe.received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._pipe.lost()


class _Writing(asyncio.BaseProtocol):
    def __init__(self, pipe: DebuggingPipe) -> None:
        self._pipe = pipe

    def pause_writing(self) -> None:
        self._pipe.full()

    def resume_writing(self) -> None:
        self._pipe.has_room()

    def connection_lost(self, exc: Exception | None) -> None:
        self._pipe.lost()
