"""How fast a lock that many wait for changes hands: from the release's sending to the next holder's answer.

A hundred wait at every turn: who has had it queues again. At etcd's own lock service the same is done, each
waiter on a lease of its own.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc.aio
import uvloop
from google.protobuf.duration_pb2 import Duration

from tenure import request_id
from tenure.etcdwire.v1 import etcdwire_pb2 as wire
from tenure.v1 import hold_service_pb2 as hold_pb
from tenure.v1 import profile_service_pb2 as profile_pb
from tenure.v1.hold_service_pb2_grpc import HoldServiceStub
from tenure.v1.profile_service_pb2_grpc import ProfileServiceStub
from tests.bench import report
from tests.bench.lock_ways import CALL_S, LEASE_S, OPTIONS, Bytes, lock_request, registered, unlock_request
from tests.fixtures.services import METADATA

WAITERS = 100
TURNS = 60
_PROFILE = "handed-over"


class Queue(ABC):
    """One lock. Who takes it is a number, 0 to WAITERS."""

    @abstractmethod
    async def take(self, who: int) -> None:
        """Wait for it."""

    @abstractmethod
    async def free(self, who: int) -> None:
        """Let the next one have it."""

    @abstractmethod
    async def length(self) -> int:
        """How many wait."""


def hand_overs(store: str, address: str) -> tuple[list[float], list[float]]:
    """Milliseconds each, ours and those of etcd's own lock service, taken in turns. To be called in a thread:
    it has an event loop of its own, one that costs little.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_hand_overs(store, address))


async def _hand_overs(store: str, address: str) -> tuple[list[float], list[float]]:
    async with _ours(address) as ours, _v3lock(store) as theirs:
        queues = [_Line(ours), _Line(theirs)]
        for line in queues:
            await line.form()
        # The first turn wakes what had not been called yet.
        for _ in range(TURNS + 1):
            for line in queues:
                await line.turn()
        for line in queues:
            line.leave()
        return queues[0].took[1:], queues[1].took[1:]


class _Line:
    """Those who wait for a queue's lock, and who has it."""

    def __init__(self, queue: Queue) -> None:
        self.took: list[float] = []
        self._queue = queue
        self._holder = 0
        self._waiting: dict[asyncio.Task[None], int] = {}

    async def form(self) -> None:
        await self._queue.take(0)
        for who in range(1, WAITERS + 1):
            self._join(who)
        await self._all_wait()

    async def turn(self) -> None:
        before = self._holder
        # It has begun to wait for all of them before the clock runs.
        first = asyncio.create_task(asyncio.wait(self._waiting, return_when=asyncio.FIRST_COMPLETED))
        began = await report.rested()
        freed = asyncio.create_task(self._queue.free(before))
        done, _ = await first
        self.took.append((report.now() - began) * 1000)
        (taken,) = done
        taken.result()
        self._holder = self._waiting.pop(taken)
        await freed
        self._join(before)
        await self._all_wait()

    def leave(self) -> None:
        for task in self._waiting:
            task.cancel()

    def _join(self, who: int) -> None:
        self._waiting[asyncio.create_task(self._queue.take(who))] = who

    async def _all_wait(self) -> None:
        while await self._queue.length() < WAITERS:
            # Nothing tells when a call has queued; and what is measured comes later.
            await report.rested()


@asynccontextmanager
async def _ours(address: str) -> AsyncIterator[Queue]:
    async with grpc.aio.insecure_channel(address, options=OPTIONS) as channel:
        yield _Profile(channel, [await registered(channel) for _ in range(WAITERS + 1)])


class _Profile(Queue):
    def __init__(self, channel: grpc.aio.Channel, workers: list[str]) -> None:
        self._holds = HoldServiceStub(channel)
        self._profiles = ProfileServiceStub(channel)
        self._workers = workers
        self._token = 0

    async def take(self, who: int) -> None:
        answer = await self._holds.AcquireHold(
            hold_pb.AcquireHoldRequest(
                profile=_PROFILE,
                worker=self._workers[who],
                request_id=request_id.mint(),
                wait=Duration(seconds=LEASE_S),
            ),
            timeout=LEASE_S + CALL_S,
            metadata=METADATA,
        )
        self._token = answer.hold.fencing_token

    async def free(self, who: int) -> None:
        await self._holds.ReleaseHold(
            hold_pb.ReleaseHoldRequest(profile=_PROFILE, fencing_token=self._token),
            timeout=CALL_S,
            metadata=METADATA,
        )

    async def length(self) -> int:
        answer = await self._profiles.GetProfile(
            profile_pb.GetProfileRequest(profile=_PROFILE), timeout=CALL_S, metadata=METADATA
        )
        return answer.profile.waiters


@asynccontextmanager
async def _v3lock(endpoint: str) -> AsyncIterator[Queue]:
    async with grpc.aio.insecure_channel(endpoint, options=OPTIONS) as channel:
        grant = channel.unary_unary(
            "/etcdserverpb.Lease/LeaseGrant",
            request_serializer=wire.LeaseGrantRequest.SerializeToString,
            response_deserializer=wire.LeaseGrantResponse.FromString,
        )
        leases = []
        for _ in range(WAITERS + 1):
            answer = await grant(wire.LeaseGrantRequest(ttl=LEASE_S), timeout=CALL_S)
            leases.append(answer.id)
        yield _EtcdLock(channel, leases)


class _EtcdLock(Queue):
    def __init__(self, channel: grpc.aio.Channel, leases: list[int]) -> None:
        self._lock: Bytes = channel.unary_unary("/v3lockpb.Lock/Lock")
        self._unlock: Bytes = channel.unary_unary("/v3lockpb.Lock/Unlock")
        self._range = channel.unary_unary(
            "/etcdserverpb.KV/Range",
            request_serializer=wire.RangeRequest.SerializeToString,
            response_deserializer=wire.RangeResponse.FromString,
        )
        self._leases = leases

    async def take(self, who: int) -> None:
        await self._lock(lock_request(_PROFILE, self._leases[who]), timeout=LEASE_S)

    async def free(self, who: int) -> None:
        await self._unlock(unlock_request(_PROFILE, self._leases[who]), timeout=CALL_S)

    async def length(self) -> int:
        start = f"{_PROFILE}/".encode()
        keys = wire.RangeRequest(key=start, range_end=start[:-1] + b"0", count_only=True)
        answer = await self._range(keys, timeout=CALL_S)
        # The holder's key is one of them.
        return answer.count - 1
