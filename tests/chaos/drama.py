"""Two plays with a script, for conditions that matter only when a replica is behind in what it knows.

What random clients do brings these about once in a long while; the script brings them about each time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from lockservice.etcd.watch import Item
from lockservice.replica import Replica
from tenure import request_id
from tests.chaos.caller import Caller, Door
from tests.chaos.life import Life
from tests.chaos.link import Link
from tests.chaos.peek import Peek

_HEAD = frozenset({"grant the head"})
_STIR_S = 0.3


class Deafness:
    """Lets a replica hear nothing of the store while it is `on`; later everything, in order."""

    def __init__(self, replica: Replica) -> None:
        self._hears = asyncio.Event()
        self._hears.set()
        self._take = replica._take
        replica._take = self._late  # type: ignore[method-assign]

    def on(self) -> None:
        self._hears.clear()

    def off(self) -> None:
        self._hears.set()

    async def _late(self, item: Item) -> None:
        await self._hears.wait()
        await self._take(item)


class Drama:
    """Replicas `a` and `b`, with three workers: the holder, and two who want the profile after it."""

    def __init__(
        self,
        caller: Caller,
        doors: Sequence[Door],
        lives: Sequence[Life],
        links: Sequence[Link],
        deaf: Sequence[Deafness],
        peek: Peek,
    ) -> None:
        self._caller = caller
        self._a, self._b = doors
        self._holder, self._first, self._second = (life.worker for life in lives)
        self._links = links
        self._deaf = deaf
        self._peek = peek
        self._scene = 0

    async def overtaken(self) -> None:
        """A profile is freed with a waiter, who leaves; a replica that has not heard of it lets another join
        behind; and a grant that saw the queue empty arrives after that.
        """
        profile = await self._held()
        for link in self._links:
            link.stalled = _HEAD
        request = request_id.mint()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._caller.acquire(self._a, profile, self._first, request, waits=3))
            await asyncio.sleep(_STIR_S)
            await self._freed(profile)
            # Long enough for the other replica to hear of it; and then it hears no more.
            await asyncio.sleep(_STIR_S)
            self._deaf[1].on()
            await self._caller.cancel(self._a, profile, self._first, request)
            group.create_task(
                self._caller.acquire(self._a, profile, self._second, request_id.mint(), waits=0)
            )
            await asyncio.sleep(_STIR_S)
            await self._caller.acquire(self._b, profile, self._holder, request_id.mint(), waits=1)
            self._peace()

    async def blind(self) -> None:
        """A replica knows of its own waiter, and not of the one before it, when it frees the profile."""
        profile = await self._held()
        self._links[1].stalled = _HEAD
        await asyncio.sleep(_STIR_S)
        self._deaf[0].on()
        async with asyncio.TaskGroup() as group:
            for door, worker in ((self._b, self._first), (self._a, self._second)):
                group.create_task(self._caller.acquire(door, profile, worker, request_id.mint(), waits=2))
                await asyncio.sleep(_STIR_S)
            await self._freed(profile)
            await asyncio.sleep(_STIR_S)
            self._peace()

    async def _held(self) -> str:
        self._scene += 1
        profile = f"scene{self._scene}"
        await self._caller.acquire(self._a, profile, self._holder, request_id.mint())
        return profile

    async def _freed(self, profile: str) -> None:
        """By recovery, at the first replica: what it wrote it knows."""
        token = self._peek.now()[profile].token
        await self._caller.suspect(self._a, profile, token)
        await self._caller.quarantine(self._a, profile, token, acknowledged=True)
        call = await self._caller.inspect(self._a, profile, token)
        if call.ok:
            await self._caller.decide(self._a, profile, token, call.answer["revision"], "AVAILABLE")

    def _peace(self) -> None:
        for deaf, link in zip(self._deaf, self._links, strict=True):
            deaf.off()
            link.release()
