"""A client's WebSocket and its host's: what comes on one is sent on the other, its end too."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp import WSCloseCode, WSMsgType, web

from tenure.errors import HostUnreachable

CLOSE_S = 1.0
"""How long either side may take to hear that it is over."""
AHEAD_BYTES = 8 << 20
"""What is read ahead for a client that reads slowly, so that the host's end is seen behind it. Past it
the host is read no further, and gathers what comes."""
STALL_S = 30.0
"""How long a client for whom that much waits may read nothing at all."""
_DATA = frozenset({WSMsgType.TEXT, WSMsgType.BINARY})
_NEVER_SENT = frozenset({1004, 1005, 1006, 1015})  # RFC 6455, 7.4.1

Upstream = aiohttp.ClientWebSocketResponse[Any]


@dataclass(frozen=True, slots=True)
class Ending:
    """With what a socket is closed."""

    code: int
    reason: str = ""


LEFT = Ending(WSCloseCode.GOING_AWAY)
SLOW_CLIENT = Ending(4006, "SLOW_CLIENT")  # as the host says it


class Pair:
    """Both are the caller's to close, should `run` not have been called."""

    def __init__(self, client: web.WebSocketResponse, host: Upstream) -> None:
        self._client, self._host = client, host
        self._waiting: deque[tuple[bytes, WSMsgType]] = deque()
        self._waiting_bytes = 0
        self._arrived, self._room, self._over = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._endings: tuple[Ending, Ending] | None = None

    def end(self, reason: str) -> None:
        """Have both sides closed as going away. An end that is there already stays."""
        self._end(Ending(WSCloseCode.GOING_AWAY, reason), LEFT)

    async def run(self) -> None:
        """Pass on until either side ends, then end the other with the same code and reason."""
        passing = (self._from_client(), self._from_host(), self._to_client())
        tasks = [asyncio.create_task(each) for each in passing]
        try:
            await self._over.wait()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            to_client, to_host = self._endings or (LEFT, LEFT)
            await asyncio.gather(_close(self._client, to_client), _close(self._host, to_host))

    def _end(self, to_client: Ending, to_host: Ending) -> None:
        if self._endings is None:
            self._endings = to_client, to_host
            self._over.set()

    async def _from_client(self) -> None:
        while (message := await self._client.receive()).type in _DATA:
            try:
                # Waits while the host takes no more; its client is not read either then.
                await self._host.send_frame(message.data, message.type)
            except ConnectionError:
                break  # why is for the other direction to say
        else:
            ending = _said(message, self._client.close_code)
            self._end(ending, ending)

    async def _from_host(self) -> None:
        while (message := await self._host.receive()).type in _DATA:
            self._waiting.append((message.data, message.type))
            self._waiting_bytes += len(message.data)
            self._arrived.set()
            while self._waiting_bytes > AHEAD_BYTES:
                self._room.clear()
                try:
                    async with asyncio.timeout(STALL_S):
                        await self._room.wait()
                except TimeoutError:
                    self._end(SLOW_CLIENT, LEFT)
                    return
        if message.type is WSMsgType.CLOSE:
            self._end(_said(message, None), Ending(WSCloseCode.OK))
        else:
            self._end(Ending(WSCloseCode.BAD_GATEWAY, HostUnreachable.reason), LEFT)

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
    return Ending(WSCloseCode.GOING_AWAY if code in _NEVER_SENT else code, reason)


async def _close(socket: web.WebSocketResponse | Upstream, ending: Ending) -> None:
    with suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout(CLOSE_S):
            await socket.close(code=ending.code, message=ending.reason.encode()[:123])
