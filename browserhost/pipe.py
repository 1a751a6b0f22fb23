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

from browserhost.frames import Piece
from tenure.transported import transported

_KERNEL_BUFFER = 1 << 20  # /proc/sys/fs/pipe-max-size; a screenshot then takes a few wake-ups, not hundreds
_HIGH_WATER = 4 << 20


class DebuggingPipe:
    """The host's ends. `on_message` gets each message less its NUL, to keep; `on_lost` is called once.

    Make it with `open`, which also returns Chrome's ends: (reading, writing), the caller's to close.
    `full` is true while Chrome reads so slowly that it is not sensible to write more.
    """

    def __init__(self, on_message: Callable[[bytes | bytearray], None], on_lost: Callable[[], None]) -> None:
        self.full = False
        self._on_message, self._on_lost = on_message, on_lost
        self._partial = bytearray()
        self._reader: asyncio.ReadTransport | None = None
        self._writer: asyncio.WriteTransport | None = None
        self._on_room: list[Callable[[], None]] = []
        self._pausing: set[object] = set()
        self._lost = False
        self._rests: asyncio.Event | None = None
        self._ends = (-1, -1)

    @classmethod
    async def open(
        cls, on_message: Callable[[bytes | bytearray], None], on_lost: Callable[[], None]
    ) -> tuple[Self, tuple[int, int]]:
        pipe = cls(on_message, on_lost)
        theirs_in, ours_out = os.pipe()
        ours_in, theirs_out = os.pipe()
        for end in (ours_out, ours_in):
            with suppress(OSError):  # an unprivileged user may be over the limit of all its pipes
                fcntl.fcntl(end, fcntl.F_SETPIPE_SZ, _KERNEL_BUFFER)
        await pipe._connect(ours_out, ours_in)
        return pipe, (theirs_in, theirs_out)

    async def adopt(self, write: int, read: int) -> None:
        """Go on with the ends of another host's; the descriptors are the pipe's from then on."""
        await self._connect(write, read)

    @property
    def descriptors(self) -> tuple[int, int]:
        """The ends that are written to and read from."""
        return self._ends

    async def _connect(self, write: int, read: int) -> None:
        loop = asyncio.get_running_loop()
        self._ends = write, read
        self._reader, _ = await loop.connect_read_pipe(lambda: _Reading(self), transported(read, "rb"))
        self._writer, _ = await loop.connect_write_pipe(lambda: _Writing(self), transported(write, "wb"))
        self._writer.set_write_buffer_limits(high=_HIGH_WATER)

    def write(self, *pieces: Piece) -> None:
        """Send one message, whose content is these pieces, later if the pipe is full; lost with the pipe."""
        if self._writer is not None and not self._lost:
            self._writer.write(b"".join((*pieces, b"\0")))

    def when_room(self, tell: Callable[[], None]) -> None:
        """Call `tell` once, when `full` ends or the pipe is lost; at once when it is not full."""
        if self.full and not self._lost:
            self._on_room.append(tell)
        else:
            tell()

    def pause(self, who: object) -> None:
        """Read nothing from Chrome, until nobody wants that any more. Idempotent.

        What Chrome says takes its memory then, not ours.
        """
        if not self._pausing and not self._lost and self._reader is not None:
            self._reader.pause_reading()
        self._pausing.add(who)

    def resume(self, who: object) -> None:
        """Read on, as far as `who` is concerned. Idempotent."""
        if self._pausing:
            self._pausing.discard(who)
            if not self._pausing and not self._lost and self._reader is not None:
                self._reader.resume_reading()

    async def rest(self) -> None:
        """Read to the end of a message and nothing behind it, for good; return once all that was written is
        Chrome's too. The caller bounds it; it never returns once the pipe is lost."""
        self._rests = asyncio.Event()
        self._rest()
        await self._rests.wait()
        written = asyncio.Event()
        if self._writer is not None:
            self._writer.set_write_buffer_limits(high=0)
        self.when_room(written.set)
        await written.wait()

    def _rest(self) -> None:
        if self._rests is not None and not self._partial and not self._lost:
            self.pause(self)
            self._rests.set()

    def close(self) -> None:
        """Idempotent. Tells Chrome to end, unless it has."""
        self.lost()

    def received(self, data: bytes) -> None:
        """Take bytes as they come and pass on what they complete."""
        begin = 0
        while (end := data.find(b"\0", begin)) >= 0:
            message: bytes | bytearray = data[begin:end]
            if self._partial:
                self._partial += message
                message, self._partial = self._partial, bytearray()
            begin = end + 1
            self._on_message(message)
        self._partial += data[begin:]
        self._rest()

    def has_room(self, has: bool) -> None:
        self.full = not has
        waiting, self._on_room = (self._on_room, []) if has else ([], self._on_room)
        for tell in waiting:
            tell()

    def lost(self) -> None:
        """Chrome closed an end of its, or we ours: the other is of no use, and Chrome ends with it."""
        if not self._lost:
            self._lost = True
            for transport in (self._reader, self._writer):
                if transport is not None:
                    transport.close()
            self.has_room(has=True)
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
        self._pipe.has_room(has=False)

    def resume_writing(self) -> None:
        self._pipe.has_room(has=True)

    def connection_lost(self, exc: Exception | None) -> None:
        self._pipe.lost()
