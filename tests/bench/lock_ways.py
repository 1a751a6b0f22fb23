"""Ways to take a lock and free it again: ours, and what else one would write against the same etcd.

Each is at its leanest: what a message has in common with the next is made once. A lane has names of its own
and takes one at a time, in turn, so that no two lanes ever wait for each other.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import grpc
import grpc.aio
from google.protobuf.duration_pb2 import Duration

from lockservice.core.keys import Keys
from lockservice.settings import LockSettings
from tenure import request_id
from tenure.etcdwire.v1 import etcdwire_pb2 as wire
from tenure.v1 import hold_service_pb2 as hold_pb
from tenure.v1 import worker_service_pb2 as worker_pb
from tenure.v1.hold_service_pb2_grpc import HoldServiceStub
from tenure.v1.worker_service_pb2_grpc import WorkerServiceStub
from tests.fixtures.services import METADATA

# Longer than the bench, so that no lease has to be renewed while something is measured.
LEASE_S = 1800
CALL_S = 30.0
# Names that one worker may use in its life; a few below what a lease carries.
NAMES_A_WORKER = 900
# So that several processes behind one port all get some of the connections, as a gateway's pool would.
CHANNELS = 4
OPTIONS = (("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", 32 << 20))

# Calls whose messages are made, and some read, by us.
Bytes = grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]
Txn = grpc.aio.UnaryUnaryMultiCallable[bytes, wire.TxnResponse]
# Where the lock service under test keeps what it keeps.
KEYS = Keys(LockSettings.model_fields["etcd_prefix"].default)

# One lock taken and freed `items` at a time in a lane: how often this was called says which names are due.
Pair = Callable[[int, int, int], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a client process is to work on. Names are `{prefix}{number}`, `names` of them a lane."""

    way: str
    targets: list[str]
    lanes: int
    names: int
    prefix: str
    first: int = 0

    def name(self, lane: int, turn: int) -> str:
        return f"{self.prefix}{self.first + lane * self.names + turn % self.names}"


@asynccontextmanager
async def opened(asked: Asked) -> AsyncIterator[Pair]:
    """The way that is asked for, ready to be measured: `pair(lane, turn, items)`."""
    async with _WAYS[asked.way](asked) as pair:
        yield pair


# --- against etcd itself ---------------------------------------------------------------


@asynccontextmanager
async def v3lock(asked: Asked) -> AsyncIterator[Pair]:
    """etcd's lock service. Without a lease it would grant one a lock, and leave it: all share one."""
    async with _etcd(asked) as (channel, lease):
        take: Bytes = channel.unary_unary("/v3lockpb.Lock/Lock")
        free: Bytes = channel.unary_unary("/v3lockpb.Lock/Unlock")
        locks, keys = {}, {}
        for lane in range(asked.lanes):
            for turn in range(asked.names):
                name = asked.name(lane, turn)
                locks[lane, turn] = lock_request(name, lease)
                keys[lane, turn] = unlock_request(name, lease)

        async def pair(lane: int, turn: int, items: int) -> None:
            at = lane, turn % asked.names
            # LockResponse{header = 1, key = 2}.
            answer = await take(locks[at], timeout=CALL_S)
            assert answer.endswith(b"\x12" + keys[at][1:]), answer
            await free(keys[at], timeout=CALL_S)

        yield pair


@asynccontextmanager
async def plain_txn(asked: Asked) -> AsyncIterator[Pair]:
    """One Txn that creates a key which is not there, and its deletion: a lock without a queue or a token."""
    async with _etcd(asked) as (channel, lease):
        take: Txn = channel.unary_unary(
            "/etcdserverpb.KV/Txn", response_deserializer=wire.TxnResponse.FromString
        )
        free: Bytes = channel.unary_unary("/etcdserverpb.KV/DeleteRange")
        takes, frees = {}, {}
        for lane in range(asked.lanes):
            for turn in range(asked.names):
                key = asked.name(lane, turn).encode()
                absent = wire.Compare(key=key, target=wire.Compare.COMPARE_TARGET_CREATE, create_revision=0)
                put = wire.RequestOp(request_put=wire.PutRequest(key=key, value=b"owner", lease=lease))
                txn = wire.TxnRequest(compare=[absent], success=[put])
                takes[lane, turn] = txn.SerializeToString()
                frees[lane, turn] = wire.DeleteRangeRequest(key=key).SerializeToString()

        async def pair(lane: int, turn: int, items: int) -> None:
            at = lane, turn % asked.names
            answer = await take(takes[at], timeout=CALL_S)
            assert answer.succeeded
            await free(frees[at], timeout=CALL_S)

        yield pair


