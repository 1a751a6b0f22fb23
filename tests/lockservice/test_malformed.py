"""Ten thousand malformed requests crash neither lock service nor gateway, and change nobody's keys."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.duration_pb2 import Duration

from lockservice.core.keys import Keys
from lockservice.etcd.client import Etcd
from lockservice.etcd.txn import KeyRange
from servicekit.call import Identity
from servicekit.channels import CHANNEL_OPTIONS
from servicekit.ending import Ending
from tenure import errors, request_id
from tenure.internal.v1 import lock_service_pb2
from tenure.v1 import (
    hold_service_pb2,
    host_service_pb2,
    incident_service_pb2,
    profile_service_pb2,
    session_service_pb2,
    system_service_pb2,
    worker_service_pb2,
)
from tenure.v1.hold_pb2 import RunResult
from tenure.v1.hold_service_pb2_grpc import HoldServiceStub
from tenure.v1.worker_service_pb2_grpc import WorkerServiceStub
from tests.fixtures.etcd import Store
from tests.fixtures.ports import free_port
from tests.fixtures.services import Part
from tests.lockservice.malformed import Malformed, malformed

SEED = 20_261_122
EACH = 5_000
AT_ONCE = 32
HOLDS: tuple[FileDescriptor, ...] = (
    hold_service_pb2.DESCRIPTOR,
    profile_service_pb2.DESCRIPTOR,
    worker_service_pb2.DESCRIPTOR,
)
INSIDE = (*HOLDS, lock_service_pb2.DESCRIPTOR)
OUTSIDE = (
    *HOLDS,
    host_service_pb2.DESCRIPTOR,
    incident_service_pb2.DESCRIPTOR,
    session_service_pb2.DESCRIPTOR,
    system_service_pb2.DESCRIPTOR,
)
CANARY = Identity("canary", "tests", ("worker", "reviewer", "admin"))
STRANGERS = (
    Identity("fuzz", "tests", ("worker", "reviewer", "admin")),
    Identity("fuzz", "tests", ()),
    Identity("", "", ("",)),
    Identity("a/b", "x" * 500, ("admin", "nobody")),
)
# Of these gRPC itself says nothing more: there is no such method, our own deadline, a message too large.
UNTYPED = {
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
}
BAD = {grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL}
WRONG = "wrong:"
# What the caller's own gRPC says where the machine stood still for two seconds.
LATE = "ping timeout"
_MEMORY_KB = 600_000


@asynccontextmanager
async def serving(etcd: Store, folder: Path) -> AsyncIterator[tuple[Part, Part]]:
    """A lock service and a gateway, as processes. There is no host, and no recovery."""
    lock = Part("lockservice", {"etcd": etcd.member.endpoint, "etcd-prefix": etcd.prefix}, folder)
    flags = {
        "lockservice": lock.address,
        "recovery": f"127.0.0.1:{free_port()}",
        "http-listen": "127.0.0.1:0",
    }
    front = Part("gateway", flags, folder)
    try:
        await lock.start()
        await front.start()
        yield lock, front
    finally:
        await front.stop()
        await lock.stop()


async def send(channel: grpc.aio.Channel, request: Malformed, said: Counter[str], metadata: Any) -> None:
    """Make one call, and note what was answered; a stream is read until its first word, or a moment long."""
    sent = (*request.metadata, *metadata)
    single = len(request.messages) == 1 and not request.streams
    method: Any = channel.unary_unary(request.method) if single else channel.stream_stream(request.method)
    message = request.messages[0] if single else iter(request.messages)
    call = method(message, timeout=request.timeout, metadata=sent)
    ending = Ending(call)
    try:
        async with asyncio.timeout(1.5 if single else 0.3):
            if single:
                await call
            else:
                async for _ in call:
                    break
        call.cancel()
        said["OK"] += 1
    except TimeoutError:
        call.cancel()
        said["still waiting"] += 1
    except asyncio.CancelledError:
        # gRPC cancels a call by itself whose deadline is over before it has begun.
        said["not sent"] += 1
    except grpc.aio.AioRpcError as raised:
        error = await ending.of(raised)
        typed = errors.from_rpc_error(error)
        known = typed.reason if _is_typed(error) else ""
        code = error.code()
        said[f"{code.name} {known}"] += 1
        if LATE in str(error.details()):
            said["lost"] += 1
        elif code in BAD or not (known or code in UNTYPED):
            said[f"{WRONG} {request.method}: {error.details()}"] += 1


def _is_typed(error: grpc.aio.AioRpcError) -> bool:
    return any(key == errors.STATUS_DETAILS_KEY for key, _ in error.trailing_metadata() or ())


async def storm(
    address: str, requests: Iterable[Malformed], identities: Iterable[Identity | None]
) -> Counter[str]:
    """Send all, many at once; the callers take turns."""
    said: Counter[str] = Counter()
    who = list(identities)
    queue = list(enumerate(requests))
    async with grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS) as channel:

        async def sender() -> None:
            while queue:
                number, request = queue.pop()
                identity = who[number % len(who)]
                await send(channel, request, said, identity.metadata() if identity else ())

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(sender())
    return said


async def hold(address: str, profile: str, metadata: Any, *, release: bool) -> None:
    """What a worker does on a good day."""
    async with grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS) as channel:
        registered = await WorkerServiceStub(channel).RegisterWorker(
            # Nobody renews it, and it must outlive the storm.
            worker_service_pb2.RegisterWorkerRequest(ttl=Duration(seconds=600)),
            timeout=30,
            metadata=metadata,
        )
        acquire = hold_service_pb2.AcquireHoldRequest(
            profile=profile, worker=registered.worker.name, request_id=request_id.mint()
        )
        holds = HoldServiceStub(channel)
        held = (await holds.AcquireHold(acquire, timeout=30, metadata=metadata)).hold
        if release:
            ending = hold_service_pb2.ReleaseHoldRequest(
                profile=profile,
                fencing_token=held.fencing_token,
                result=RunResult.RUN_RESULT_SUCCEEDED,
            )
            await holds.ReleaseHold(ending, timeout=30, metadata=metadata)


async def stored(etcd: Store) -> dict[bytes, tuple[bytes, int]]:
    """All keys under the prefix, with value and revision."""
    async with Etcd(etcd.endpoints) as client:
        found = await client.kv.read(KeyRange(etcd.prefix.encode(), etcd.prefix[:-1].encode() + b"0"), 30.0)
    return {kv.key: (kv.value, kv.mod_revision) for kv in found.kvs}


def memory_kb(part: Part) -> int:
    """What the process has resident."""
    status = Path(f"/proc/{part.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


@pytest.mark.timeout(180)
async def test_ten_thousand_malformed_requests_crash_nothing(etcd: Store, tmp_path: Path) -> None:
    keys = Keys(etcd.prefix)
    async with serving(etcd, tmp_path) as (lock, front):
        await hold(lock.address, "alice", CANARY.metadata(), release=False)
        before = {key: kv for key, kv in (await stored(etcd)).items() if b"canary" in key}
        assert len(before) == 1
        pids = lock.pid, front.pid
        inside, outside = await asyncio.gather(
            storm(lock.address, malformed(SEED, EACH, INSIDE), STRANGERS),
            storm(front.address, malformed(SEED + 1, EACH, OUTSIDE), [None]),
        )
        print(f"seed {SEED}", dict(inside), dict(outside), sep="\n")
        assert min(inside.total(), outside.total()) >= EACH, "not all were sent"
        assert [what for what in (*inside, *outside) if what.startswith(WRONG)] == []
        # Nobody died, nobody grew, nobody complained.
        assert (lock.pid, front.pid) == pids
        assert max(map(memory_kb, (lock, front))) < _MEMORY_KB
        for part in (lock, front):
            failed = [line for line in part.log.splitlines() if '"event": "failed"' in line]
            assert failed == []
        # What others have is as it was, and what there is has its place.
        after = await stored(etcd)
        assert {key: after.get(key) for key in before} == before
        parts = {"p": 3, "q": 4, "w": 2, "k": 3, "h": 2, "x": 2, "a": 4, "epoch": 1, "c": 4, "i": 4, "d": 4}
        odd = [
            key
            for key in after
            if key not in (keys.epoch, keys.log) and len(keys.split(key)) != parts.get(keys.split(key)[0], 5)
        ]
        assert odd == []
        await hold(front.address, "good:day", (), release=True)
