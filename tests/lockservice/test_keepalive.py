"""A stream of renewals that ends early leaves nothing behind."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from lockservice.etcd.errors import NotSent
from lockservice.etcd.lease import Renewal
from lockservice.keepalive import KeepAlive
from lockservice.workers import Renewed, Workers
from tenure.errors import StoreUnavailable
from tenure.v1.worker_service_pb2 import KeepAliveRequest

WORKERS = 5


class Store:
    """Renewals that are answered when the test says so."""

    def __init__(self) -> None:
        self.asked: list[asyncio.Future[Renewal]] = []
        self.all_asked = asyncio.Event()

    async def renewal(self, name: str, tenant: str, deadline: float) -> tuple[str, asyncio.Future[Renewal]]:
        self.asked.append(asyncio.get_running_loop().create_future())
        if len(self.asked) == WORKERS:
            self.all_asked.set()
        return name, self.asked[-1]

    async def renewed(self, worker: str, sent: float, renewal: Renewal) -> Renewed:
        return Renewed(renewal.ttl, [], [])


class Stream:
    """One that is read until all are asked for, and then stays open."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("lockservice.keepalive.deadline", lambda: float("inf"))
        self.store = Store()
        self.told: list[str] = []
        self.lost_caller = False
        serving = KeepAlive(cast(Workers, self.store), "t", self._tell, asyncio.Event())
        self.task = asyncio.create_task(serving.serve(self._requests()))

    async def _requests(self) -> AsyncIterator[KeepAliveRequest]:
        for i in range(WORKERS):
            yield KeepAliveRequest(worker=f"w{i}")
        await asyncio.Event().wait()

    async def _tell(self, worker: str, renewed: Renewed) -> None:
        if self.lost_caller:
            raise BrokenPipeError
        self.told.append(worker)


@pytest.fixture
async def stream(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stream]:
    """Fails when anything was left to the garbage collector to complain of."""
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    stream = Stream(monkeypatch)
    async with asyncio.timeout(30):
        await stream.store.all_asked.wait()
    yield stream
    assert stream.task.done()
    del stream.task
    stream.store.asked.clear()
    gc.collect()
    assert complaints == []


async def test_renewals_under_way_are_given_up_when_the_caller_is_lost(stream: Stream) -> None:
    stream.lost_caller = True
    first, *others = stream.store.asked
    first.set_result(Renewal(10, 1))
    with pytest.raises(BrokenPipeError):
        await stream.task
    assert all(renewal.cancelled() for renewal in others)


async def test_renewals_under_way_are_given_up_when_the_stream_is_cancelled(stream: Stream) -> None:
    stream.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stream.task
    assert all(renewal.cancelled() for renewal in stream.store.asked)


async def test_of_many_failures_the_first_is_told_and_the_others_are_no_surprise(stream: Stream) -> None:
    answered, *failed, waiting = stream.store.asked
    answered.set_result(Renewal(10, 1))
    for renewal in failed:
        renewal.set_exception(NotSent("no answer"))
    with pytest.raises(StoreUnavailable):
        await stream.task
    assert stream.told == ["w0"]
    assert waiting.cancelled()
