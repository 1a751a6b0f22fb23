"""A client process of the lock suite: workers that live, renewed every third of their ttl.

Its argument is a `Crew` as JSON. The workers are put into etcd as the lock service would register them, which
takes many times as long; and a batch at a time, so that nobody waits for a first renewal while others come.

Each line of input, `{"seconds"}`, asks for a look at that long.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import grpc.aio
import uvloop

from lockservice.core.document import encode
from lockservice.core.stored import Worker
from lockservice.granter import now_ms
from tenure import request_id
from tenure.etcdwire.v1 import etcdwire_pb2 as wire
from tenure.v1 import worker_service_pb2 as pb
from tenure.v1.worker_service_pb2_grpc import WorkerServiceStub
from tests.bench import report
from tests.bench.lock_driver import lines_of_input
from tests.bench.lock_ways import CALL_S, CHANNELS, KEYS, OPTIONS
from tests.fixtures.services import METADATA

OWN, SHARED, UNARY = "own", "shared", "unary"
"""A KeepAlive stream each; one for SHARING workers; and RenewWorker, a call a renewal."""
SHARING = 100
# So many begin at once: where much lives already the first renewals take their time. One Txn has at most 128
# operations.
_BATCH = 500
_TXN = 100
_PROGRESS_S = 5.0


@dataclass(frozen=True, slots=True)
class Crew:
    """How many workers to keep alive, which way, by which lock service on which etcd; `ttl_s` in seconds."""

    way: str
    target: str
    etcd: str
    workers: int
    ttl_s: int


class Beat(Protocol):
    """A way to renew one worker."""

    async def renew(self, worker: str) -> None:
        """Raises AioRpcError, or InvalidStateError on a stream that has ended, when it is not."""


class Own(Beat):
    """A stream of its own, as clients of KeepAlive have: gateways pass streams on one by one, and many come
    over each of their few connections.
    """

    def __init__(self, stub: WorkerServiceStub) -> None:
        self._stream = stub.KeepAlive(metadata=METADATA)

    async def renew(self, worker: str) -> None:
        await self._stream.write(pb.KeepAliveRequest(worker=worker))
        answer = await self._stream.read()
        assert isinstance(answer, pb.KeepAliveResponse), f"{worker} was not renewed: {answer}"


class Shared(Beat):
    """A stream of several workers, as a process that runs many has."""

    def __init__(self, stub: WorkerServiceStub) -> None:
        self._stream = stub.KeepAlive(metadata=METADATA)
        # gRPC takes one message at a time.
        self._writing = asyncio.Lock()
        self._waiting: dict[str, asyncio.Future[None]] = {}
        self.reading = asyncio.create_task(self._read())

    async def renew(self, worker: str) -> None:
        answered = self._waiting[worker] = asyncio.get_running_loop().create_future()
        async with self._writing:
            await self._stream.write(pb.KeepAliveRequest(worker=worker))
        await answered

    async def _read(self) -> None:
        ended: Exception = asyncio.InvalidStateError("the stream has ended")
        try:
            async for answer in self._stream:
                answered = self._waiting.pop(answer.worker)
                if not answered.done():
                    answered.set_result(None)
        except grpc.aio.AioRpcError as error:
            ended = error
        finally:
            # However it ended, nobody is answered any more.
            for answered in self._waiting.values():
                if not answered.done():
                    answered.set_exception(ended)


class Unary(Beat):
    """A call a renewal, as the SDK's workers do."""

    def __init__(self, stub: WorkerServiceStub) -> None:
        self._stub = stub

    async def renew(self, worker: str) -> None:
        await self._stub.RenewWorker(
            pb.RenewWorkerRequest(worker=worker), timeout=CALL_S, metadata=METADATA, wait_for_ready=True
        )


