"""How many browsers are launched side by side: as many as there are places, and memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType

from browserhost import vitals
from browserhost.limits import may_launch
from tenure.errors import NoRoom

EACH = 400 << 20
"""Bytes of a Chrome with its display and one busy page; 36 of them took 14 GB."""
_RETRY_S = 5.0


async def _nothing_to_close() -> bool:
    return False


class Launches:
    """`async with` it around a launch, which then waits for its turn.

    `reserve` bytes of the machine stay free, 0: whatever it has. `make_room` closes a browser that may
    go, if there is one, and says whether it did. Entering raises NoRoom when there is not enough
    memory, nothing to close, and no launch to wait for.
    """

    def __init__(
        self,
        places: int,
        *,
        reserve: int = 0,
        each: int = EACH,
        available: Callable[[], int] = vitals.available,
        make_room: Callable[[], Awaitable[bool]] = _nothing_to_close,
    ) -> None:
        self._places = asyncio.Semaphore(places)
        self._reserve, self._each = reserve, each
        self._available, self._make_room = available, make_room
        self._starting = 0
        self._turn = asyncio.Lock()
        self._one_ended = asyncio.Event()

    async def __aenter__(self) -> None:
        await self._places.acquire()
        try:
            async with self._turn:
                while not self._fits():
                    await self._wait_for_memory()
                self._starting += 1
        except BaseException:
            self._places.release()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._starting -= 1
        self._one_ended.set()
        self._places.release()

    def _fits(self) -> bool:
        return self._reserve == 0 or may_launch(
            available=self._available(), reserve=self._reserve, starting=self._starting, each=self._each
        )

    async def _wait_for_memory(self) -> None:
        self._one_ended.clear()
        if await self._make_room():
            return
        if not self._starting:
            raise NoRoom(
                "This host lacks the memory for another browser now. Try again when a session has ended.",
                retry_after_s=_RETRY_S,
            )
        await self._one_ended.wait()
