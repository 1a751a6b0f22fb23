"""A client's WebSocket and its host's: what comes on one is sent on the other, its end too.

A host that hands over first asks for quiet, by a ping; from then on what the client sends is held, and
the ping is answered behind all that was sent. Then it closes with where to go on, at its next process:
there what was held goes first. Nothing is ever sent twice; of a host that is killed nothing is known,
and the client hears of that at once.
"""

from __future__ import annotations

import asyncio
import traceback
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import structlog
from aiohttp import WSCloseCode, WSMsgType, web

from gateway.reach import CLOSE_S, NEVER_SENT, Upstream
from tenure.cdp import HANDED_OVER, HOST_STOPPING, QUIET
from tenure.errors import HostUnreachable

AHEAD_BYTES = 8 << 20
"""What is read ahead for a client that reads slowly, so that the host's end is seen behind it. Past it
the host is read no further, and gathers what comes."""
STALL_S = 30.0
"""How long a client for whom that much waits may read nothing at all."""
HELD_BYTES = 16 << 20
"""What is held of a client while its host hands over; past it the client is read no further."""
_log = structlog.get_logger("pair")
_DATA = frozenset({WSMsgType.TEXT, WSMsgType.BINARY})

Again = Callable[[str], Awaitable[Upstream]]
"""Goes on where a host said, once that can be. Raises TimeoutError, HTTPException when it cannot."""


@dataclass(frozen=True, slots=True)
class Ending:
    """With what a socket is closed."""

    code: int
    reason: str = ""


LEFT = Ending(WSCloseCode.GOING_AWAY)
SLOW_CLIENT = Ending(4006, "SLOW_CLIENT")  # as the host says it
FAILED = Ending(WSCloseCode.INTERNAL_ERROR, "INTERNAL")
NOT_RESUMED = Ending(HOST_STOPPING, "HOST_STOPPING")  # likewise


