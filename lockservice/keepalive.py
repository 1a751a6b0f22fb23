"""A stream of renewals: many under way at once, each answered as soon as etcd has."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import NamedTuple

from lockservice.calls import deadline
from lockservice.etcd.errors import NotSent
from lockservice.etcd.lease import Renewal
from lockservice.workers import Renewed, Workers
from tenure.errors import StoreUnavailable
from tenure.v1.worker_service_pb2 import KeepAliveRequest

# Renewals of one stream that are not answered yet; then its reading waits.
MAX_UNDER_WAY = 1000


class _Answered(NamedTuple):
    worker: str
    sent: float
    renewal: asyncio.Future[Renewal]


class KeepAlive:
    """One caller's stream. Made for one use of `serve`."""

    def __init__(
        self,
        workers: Workers,
        tenant: str,
        tell: Callable[[str, Renewed], Awaitable[None]],
        stopping: asyncio.Event,
    ) -> None:
        self._workers = workers
        self._tenant = tenant
        self._tell = tell
        self._stopping = stopping
        # Those asked for of which nothing was told yet.
        self._under_way: set[asyncio.Future[Renewal]] = set()
        self._answered: deque[_Answered] = deque()
        # Set when there is something to tell, and when there is room to read more.
        self._told = asyncio.Event()
        self._room = asyncio.Event()

    async def serve(self, requests: AsyncIterator[KeepAliveRequest]) -> None:
        """Renew what is asked for and tell each answer, until the requests end, or the service is stopping,
        and all are told.

        Raises LeaseExpired, StoreUnavailable and InvalidId at the first renewal that ends so; those asked for
        before a request that is refused are told first. However it ends, what is under way is given up.
        """
        reading = asyncio.create_task(self._read(requests))
        reading.add_done_callback(lambda _: self._told.set())
        stopping = asyncio.create_task(self._stopping.wait())
        stopping.add_done_callback(lambda _: reading.cancel())
        try:
            while self._under_way or not reading.done():
                if not self._answered:
                    self._told.clear()
                    await self._told.wait()
                    continue
                await self._answer(self._answered.popleft())
            if not (reading.cancelled() and self._stopping.is_set()):
                await reading
        finally:
            reading.cancel()
            stopping.cancel()
            await asyncio.gather(reading, stopping, return_exceptions=True)
            self._give_up()

    async def _read(self, requests: AsyncIterator[KeepAliveRequest]) -> None:
        clock = asyncio.get_running_loop().time
        async for request in requests:
            sent = clock()
            worker, renewal = await self._workers.renewal(request.worker, self._tenant, deadline())
            self._under_way.add(renewal)
            renewal.add_done_callback(partial(self._take, worker, sent))
            while len(self._under_way) >= MAX_UNDER_WAY:
                self._room.clear()
                await self._room.wait()

    def _take(self, worker: str, sent: float, renewal: asyncio.Future[Renewal]) -> None:
        self._answered.append(_Answered(worker, sent, renewal))
        self._told.set()

    async def _answer(self, answered: _Answered) -> None:
        try:
            renewal = answered.renewal.result()
        except NotSent as error:
            raise StoreUnavailable(str(error), retry_after_s=1.0) from None
        await self._tell(
            answered.worker, await self._workers.renewed(answered.worker, answered.sent, renewal)
        )
        self._under_way.discard(answered.renewal)
        self._room.set()

    def _give_up(self) -> None:
        for renewal in self._under_way:
            if not renewal.cancel() and not renewal.cancelled():
                # Looked at, for else its failure would be logged as one that nobody knows of.
                renewal.exception()
