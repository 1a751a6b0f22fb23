"""What waits for one client that reads more slowly than Chrome talks.

Past HIGH bytes Chrome is not read any more, for whoever; a client that takes next to nothing while
others wait for it is too slow and goes. One that reads, only slowly, holds nobody up for longer than
STALL_S: from then on until it has caught up its messages gather here, up to MOST bytes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from browserhost.frames import Piece
from browserhost.web.websocket import WebSocket

HIGH = 16 << 20
LOW = 4 << 20
"""Bytes below which Chrome is read again."""
MOST = 128 << 20
"""Bytes that may wait; past it the client is too slow, however it reads."""
STALL_S = 5.0
PROGRESS = 256 << 10
"""Bytes that a client takes in STALL_S at least."""


class Backlog:
    """`may_pass` is asked again before a message that waited is sent; `hold` stops Chrome and lets it go on.

    `too_slow` is called when it is. After `clear` nothing more is sent, and nobody is told anything.
    """

    def __init__(
        self,
        socket: WebSocket,
        may_pass: Callable[[], bool],
        hold: Callable[[bool], None],
        too_slow: Callable[[], None],
    ) -> None:
        self._socket, self._may_pass, self._hold, self._too_slow = socket, may_pass, hold, too_slow
        self._messages: deque[tuple[Piece, ...]] = deque()
        self._bytes = 0
        self._sent = 0
        self._sent_before = 0
        self._timer: asyncio.TimerHandle | None = None
        self._over = False

    @property
    def waiting(self) -> int:
        """Bytes, here and in the socket."""
        return self._bytes + self._socket.waiting

    def put(self, pieces: tuple[Piece, ...]) -> None:
        """Send a message, now or when there is room."""
        if self._over:
            return
        if not self._socket.full and not self._messages:
            self._send(pieces)
        else:
            self._messages.append(pieces)
            self._bytes += sum(map(len, pieces))
        if self._socket.full:
            self._judge()

    def room(self) -> None:
        """Send on: the socket has room."""
        while self._messages and not self._socket.full and self._may_pass():
            pieces = self._messages.popleft()
            self._bytes -= sum(map(len, pieces))
            self._send(pieces)
        if self._timer is not None and self.waiting < LOW:
            self._timer.cancel()
            self._timer = None
            self._hold(False)

    def flush(self) -> None:
        """Send all that waits, however much: nothing more comes."""
        while self._messages and self._may_pass():
            self._send(self._messages.popleft())
        self.clear()

    def clear(self) -> None:
        """Forget what waits, and let Chrome go on. Idempotent."""
        self._over = True
        self._messages.clear()
        self._bytes = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._hold(False)

    def _send(self, pieces: tuple[Piece, ...]) -> None:
        self._sent += sum(map(len, pieces))
        self._socket.send(*pieces)

    @property
    def _taken(self) -> int:
        """Bytes that left this process, ever."""
        return self._sent - self._socket.waiting

    def _judge(self) -> None:
        waiting = self.waiting
        if waiting > MOST:
            self._too_slow()
        elif waiting > HIGH and self._timer is None:
            self._hold(True)
            self._wait()

    def _wait(self) -> None:
        self._sent_before = self._taken
        self._timer = asyncio.get_running_loop().call_later(STALL_S, self._waited)

    def _waited(self) -> None:
        if self._taken - self._sent_before < PROGRESS:
            self._too_slow()
        else:
            self._hold(False)
            self._wait()
