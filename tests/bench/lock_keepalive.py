"""A client process of the lock suite: workers that live, each on a KeepAlive stream of its own.

Its argument is JSON: the lock service's address, how many workers, their ttl (seconds). Each is renewed every
third of its ttl, from its registration on. Each line of input, `{"seconds"}`, asks for a look at that long.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass, field

import grpc.aio
import uvloop
from google.protobuf.duration_pb2 import Duration

from tenure.v1 import worker_service_pb2 as pb
from tenure.v1.worker_service_pb2_grpc import WorkerServiceStub
from tests.bench import report
from tests.bench.lock_driver import lines_of_input
from tests.bench.lock_ways import CALL_S, CHANNELS, OPTIONS
from tests.fixtures.services import METADATA

# So many are registered at once.
_AT_ONCE = 16


@dataclass
class Crew:
    """The workers of this process."""

    ttl_s: int
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
            answer = await stub.RegisterWorker(
                pb.RegisterWorkerRequest(ttl=Duration(seconds=self.ttl_s)),
                timeout=CALL_S,
                metadata=METADATA,
                wait_for_ready=True,
            )
        name, due = answer.worker.name, report.now()
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


async def main() -> None:
    lines = await lines_of_input()
    asked = json.loads(sys.argv[1])
    crew = Crew(asked["ttl_s"])
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
    for channel in channels:
        await channel.close()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
