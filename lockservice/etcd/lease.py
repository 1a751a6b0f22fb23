"""Leases: granting, ending, and keeping many alive over one stream."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import NamedTuple

import grpc
import grpc.aio
from google.protobuf.message import Message

from lockservice.etcd.connection import REQUIRE_LEADER, Connection, cancelled_by_caller
from lockservice.etcd.errors import EtcdError, NotSent, Rejected
from lockservice.etcd.kv import ATTEMPT_S
from tenure.etcdwire.v1 import etcdwire_pb2 as wire

_PAUSE_S = 0.05
_Stream = grpc.aio.StreamStreamCall[Message, wire.LeaseKeepAliveResponse]


class Renewal(NamedTuple):
    """`ttl` in seconds, 0 when the lease does not exist; `revision` is one that the store had reached before
    the renewal.
    """

    ttl: int
    revision: int


class Leases:
    """etcd's Lease service. One keep-alive stream is shared by all; `aclose` it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        # In the order sent: etcd answers a stream in order, so the first answer for an id belongs to its
        # first request.
        self._pending: dict[int, deque[asyncio.Future[Renewal]]] = {}
        self._wanted: asyncio.Queue[tuple[int, asyncio.Future[Renewal]]] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self._stream: tuple[grpc.aio.Channel, _Stream] | None = None

    async def grant(self, ttl: int, timeout: float) -> wire.LeaseGrantResponse:
        """Start a lease of `ttl` seconds. Raises as a Txn does; after OutcomeUnknown an unused lease may
        exist, which ends by itself.
        """
        return await self._connection.unary(
            "/etcdserverpb.Lease/LeaseGrant",
            wire.LeaseGrantRequest(ttl=ttl),
            wire.LeaseGrantResponse,
            timeout,
        )

    async def revoke(self, lease: int, timeout: float) -> None:
        """End a lease and delete its keys. Idempotent. Raises as a Txn does."""
        try:
            await self._connection.unary(
                "/etcdserverpb.Lease/LeaseRevoke",
                wire.LeaseRevokeRequest(id=lease),
                wire.LeaseRevokeResponse,
                timeout,
            )
        except Rejected as error:
            if error.code is not grpc.StatusCode.NOT_FOUND:
                raise

    async def keep_alive(self, lease: int, timeout: float) -> Renewal:
        """Renew a lease; idempotent. Raises NotSent when no answer came within `timeout` seconds: it may have
        been renewed, but count on nothing.
        """
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="etcd keep-alives")
        answer: asyncio.Future[Renewal] = asyncio.get_running_loop().create_future()
        self._wanted.put_nowait((lease, answer))
        try:
            return await asyncio.wait_for(answer, timeout)
        except TimeoutError:
            if timeout >= ATTEMPT_S and self._stream is not None:
                # Patience was long enough for any member that is well: ask another one.
                self._connection.leave(self._stream[0])
                self._stream[1].cancel()
            raise NotSent(f"lease {lease:x} was not renewed within {timeout:g} s") from None

    async def aclose(self) -> None:
        """End the stream. Idempotent."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            try:
                await self._serve_stream()
            except (EtcdError, grpc.aio.AioRpcError):
                await asyncio.sleep(_PAUSE_S)
            except asyncio.CancelledError:
                if cancelled_by_caller():
                    raise
            # Asked again on the next stream: those whose callers still wait. Older answers can no longer
            # arrive.
            for lease, answers in self._pending.items():
                for answer in answers:
                    if not answer.done():
                        self._wanted.put_nowait((lease, answer))
            self._pending.clear()

    async def _serve_stream(self) -> None:
        channel = await self._connection.ready(None)
        stream: _Stream = channel.stream_stream(
            "/etcdserverpb.Lease/LeaseKeepAlive",
            request_serializer=wire.LeaseKeepAliveRequest.SerializeToString,
            response_deserializer=wire.LeaseKeepAliveResponse.FromString,
        )(metadata=REQUIRE_LEADER)
        self._stream = (channel, stream)
        sender = asyncio.create_task(self._send(stream), name="etcd keep-alive requests")
        try:
            async for response in stream:
                self._connection.check(response.header)
                answers = self._pending.get(response.id)
                if not answers:
                    continue
                answer = answers.popleft()
                if not answers:
                    del self._pending[response.id]
                if not answer.done():
                    answer.set_result(Renewal(response.ttl, response.header.revision))
        finally:
            self._stream = None
            sender.cancel()
            stream.cancel()
            with contextlib.suppress(asyncio.CancelledError, grpc.aio.AioRpcError):
                await sender

    async def _send(self, stream: _Stream) -> None:
        while True:
            lease, answer = await self._wanted.get()
            if answer.done():
                continue
            self._pending.setdefault(lease, deque()).append(answer)
            try:
                await stream.write(wire.LeaseKeepAliveRequest(id=lease))
            except asyncio.InvalidStateError:
                return
