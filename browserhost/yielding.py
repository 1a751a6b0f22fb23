"""A lock that long work can be asked to leave: whoever has it sees that somebody waits."""

from __future__ import annotations

import asyncio
from typing import Literal


class YieldingLock(asyncio.Lock):
    """As asyncio.Lock, first come first served. `wanted` may be read from any thread."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting = 0

    @property
    def wanted(self) -> bool:
        """Whether somebody waits for it."""
        return self._waiting > 0

    async def acquire(self) -> Literal[True]:
        self._waiting += 1
        try:
            return await super().acquire()
        finally:
            self._waiting -= 1
