"""A worker's life: registered, renewed, and left for good when its deadline has passed (rule 11)."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

from tests.chaos.caller import Caller, Door


class Life:
    """One worker id. `holds`: (profile, token, request) of the last renewal."""

    def __init__(self, caller: Caller, doors: Sequence[Door], rng: random.Random, ttl_s: int) -> None:
        self._caller = caller
        self._doors = doors
        self._random = rng
        self._ttl_s = ttl_s
        self._task: asyncio.Task[None] | None = None
        self._until = 0.0
        self.worker = ""
        self.holds: list[tuple[str, int, str]] = []

    @property
    def lives(self) -> bool:
        """Whether the deadline, counted from sending the last good renewal, has not passed."""
        return bool(self.worker) and asyncio.get_running_loop().time() < self._until

    async def begin(self) -> bool:
        """Register; whether it worked."""
        sent = asyncio.get_running_loop().time()
        call = await self._caller.register(self._random.choice(self._doors), self._ttl_s)
        if call.ok:
            self.worker, self._until = call.answer["worker"], sent + call.answer["ttl"]
            self._task = asyncio.create_task(self._renew())
        return call.ok

    async def look(self) -> bool:
        """Renew now, and learn what is held; whether the lease lives."""
        sent = asyncio.get_running_loop().time()
        call = await self._caller.renew(self._random.choice(self._doors), self.worker, self._ttl_s / 3)
        if call.ok:
            self._until = sent + call.answer["ttl"]
            self.holds = call.answer["holds"]
        elif call.reason == "LEASE_EXPIRED":
            self._until = 0.0
        return call.ok

    async def stop(self) -> None:
        """Renew no more: the lease will end. Idempotent."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _renew(self) -> None:
        while self.lives:
            await asyncio.sleep(self._ttl_s / 4)
            await self.look()
