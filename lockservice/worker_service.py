"""tenure.v1.WorkerService."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc.aio
from google.protobuf.duration_pb2 import Duration

from lockservice import fields
from lockservice.calls import deadline
from lockservice.encode import hold_message
from lockservice.keepalive import KeepAlive
from lockservice.workers import Renewed, Workers
from servicekit.call import current_identity
from tenure.names import worker_id
from tenure.v1 import worker_pb2
from tenure.v1 import worker_service_pb2 as pb
from tenure.v1.hold_pb2 import Hold
from tenure.v1.worker_service_pb2_grpc import WorkerServiceServicer

DEFAULT_TTL_MS = 15_000
MIN_TTL_MS = 2_000
_Context = grpc.aio.ServicerContext[Any, Any]


class WorkerServicer(WorkerServiceServicer):
    """Heartbeats; streams of them end when `stopping` is set."""

    def __init__(self, workers: Workers, stopping: asyncio.Event) -> None:
        self._workers = workers
        self._stopping = stopping

    async def RegisterWorker(
        self, request: pb.RegisterWorkerRequest, context: _Context
    ) -> pb.RegisterWorkerResponse:
        labels = fields.labels(request.labels)
        ttl_ms = fields.duration_ms(
            request.ttl,
            request.HasField("ttl"),
            "ttl",
            default=DEFAULT_TTL_MS,
            low=MIN_TTL_MS,
            high=fields.HOUR_MS,
        )
        tenant = current_identity().tenant
        worker, ttl_s = await self._workers.register(tenant, math.ceil(ttl_ms / 1000), labels, deadline())
        return pb.RegisterWorkerResponse(
            worker=worker_pb2.Worker(name=f"workers/{worker}", labels=labels, ttl=Duration(seconds=ttl_s))
        )

    async def RenewWorker(self, request: pb.RenewWorkerRequest, context: _Context) -> pb.RenewWorkerResponse:
        worker = worker_id(request.worker)
        renewed = await self._workers.renew(worker, current_identity().tenant, deadline())
        holds, lost = self._told(worker, renewed)
        return pb.RenewWorkerResponse(ttl=Duration(seconds=renewed.ttl_s), holds=holds, lost=lost)

    async def KeepAlive(  # type: ignore[override]  # the form of grpc.aio that writes, a layer less a message
        self, request_iterator: AsyncIterator[pb.KeepAliveRequest], context: _Context
    ) -> None:
        async def tell(worker: str, renewed: Renewed) -> None:
            holds, lost = self._told(worker, renewed)
            await context.write(
                pb.KeepAliveResponse(
                    worker=f"workers/{worker}", ttl=Duration(seconds=renewed.ttl_s), holds=holds, lost=lost
                )
            )

        tenant = current_identity().tenant
        await KeepAlive(self._workers, tenant, tell, self._stopping).serve(request_iterator)

    async def EndWorker(self, request: pb.EndWorkerRequest, context: _Context) -> pb.EndWorkerResponse:
        await self._workers.end(worker_id(request.worker), current_identity().tenant, deadline())
        return pb.EndWorkerResponse()

    def _told(self, worker: str, renewed: Renewed) -> tuple[Sequence[Hold], Sequence[Hold]]:
        if not renewed.holds and not renewed.lost:
            return (), ()
        left = self._workers.remaining_s(worker)
        return (
            [hold_message(hold, left) for hold in renewed.holds],
            [hold_message(hold, None) for hold in renewed.lost],
        )
