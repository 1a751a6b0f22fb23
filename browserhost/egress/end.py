"""One side of a forwarded connection: first read by a parser, then tied to the other side."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar, cast

HELD_BYTES = 64 << 10
"""What is read from a side that is not tied yet; more stays in its sender's buffers."""
LINGER_S = 10.0
"""How long a side may take to read what is left for it once the other is gone."""

T = TypeVar("T")
Parse = Callable[[bytes], tuple[T, int] | None]
"""What the bytes say, and how many of them said it; None when more must come."""


class Ended(ConnectionError):
    """The side closed, or sent too much, before it had said what was waited for."""


class End(asyncio.Protocol):
    """A connection's protocol. Whatever it gets and nobody has taken is passed on once it is tied."""

    def __init__(
        self,
        on_lost: Callable[[End], None] = lambda _: None,
        on_made: Callable[[End], None] = lambda _: None,
        *,
        welcome: bool = True,
    ) -> None:
        """`on_made` is called once it is connected, `on_lost` after that. One not `welcome` is cut then."""
        self._on_lost, self._on_made, self._welcome = on_lost, on_made, welcome
        self._transport: asyncio.Transport | None = None
        self._other: End | None = None
        self._held = bytearray()
        self._eof = False
        self._lost = False
        self._changed = asyncio.Event()

    @property
    def transport(self) -> asyncio.Transport:
        """Only once it is connected."""
        assert self._transport is not None
        return self._transport

    @property
    def is_closing(self) -> bool:
        """Whether it is closed, or will be without another byte from it."""
        return self.transport.is_closing()

    async def connected(self) -> None:
        """Return once there is a transport: whoever made the protocol may come before."""
        while self._transport is None:
            self._changed.clear()
            await self._changed.wait()

    async def take(self, parse: Parse[T]) -> T:
        """What the next bytes say. Raises Ended, and what `parse` raises."""
        while (found := parse(bytes(self._held))) is None:
            if self._eof or self._lost or len(self._held) >= HELD_BYTES:
                raise Ended
            self._changed.clear()
            await self._changed.wait()
        value, length = found
        del self._held[:length]
        return value

    async def take_all(self, is_whole: Callable[[bytes], bool]) -> bytes:
        """All that comes until it is whole, or the side has ended, or HELD_BYTES are there."""
        while not is_whole(bytes(self._held)):
            if self._eof or self._lost or len(self._held) >= HELD_BYTES:
                break
            self._changed.clear()
            await self._changed.wait()
        return bytes(self._held)

    def send(self, data: bytes) -> None:
        """Write at once; what is not read yet is kept."""
        if not self.transport.is_closing():
            self.transport.write(data)

    def tie(self, other: End) -> None:
        """From now on, what either side gets the other is sent."""
        self.leads_to(other)
        other.leads_to(self)

    def leads_to(self, other: End) -> None:
        """Half of `tie`: what this side has said already goes first."""
        self._other = other
        if self._held:
            other.send(bytes(self._held))
            self._held.clear()
        self.reads(True)
        if self._lost:
            other.hang_up()
        elif self._eof:
            other.finish()

    def hang_up(self) -> None:
        """Close once everything is read, or after a while."""
        transport = self.transport
        if not transport.is_closing():
            transport.close()
            asyncio.get_running_loop().call_later(LINGER_S, transport.abort)

    def abort(self) -> None:
        """Close now."""
        if self._transport is not None:
            self._transport.abort()

    def reads(self, wanted: bool) -> None:
        """Take more from this side, or leave it in its sender's buffers."""
        transport = self.transport
        if transport.is_closing():
            return
        if wanted:
            transport.resume_reading()
        else:
            transport.pause_reading()

    def finish(self) -> None:
        """The other side has nothing more to say to this one."""
        if self.transport.is_closing():
            return
        if self._eof or not self.transport.can_write_eof():
            self.hang_up()
        else:
            self.transport.write_eof()

    # --- what the event loop calls -------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._changed.set()
        self._on_made(self)
        if not self._welcome:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._other is not None:
            self._other.send(data)
            return
        self._held += data
        if len(self._held) >= HELD_BYTES:
            self.reads(False)
        self._changed.set()

    def eof_received(self) -> bool:
        self._eof = True
        self._changed.set()
        if self._other is not None:
            self._other.finish()
        return True  # the other direction goes on

    def connection_lost(self, error: Exception | None) -> None:
        self._lost = True
        self._changed.set()
        self._on_lost(self)
        if self._other is not None:
            if error is None:
                self._other.hang_up()
            else:
                self._other.abort()

    def pause_writing(self) -> None:
        if self._other is not None:
            self._other.reads(False)

    def resume_writing(self) -> None:
        if self._other is not None:
            self._other.reads(True)
