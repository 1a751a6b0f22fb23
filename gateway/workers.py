"""Implicit workers: for callers that name no worker, such as grpcurl.

Nobody renews one; it lives for the lease_ttl asked for. A request that is repeated must
find the worker it had the first time, or it would wait behind itself.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakValueDictionary

from google.protobuf.duration_pb2 import Duration

from gateway.backends import Backends
from gateway.validate import OpenPlan
from tenure.errors import NotFound
from tenure.v1.profile_service_pb2 import GetProfileRequest
from tenure.v1.worker_service_pb2 import EndWorkerRequest, RegisterWorkerRequest

REMEMBERED = 10_000


class ImplicitWorkers:
    """Registers workers for requests that bring none."""

    def __init__(self, backends: Backends) -> None:
        self._backends = backends
        self._by_request: OrderedDict[str, str] = OrderedDict()
        self._under_way: Counter[str] = Counter()
        self._looking: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

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
        """Return the worker of a request, and whether this call registered it.

        Copies that come side by side get one worker: with two, the second would queue behind the
        first and be granted a hold of its own once that ended.
        """
        lock = self._looking.setdefault(plan.request_id, asyncio.Lock())
        async with lock:
            known = await self._known(plan)
            return (known, False) if known else (await self._register(plan), True)

    async def _known(self, plan: OpenPlan) -> str | None:
        """Return the worker of an earlier copy of this request; None when there is none.

        This replica remembers its own; the profile's record tells of a hold that another
        replica, or this one before a restart, got for the request.
        """
        if plan.minted:
            return None
        remembered = self._by_request.get(plan.request_id)
        if remembered is not None:
            return remembered
        try:
            answer = await self._backends.invoke(
                self._backends.profiles.GetProfile, GetProfileRequest(profile=str(plan.profile))
            )
        except NotFound:
            return None
        hold = answer.profile.hold
        return hold.worker if hold.request_id == plan.request_id else None

    async def _register(self, plan: OpenPlan) -> str:
        """Return a new worker's name, remembered under the request."""
        ttl = Duration()
        ttl.FromMilliseconds(round(plan.lease_ttl_s * 1000))
        request = RegisterWorkerRequest(labels={"implicit": "true"}, ttl=ttl)
        answer = await self._backends.invoke(self._backends.workers.RegisterWorker, request)
        self._by_request[plan.request_id] = answer.worker.name
        if len(self._by_request) > REMEMBERED:
            self._by_request.popitem(last=False)
        return answer.worker.name

    async def end(self, plan: OpenPlan, worker: str) -> None:
        """End a worker that holds nothing, so that its lease does not linger.

        Left to its lease when another copy of the request is under way, which may hold by it.
        """
        if self._under_way[plan.request_id] > 1:
            return
        self._by_request.pop(plan.request_id, None)
        await self._backends.invoke(self._backends.workers.EndWorker, EndWorkerRequest(worker=worker))
