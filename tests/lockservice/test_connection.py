"""When a member of etcd is left for another one: when it does not answer, not when a caller has no time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc
import grpc.aio
import pytest

from lockservice.etcd import connection as connections
from lockservice.etcd.connection import Connection
from lockservice.etcd.errors import OutcomeUnknown
from lockservice.etcd.silence import Silence
from tenure.etcdwire.v1 import etcdwire_pb2 as wire


def test_what_one_call_waited_in_vain_counts_though_others_were_answered() -> None:
    silence = Silence()
    silence.broken(11.5)
    assert silence.waited(10.0, 12.0) == 2.0


def test_short_waits_add_up_until_an_answer_comes() -> None:
    silence = Silence()
    assert [silence.waited(at, at + 0.25) for at in (10, 20, 30)] == [0.25, 0.5, 0.75]
    silence.broken(31)
    assert silence.waited(40, 40.25) == 0.25


def test_calls_that_wait_side_by_side_count_once() -> None:
    silence = Silence()
    assert silence.waited(10, 10.5) == 0.5
    assert [silence.waited(10.25, 10.5) for _ in range(64)] == [0.5] * 64
    assert silence.waited(10.25, 10.75) == 0.75


def test_what_was_waited_before_an_answer_does_not_count_later() -> None:
    silence = Silence()
    silence.broken(10.5)
    assert silence.waited(10.25, 10.75) == 0.5
    assert silence.waited(11, 11.25) == 0.5


@pytest.fixture
async def connection() -> AsyncIterator[Connection]:
    """To a member that takes calls and answers none."""

    async def forever(request: wire.RangeRequest, context: object) -> wire.RangeResponse:
        await asyncio.Event().wait()
        return wire.RangeResponse()

    method = grpc.unary_unary_rpc_method_handler(
        forever,
        request_deserializer=wire.RangeRequest.FromString,
        response_serializer=wire.RangeResponse.SerializeToString,
    )
    member = grpc.aio.server()
    member.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler("etcdserverpb.KV", {"Range": method})]
    )
    port = member.add_insecure_port("127.0.0.1:0")
    await member.start()
    found = Connection([f"127.0.0.1:{port}"])
    await found.ready(30.0)
    yield found
    await found.aclose()
    await member.stop(None)


async def asks(connection: Connection, timeout: float) -> None:
    with pytest.raises(OutcomeUnknown):
        await connection.unary(
            "/etcdserverpb.KV/Range", wire.RangeRequest(key=b"k"), wire.RangeResponse, timeout
        )


async def test_a_callers_short_deadline_leaves_no_member(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So long that this machine cannot be slower.
    monkeypatch.setattr(connections, "PATIENCE_S", 600.0)
    channel = await connection.ready(30.0)
    await asks(connection, 0.02)
    assert await connection.ready(30.0) is channel


async def test_a_member_that_lets_callers_wait_for_long_is_left(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "PATIENCE_S", 0.2)
    channel = await connection.ready(30.0)
    async with asyncio.timeout(30):
        while await connection.ready(30.0) is channel:
            await asks(connection, 0.05)
