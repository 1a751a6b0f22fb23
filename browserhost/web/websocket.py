"""One open WebSocket, as the server has it."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from contextlib import suppress

from websockets.exceptions import ProtocolError
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import OPEN
from websockets.server import ServerProtocol
from websockets.typing import BytesLike

CLOSE_S = 1.0
"""How long the other side may take to hear that it is over."""
_COPIED = 16 << 10
"""Bytes up to which pieces are put together rather than handed on one by one."""
_TEXT, _BINARY = 0x81, 0x82  # of one frame, the last of its message
_16_BITS, _64_BITS = 126, 127
_LONGEST_REASON = 123  # RFC 6455, 5.5: what a control frame holds, less the code


def _ignore(*_: object) -> None:
    return


class WebSocket:
    """Nothing of it blocks. Nothing is read before `listen`.

    `ended` is set when the other side closes or is gone. `full` is true while what was sent last has
    not been taken yet by the other side or the kernel; more may be sent all the same, and is kept.
    """

    def __init__(
        self, protocol: ServerProtocol, transport: asyncio.Transport, flush: Callable[[], None]
    ) -> None:
        """`flush` sends what the library has to say."""
        self.ended = asyncio.Event()
        self.full = False
        self._protocol, self._transport, self._flush = protocol, transport, flush
        self._lost = asyncio.Event()
        self._on_message: Callable[[BytesLike], None] = _ignore
        self._on_room: Callable[[], None] = _ignore
        self._parts, self._begun = bytearray(), False  # of a message in several frames
        self._paused = True
        self._asked, self._answered = b"", asyncio.Event()

    @property
    def waiting(self) -> int:
        """Bytes that were sent here and that neither the kernel nor the other side has."""
        return self._transport.get_write_buffer_size()

    def listen(self, on_message: Callable[[BytesLike], None], on_room: Callable[[], None] = _ignore) -> None:
        """Begin to read. `on_message` gets each text message whole; `on_room` is called when `full` ends."""
        self._on_message, self._on_room = on_message, on_room
        self.resume()

    def pause(self) -> None:
        """Read no more for now; what has come already may still be told. Idempotent."""
        if not self._paused and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on. Idempotent."""
        if self._paused and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()

    def send(self, *pieces: BytesLike, binary: bool = False) -> None:
        """Send one message, whose content is these pieces; large ones are not copied. Lost if it is over."""
        if self._protocol.state is not OPEN or self._transport.is_closing():
            return
        size = sum(map(len, pieces))
        head = _head(_BINARY if binary else _TEXT, size)
        if size > _COPIED:
            self._transport.writelines((head, *pieces))
        else:
            self._transport.write(b"".join((head, *pieces)))

    async def ping(self, payload: bytes) -> None:
        """Return once the other side has answered, and what it sent before that has been told. Once.

        The caller bounds it; it never returns once the connection is over.
        """
        self._asked = payload
        if self._protocol.state is OPEN:
            self._protocol.send_ping(payload)
            self._flush()
        await self._answered.wait()

    async def close(self, code: int, reason: str = "", timeout: float = CLOSE_S) -> bool:
        """Tell the other side, behind what was sent, and leave it a moment to say it heard; whether it did.

        Idempotent. It did not when it had said itself, before, that it is over.
        """
        if self._protocol.state is OPEN:
            with suppress(ProtocolError):
                self._protocol.send_close(code, reason[:_LONGEST_REASON])
                self._flush()
        self.resume()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._lost.wait()
        self._transport.abort()
        return self._protocol.close_rcvd is not None and not self._protocol.close_rcvd_then_sent

    def take(self, text: bytes) -> bool:
        """Take a message in one frame; whether it could be one, as the library would see it."""
        if self._begun or self._protocol.state is not OPEN:
            return False
        self._on_message(text)
        return True

    def heard(self, frame: Frame) -> None:
        """Take what the library read."""
        if frame.opcode is Opcode.CLOSE:
            self.ended.set()
        elif frame.opcode is Opcode.PONG:
            if self._asked and frame.data == self._asked:
                self._answered.set()
        elif frame.opcode is Opcode.BINARY:
            self._protocol.fail(CloseCode.UNSUPPORTED_DATA, "text only")
            self.ended.set()
        elif frame.opcode in (Opcode.TEXT, Opcode.CONT):
            self._content(frame)

    def _content(self, frame: Frame) -> None:
        if frame.fin and not self._begun:
            self._on_message(frame.data)
            return
        self._parts += frame.data
        self._begun = not frame.fin
        if frame.fin:
            whole, self._parts = self._parts, bytearray()
            self._on_message(whole)

    def room(self, has: bool) -> None:
        """The transport's buffer is full, or has room again."""
        self.full = not has
        if has:
            self._on_room()

    def lost(self) -> None:
        """The connection is over."""
        self.ended.set()
        self._lost.set()


def _head(first: int, size: int) -> bytes:
    """What goes before the content of an unmasked message in one frame (RFC 6455, 5.2)."""
    if size < _16_BITS:
        return bytes((first, size))
    if size < 1 << 16:
        return struct.pack("!BBH", first, _16_BITS, size)
    return struct.pack("!BBQ", first, _64_BITS, size)
