"""A fleet that is not kept alive has no figure, and a stream that ends keeps nobody waiting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import grpc
import grpc.aio
import pytest

from tenure.v1 import worker_service_pb2 as pb
from tenure.v1.worker_service_pb2_grpc import WorkerServiceStub
from tests.bench.lock_fleet import Spent
from tests.bench.lock_keepalive import Shared


def spent(renewed: int, failed: int) -> Spent:
    halves = [{"renewed": renewed / 2, "failed": failed / 2}] * 2
    return Spent(took_s=12.0, service_s=6.0, etcd_s=1.0, answers=halves)


@pytest.mark.parametrize(("renewed", "failed"), [(1000, 0), (990, 10)])
def test_a_fleet_that_lives_has_a_figure(renewed: int, failed: int) -> None:
    spent(renewed, failed).check()


@pytest.mark.parametrize(("renewed", "failed"), [(988, 12), (0, 1000), (0, 0)])
def test_a_fleet_of_which_more_than_one_in_a_hundred_failed_has_none(renewed: int, failed: int) -> None:
    with pytest.raises(RuntimeError, match="renewals failed"):
        spent(renewed, failed).check()


class Stream:
    """Answers the first worker once two have asked, then ends as it is told."""

    def __init__(self, end: Exception | None) -> None:
        self._end = end
        self._asked: list[str] = []
        self._both = asyncio.Event()

    def KeepAlive(self, metadata: Any) -> Stream:
        return self

    async def write(self, request: pb.KeepAliveRequest) -> None:
        self._asked.append(request.worker)
        if len(self._asked) == 2:
            self._both.set()

    async def __aiter__(self) -> AsyncIterator[pb.KeepAliveResponse]:
        await self._both.wait()
        yield pb.KeepAliveResponse(worker=self._asked[0])
        if self._end is not None:
            raise self._end


BROKEN = grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata())


@pytest.mark.parametrize(
    ("end", "heard"), [(None, asyncio.InvalidStateError), (BROKEN, grpc.aio.AioRpcError)]
)
async def test_who_waits_on_a_stream_that_ends_hears_of_it(
    end: Exception | None, heard: type[Exception]
) -> None:
    shared = Shared(cast(WorkerServiceStub, Stream(end)))
    async with asyncio.timeout(30):
        first, second = await asyncio.gather(
            shared.renew("workers/a"), shared.renew("workers/b"), return_exceptions=True
        )
    assert first is None
    assert isinstance(second, heard)