class Pair:
    """Both are the caller's to close, should `run` not have been called. `host` is the present one's."""

    def __init__(self, client: web.WebSocketResponse, host: Upstream, again: Again) -> None:
        self._client, self.host, self._again = client, host, again
        self._flows, self._back = asyncio.Event(), asyncio.Event()
        self._flows.set()  # what the client sends goes to the host at once
        self._quiet = self._broken = False
        self._held: deque[tuple[bytes, WSMsgType]] = deque()
        self._held_bytes = 0
        self._waiting: deque[tuple[bytes, WSMsgType]] = deque()
        self._waiting_bytes = 0
        self._arrived, self._room, self._over = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._endings: tuple[Ending, Ending] | None = None

    def end(self, reason: str) -> None:
        """Have both sides closed as going away. An end that is there already stays."""
        self._end(Ending(WSCloseCode.GOING_AWAY, reason), LEFT)

    async def run(self) -> None:
        """Pass on until either side ends, then end the other with the same code and reason; both, where
        passing on fails in a way that nobody foresaw.
        """
        passing = (self._from_client(), self._from_host(), self._to_client(), self._to_next_host())
        tasks = [asyncio.create_task(each) for each in passing]
        for task in tasks:
            task.add_done_callback(self._ended)
        try:
            await self._over.wait()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            to_client, to_host = self._endings or (LEFT, LEFT)
            await asyncio.gather(_close(self._client, to_client), _close(self.host, to_host))

    def _end(self, to_client: Ending, to_host: Ending) -> None:
        if self._endings is None:
            self._endings = to_client, to_host
            self._over.set()

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            # Without what it says: that may quote an address, with the secret in it, or what is passed on.
            where = "".join(traceback.format_tb(error.__traceback__))
            _log.error("a client is cut off", kind=type(error).__name__, where=where)
            self._end(FAILED, LEFT)

    async def _from_client(self) -> None:
        while (message := await self._client.receive()).type in _DATA:
            if not self._flows.is_set():
                await self._hold(message.data, message.type)
                continue
            try:
                # Waits while the host takes no more; its client is not read either then.
                await self.host.send_frame(message.data, message.type)
            except ConnectionError:
                self._broken = True  # why is for the other direction to say
                break
        else:
            ending = _said(message, self._client.close_code)
            self._end(ending, ending)

    async def _hold(self, data: bytes, kind: WSMsgType) -> None:
        self._held.append((data, kind))
        self._held_bytes += len(data)
        while self._held_bytes > HELD_BYTES and not self._flows.is_set():
            await self._flows.wait()

    async def _from_host(self) -> None:
        while True:
            message = await self.host.receive()
            if message.type in _DATA:
                if not await self._read_ahead(message.data, message.type):
                    self._end(SLOW_CLIENT, LEFT)
                    return
            elif message.type is WSMsgType.PING:
                if message.data == QUIET:
                    self._quiet = True
                    self._flows.clear()
                with suppress(ConnectionError):  # what is read next says why
                    # Behind what was sent: a message is handed over whole before its sender waits.
                    await self.host.pong(message.data)
            elif message.type is WSMsgType.CLOSE and message.data == HANDED_OVER:
                if not await self._go_on(str(message.extra or "")):
                    self._end(NOT_RESUMED, LEFT)
                    return
            elif message.type is WSMsgType.CLOSE:
                self._end(_said(message, None), Ending(WSCloseCode.OK))
                return
            elif message.type is not WSMsgType.PONG:
                self._end(Ending(WSCloseCode.BAD_GATEWAY, HostUnreachable.reason), LEFT)
                return

    async def _read_ahead(self, data: bytes, kind: WSMsgType) -> bool:
        """Whether the client takes what it is sent."""
        self._waiting.append((data, kind))
        self._waiting_bytes += len(data)
        self._arrived.set()
        while self._waiting_bytes > AHEAD_BYTES:
            self._room.clear()
            try:
                async with asyncio.timeout(STALL_S):
                    await self._room.wait()
            except TimeoutError:
                return False
        return True

    async def _go_on(self, where: str) -> bool:
        """Go on with the host's next process; whether that could be."""
        # Says to the old one that all it sent is here: what comes next is the next one's to send.
        await _close(self.host, Ending(WSCloseCode.OK))
        if self._broken or not self._quiet:
            return False  # some of what was sent may not have been taken
        try:
            self.host = await self._again(where)
        except (TimeoutError, web.HTTPException):
            return False
        self._quiet = False
        self._back.set()
        return True

    async def _to_next_host(self) -> None:
        """Send what was held, beside what is read: neither side waits for the other to be read first."""
        with suppress(ConnectionError):  # the other direction sees it too
            while await self._back.wait():
                self._back.clear()
                while self._held and not self._quiet:
                    data, kind = self._held.popleft()
                    self._held_bytes -= len(data)
                    await self.host.send_frame(data, kind)
                if not self._quiet:
                    self._flows.set()

    async def _to_client(self) -> None:
        with suppress(ConnectionError):  # the other direction sees it too
            while await self._arrived.wait():
                self._arrived.clear()
                while self._waiting:
                    data, kind = self._waiting.popleft()
                    await self._client.send_frame(data, kind)
                    self._waiting_bytes -= len(data)
                    self._room.set()


def _said(message: Any, code: int | None) -> Ending:
    """How a side ended: with its own words when it had any, else with the code that was found for it."""
    if message.type is WSMsgType.CLOSE:
        code, reason = message.data or WSCloseCode.OK, str(message.extra or "")
    else:
        code, reason = code or WSCloseCode.GOING_AWAY, ""
    return Ending(WSCloseCode.GOING_AWAY if code in NEVER_SENT else code, reason)


async def _close(socket: web.WebSocketResponse | Upstream, ending: Ending) -> None:
    with suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout(CLOSE_S):
            await socket.close(code=ending.code, message=ending.reason.encode()[:123])
