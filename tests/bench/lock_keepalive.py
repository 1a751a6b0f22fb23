"""A client process of the lock suite: workers that live, each on a KeepAlive stream of its own.

Its argument is JSON: the addresses of lock service and etcd, how many workers, their ttl (seconds). They are
put into etcd as the lock service would register them, which takes many times as long. Each is renewed every
third of its ttl from then on. Each line of input, `{"seconds"}`, asks for a look at that long.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass, field

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

# So many are registered at once.
_AT_ONCE = 64


@dataclass
class Crew:
    """The workers of this process."""

    ttl_s: int
    etcd: grpc.aio.Channel
    registering: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_AT_ONCE))
    # Since they were last asked for: milliseconds of each renewal, and how many had no answer.
    renewed: list[float] = field(default_factory=list)
    failed: int = 0

    async def live(self, stub: WorkerServiceStub, alive: asyncio.Event) -> None:
        """One worker's life after another, until it is cancelled."""
        while True:
            try:
                await self._live_once(stub, alive)
            except grpc.aio.AioRpcError:
                self.failed += 1

    async def _live_once(self, stub: WorkerServiceStub, alive: asyncio.Event) -> None:
        async with self.registering:
            name = await self._registered()
        due = report.now()
        stream = stub.KeepAlive(metadata=METADATA)
        while True:
            due += self.ttl_s / 3
            await asyncio.sleep(due - report.now())
            sent = report.now()
            await stream.write(pb.KeepAliveRequest(worker=name))
            renewal = await stream.read()
            assert isinstance(renewal, pb.KeepAliveResponse), f"{name} was not renewed: {renewal}"
            self.renewed.append((report.now() - sent) * 1000)
            alive.set()

    async def _registered(self) -> str:
        """A worker of a lease of its own."""
        grant = wire.LeaseGrantRequest(ttl=self.ttl_s)
        lease = await self.etcd.unary_unary(
            "/etcdserverpb.Lease/LeaseGrant",
            request_serializer=wire.LeaseGrantRequest.SerializeToString,
            response_deserializer=wire.LeaseGrantResponse.FromString,
        )(grant, timeout=CALL_S)
        worker = request_id.mint()
        stored = Worker(tenant="default", lease=lease.id, ttl_s=self.ttl_s, registered_ms=now_ms())
        await self.etcd.unary_unary(
            "/etcdserverpb.KV/Put", request_serializer=wire.PutRequest.SerializeToString
        )(wire.PutRequest(key=KEYS.worker(worker), value=encode(stored), lease=lease.id), timeout=CALL_S)
        return f"workers/{worker}"


async def main() -> None:
    lines = await lines_of_input()
    asked = json.loads(sys.argv[1])
    crew = Crew(asked["ttl_s"], grpc.aio.insecure_channel(asked["etcd"]))
    channels = [grpc.aio.insecure_channel(asked["target"], options=OPTIONS) for _ in range(CHANNELS)]
    stubs = [WorkerServiceStub(channel) for channel in channels]
    async with asyncio.TaskGroup() as group:
        alive = [asyncio.Event() for _ in range(asked["workers"])]
        tasks = [
            group.create_task(crew.live(stubs[number % CHANNELS], event))
            for number, event in enumerate(alive)
        ]
        for event in alive:
            await event.wait()
        print(json.dumps({"ready": True}), flush=True)
        async for line in lines:
            crew.renewed.clear()
            crew.failed = 0
            cpu = time.process_time()
            await asyncio.sleep(json.loads(line)["seconds"])
            answer = {
                "renewed": len(crew.renewed),
                "failed": crew.failed,
                "p50_ms": report.percentile(crew.renewed, 0.5),
                "p99_ms": report.percentile(crew.renewed, 0.99),
                "cpu_s": time.process_time() - cpu,
            }
            print(json.dumps(answer), flush=True)
        for task in tasks:
            task.cancel()
    for channel in (*channels, crew.etcd):
        await channel.close()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