class Renewing:
    """The workers of this process, and what became of their renewals since somebody last asked."""

    def __init__(self, crew: Crew, etcd: grpc.aio.Channel, channels: Sequence[grpc.aio.Channel]) -> None:
        self.took_ms: list[float] = []
        self.failed = 0
        self._crew = crew
        self._period_s = crew.ttl_s / 3
        self._grant = etcd.unary_unary(
            "/etcdserverpb.Lease/LeaseGrant",
            request_serializer=wire.LeaseGrantRequest.SerializeToString,
            response_deserializer=wire.LeaseGrantResponse.FromString,
        )
        self._txn: grpc.aio.UnaryUnaryMultiCallable[wire.TxnRequest, bytes] = etcd.unary_unary(
            "/etcdserverpb.KV/Txn", request_serializer=wire.TxnRequest.SerializeToString
        )
        self._stubs = [WorkerServiceStub(channel) for channel in channels]
        self._shared: dict[int, Shared] = {}
        # Those that were renewed.
        self._alive: set[int] = set()
        self._more_alive = asyncio.Event()

    async def begin(self, group: asyncio.TaskGroup) -> list[asyncio.Task[None]]:
        """Have all workers live in `group`, a task each. Returns once each was renewed."""
        told = report.now()
        lives = []
        for start in range(0, self._crew.workers, _BATCH):
            numbers = range(start, min(start + _BATCH, self._crew.workers))
            for number, name in zip(numbers, await self._registered(len(numbers)), strict=True):
                lives.append(group.create_task(self._live(number, name)))
            while len(self._alive) < numbers.stop:
                self._more_alive.clear()
                await self._more_alive.wait()
            if report.now() - told > _PROGRESS_S:
                told = report.now()
                print(f"{numbers.stop} of {self._crew.workers} workers live", file=sys.stderr, flush=True)
        return lives

    async def _live(self, number: int, name: str) -> None:
        """One life after another, the first as `name`, until it is cancelled."""
        while True:
            try:
                await self._live_once(number, name)
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
                self.failed += 1
            (name,) = await self._registered(1)

    async def _live_once(self, number: int, name: str) -> None:
        beat = self._beat(number)
        # Workers do not beat in time with each other.
        due = report.now() + random.uniform(0, self._period_s)
        await beat.renew(name)
        self._alive.add(number)
        self._more_alive.set()
        while True:
            await asyncio.sleep(due - report.now())
            sent = report.now()
            await beat.renew(name)
            self.took_ms.append((report.now() - sent) * 1000)
            due = sent + self._period_s

    def _beat(self, number: int) -> Beat:
        made: dict[str, Callable[[WorkerServiceStub], Beat]] = {OWN: Own, UNARY: Unary}
        if self._crew.way in made:
            return made[self._crew.way](self._stubs[number % len(self._stubs)])
        stream = number // SHARING
        # One of them that is dead ends it for all.
        if stream not in self._shared or self._shared[stream].reading.done():
            self._shared[stream] = Shared(self._stubs[stream % len(self._stubs)])
        return self._shared[stream]

    async def _registered(self, count: int) -> list[str]:
        """New workers, each on a lease of its own."""
        ttl_s = self._crew.ttl_s
        grants = (self._grant(wire.LeaseGrantRequest(ttl=ttl_s), timeout=CALL_S) for _ in range(count))
        leases = [answer.id for answer in await asyncio.gather(*grants)]
        workers = [request_id.mint() for _ in leases]
        puts = []
        for worker, lease in zip(workers, leases, strict=True):
            stored = encode(Worker(tenant="default", lease=lease, ttl_s=ttl_s, registered_ms=now_ms()))
            put = wire.PutRequest(key=KEYS.worker(worker), value=stored, lease=lease)
            puts.append(wire.RequestOp(request_put=put))
        for start in range(0, count, _TXN):
            await self._txn(wire.TxnRequest(success=puts[start : start + _TXN]), timeout=CALL_S)
        return [f"workers/{worker}" for worker in workers]


async def look(renewing: Renewing, seconds: float) -> dict[str, float]:
    """What became of the renewals in that time."""
    renewing.took_ms.clear()
    renewing.failed = 0
    cpu = time.process_time()
    await asyncio.sleep(seconds)
    return {
        "renewed": len(renewing.took_ms),
        "failed": renewing.failed,
        "p50_ms": report.percentile(renewing.took_ms, 0.5),
        "p99_ms": report.percentile(renewing.took_ms, 0.99),
        "cpu_s": time.process_time() - cpu,
    }


async def main() -> None:
    lines = await lines_of_input()
    crew = Crew(**json.loads(sys.argv[1]))
    etcd = grpc.aio.insecure_channel(crew.etcd)
    channels = [grpc.aio.insecure_channel(crew.target, options=OPTIONS) for _ in range(CHANNELS)]
    renewing = Renewing(crew, etcd, channels)
    async with asyncio.TaskGroup() as group:
        lives = await renewing.begin(group)
        print(json.dumps({"ready": True}), flush=True)
        async for line in lines:
            answer = await look(renewing, json.loads(line)["seconds"])
            print(json.dumps(answer), flush=True)
        for life in lives:
            life.cancel()
    for channel in (*channels, etcd):
        await channel.close()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
