"""What it costs a replica that a million profiles are stored, beside one of a thousand, on an etcd each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import grpc.aio

from lockservice.core.document import encode
from lockservice.core.record import Record, State
from lockservice.granter import now_ms
from tenure.etcdwire.v1 import etcdwire_pb2 as wire
from tenure.names import ProfileName
from tests.bench import report
from tests.bench.lock_rig import Client, etcd, lock_service, memory_mb, pairs_client
from tests.bench.lock_ways import CALL_S, KEYS, OPTIONS, Asked
from tests.fixtures.etcd import Member

FEW, MANY = 1_000, 1_000_000
TURNS = 7
TURN_S = 1.0
PREFIX = "stored-"
# One Txn has at most 128 operations a level, all levels taken together; and 1.5 MiB.
_OUTER, _INNER = 64, 64
_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Stored:
    """A replica on so many profiles, freshly started: milliseconds of its pairs by turn, and its price."""

    count: int
    p50_ms: list[float]
    load_s: float
    memory_mb: float


async def stored() -> tuple[Stored, Stored]:
    """One with few profiles and one with many, measured in turns."""
    async with AsyncExitStack() as stack:
        rigs = [await stack.enter_async_context(_replica(count)) for count in (FEW, MANY)]
        turns: list[list[float]] = [[], []]
        for _ in range(TURNS + 1):
            for (client, _, _), took in zip(rigs, turns, strict=True):
                await report.rested()
                answer = await client.ask(lanes=1, seconds=TURN_S)
                took.append(answer["p50_ms"])
        few, many = (
            Stored(count, took[1:], load_s, memory)
            for count, took, (_, load_s, memory) in zip((FEW, MANY), turns, rigs, strict=True)
        )
        return few, many


@asynccontextmanager
async def _replica(count: int) -> AsyncIterator[tuple[Client, float, float]]:
    """A client of a replica that was started on `count` profiles, its load time and its memory."""
    async with etcd() as members:
        async with lock_service(members) as first, _client(first.address):
            # It begins the epoch; what is filled in then looks like any store that was used for a while.
            pass
        await fill(members[0], count)
        began = report.now()
        async with lock_service(members) as service, _client(service.address) as client:
            yield client, report.now() - began, memory_mb([service.pid])


@asynccontextmanager
async def _client(address: str) -> AsyncIterator[Client]:
    """On names that are among the stored. It is there once the replica has served it."""
    async with pairs_client(Asked("unary", [address], 1, 500, PREFIX)) as client:
        yield client


async def fill(member: Member, count: int) -> None:
    """Store `count` free profiles, as releases leave them."""
    async with grpc.aio.insecure_channel(member.endpoint, options=OPTIONS) as channel:
        call: grpc.aio.UnaryUnaryMultiCallable[wire.TxnRequest, bytes] = channel.unary_unary(
            "/etcdserverpb.KV/Txn", request_serializer=wire.TxnRequest.SerializeToString
        )
        starts = iter(range(0, count, _OUTER * _INNER))

        async def write() -> None:
            for start in starts:
                await call(_txn(range(start, min(start + _OUTER * _INNER, count))), timeout=CALL_S)

        await asyncio.gather(*(write() for _ in range(_AT_ONCE)))


def _txn(numbers: range) -> wire.TxnRequest:
    inner = [
        wire.TxnRequest(success=[_put(number) for number in numbers[start : start + _INNER]])
        for start in range(0, len(numbers), _INNER)
    ]
    return wire.TxnRequest(success=[wire.RequestOp(request_txn=each) for each in inner])


def _put(number: int) -> wire.RequestOp:
    name = f"{PREFIX}{number}"
    record = Record(state=State.AVAILABLE, epoch=0, since_ms=now_ms(), as_sent=name)
    key = KEYS.record(ProfileName("default", name))
    return wire.RequestOp(request_put=wire.PutRequest(key=key, value=encode(record)))