@asynccontextmanager
async def _etcd(asked: Asked) -> AsyncIterator[tuple[grpc.aio.Channel, int]]:
    """A channel to etcd, and a lease on it."""
    target = asked.targets[0] if len(asked.targets) == 1 else f"ipv4:{','.join(asked.targets)}"
    async with grpc.aio.insecure_channel(target, options=OPTIONS) as channel:
        grant = channel.unary_unary(
            "/etcdserverpb.Lease/LeaseGrant",
            request_serializer=wire.LeaseGrantRequest.SerializeToString,
            response_deserializer=wire.LeaseGrantResponse.FromString,
        )
        lease = await grant(wire.LeaseGrantRequest(ttl=LEASE_S), timeout=CALL_S)
        yield channel, lease.id


def lock_request(name: str, lease: int) -> bytes:
    """v3lockpb.LockRequest{name = 1, lease = 2}."""
    return _field(1, name.encode()) + _number(2, lease)


def unlock_request(name: str, lease: int) -> bytes:
    """v3lockpb.UnlockRequest{key = 1}: the key that the lock of this lease has, as Lock answers it."""
    return _field(1, f"{name}/{lease:x}".encode())


def _field(number: int, data: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(data)) + data


def _number(number: int, value: int) -> bytes:
    return bytes([number << 3]) + _varint(value)


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


# --- through the lock service ----------------------------------------------------------


@asynccontextmanager
async def unary(asked: Asked) -> AsyncIterator[Pair]:
    """AcquireHold and ReleaseHold, a call each."""
    async with _lock_service(asked) as (stubs, workers):

        async def pair(lane: int, turn: int, items: int) -> None:
            stub, name = stubs[lane % len(stubs)], asked.name(lane, turn)
            answer = await stub.AcquireHold(
                hold_pb.AcquireHoldRequest(
                    profile=name, worker=workers[_worker(asked, lane)], request_id=request_id.mint()
                ),
                timeout=CALL_S,
                metadata=METADATA,
            )
            await stub.ReleaseHold(
                hold_pb.ReleaseHoldRequest(profile=name, fencing_token=answer.hold.fencing_token),
                timeout=CALL_S,
                metadata=METADATA,
            )

        yield pair


@asynccontextmanager
async def bulk(asked: Asked) -> AsyncIterator[Pair]:
    """AcquireHolds and ReleaseHolds: `items` holds a call, each on a lane's names."""
    async with _lock_service(asked) as (stubs, workers):

        async def pair(lane: int, turn: int, items: int) -> None:
            stub, lanes = stubs[lane % len(stubs)], range(lane * items, (lane + 1) * items)
            names = [asked.name(each, turn) for each in lanes]
            taken = await stub.AcquireHolds(
                hold_pb.AcquireHoldsRequest(
                    requests=[
                        hold_pb.AcquireHoldRequest(
                            profile=name, worker=workers[_worker(asked, each)], request_id=request_id.mint()
                        )
                        for each, name in zip(lanes, names, strict=True)
                    ]
                ),
                timeout=CALL_S,
                metadata=METADATA,
            )
            tokens = [each.response.hold.fencing_token for each in taken.results]
            assert all(tokens), next(each.error for each in taken.results if each.HasField("error"))
            freed = await stub.ReleaseHolds(
                hold_pb.ReleaseHoldsRequest(
                    requests=[
                        hold_pb.ReleaseHoldRequest(profile=name, fencing_token=token)
                        for name, token in zip(names, tokens, strict=True)
                    ]
                ),
                timeout=CALL_S,
                metadata=METADATA,
            )
            assert all(each.HasField("response") for each in freed.results)

        yield pair


@asynccontextmanager
async def _lock_service(asked: Asked) -> AsyncIterator[tuple[list[HoldServiceStub], list[str]]]:
    """Stubs on connections of their own, and as many workers as the names need."""
    channels = [grpc.aio.insecure_channel(asked.targets[0], options=OPTIONS) for _ in range(CHANNELS)]
    try:
        workers = [await registered(channels[0]) for _ in range(_worker(asked, asked.lanes - 1) + 1)]
        yield [HoldServiceStub(channel) for channel in channels], workers
    finally:
        for channel in channels:
            await channel.close()


async def registered(channel: grpc.aio.Channel) -> str:
    """A new worker, once the service has read what is stored."""
    stub = WorkerServiceStub(channel)
    request = worker_pb.RegisterWorkerRequest(ttl=Duration(seconds=LEASE_S))
    while True:
        try:
            answer = await stub.RegisterWorker(
                request, timeout=CALL_S, metadata=METADATA, wait_for_ready=True
            )
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
        else:
            return answer.worker.name


def _worker(asked: Asked, lane: int) -> int:
    """Which worker a lane's holds are."""
    return lane // max(NAMES_A_WORKER // asked.names, 1)


_WAYS = {"v3lock": v3lock, "txn": plain_txn, "unary": unary, "bulk": bulk}
