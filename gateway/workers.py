"""Implicit workers: for callers that name no worker, such as grpcurl.

Nobody renews one; it lives for the lease_ttl asked for. The lock service keeps which one a request has, so
a request that is repeated, at any gateway and however late, finds the worker that it had the first time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from google.protobuf.duration_pb2 import Duration

from gateway.backends import Backends
from gateway.validate import OpenPlan
from tenure.internal.v1.lock_service_pb2 import (
    ForgetImplicitWorkerRequest,
    RegisterImplicitWorkerRequest,
)
from tenure.v1.worker_service_pb2 import EndWorkerRequest


class ImplicitWorkers:
    """Registers workers for requests that bring none."""

    def __init__(self, backends: Backends) -> None:
        self._backends = backends
        self._under_way: Counter[str] = Counter()

    @contextmanager
    def asked_by(self, plan: OpenPlan) -> Iterator[None]:
        """Count a copy of a request as under way: its worker is not ended under another copy's hold."""
        self._under_way[plan.request_id] += 1
        try:
            yield
        finally:
            self._under_way[plan.request_id] -= 1
            if not self._under_way[plan.request_id]:
                del self._under_way[plan.request_id]

    async def of(self, plan: OpenPlan) -> tuple[str, bool]:
        """Return the worker of a request, and whether this call registered it. Idempotent."""
        ttl = Duration()
        ttl.FromMilliseconds(round(plan.lease_ttl_s * 1000))
        request = RegisterImplicitWorkerRequest(
            profile=str(plan.profile), request_id=plan.request_id, ttl=ttl
        )
        answer = await self._backends.invoke(self._backends.lock.RegisterImplicitWorker, request)
        return answer.worker, answer.registered

    async def forget(self, plan: OpenPlan, worker: str) -> None:
        """End a worker under which nothing was acquired, so that the same request may come again."""
        if self._under_way[plan.request_id] > 1:
            return
        request = ForgetImplicitWorkerRequest(
            profile=str(plan.profile), request_id=plan.request_id, worker=worker
        )
        await self._backends.invoke(self._backends.lock.ForgetImplicitWorker, request)

    async def end(self, plan: OpenPlan, worker: str) -> None:
        """End a worker whose hold is over, so that its lease does not linger. Its request is over too.

        Left to its lease when another copy of the request is under way, which may hold by it.
        """
        if self._under_way[plan.request_id] <= 1:
            await self._backends.invoke(self._backends.workers.EndWorker, EndWorkerRequest(worker=worker))
