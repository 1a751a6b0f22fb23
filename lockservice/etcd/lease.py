"""Leases: granting, ending, and keeping many alive over one stream."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import NamedTuple

import grpc
import grpc.aio
from google.protobuf.message import Message

from lockservice.etcd.connection import REQUIRE_LEADER, Connection, cancelled_by_caller
from lockservice.etcd.errors import EtcdError, NotSent, Rejected
from lockservice.etcd.kv import ATTEMPT_S
from lockservice.loops import kept
from tenure.etcdwire.v1 import etcdwire_pb2 as wire

# How long a renewal is asked for, of one member after the other.
PATIENCE_S = 10.0
_LOOK_S = 0.25
_PAUSE_S = 0.05
_Stream = grpc.aio.StreamStreamCall[Message, wire.LeaseKeepAliveResponse]


class Renewal(NamedTuple):
    """`ttl` in seconds, 0 when the lease does not exist; `revision` is one that the store had reached before
    the renewal.
    """

    ttl: int
    revision: int


class _Asked:
    """A renewal that somebody waits for. `sent_at`: on the stream that is now."""

    __slots__ = ("answer", "asked_at", "lease", "sent_at")

    def __init__(self, lease: int, now: float) -> None:
        self.lease = lease
        self.asked_at = now
        self.sent_at = 0.0
        self.answer: asyncio.Future[Renewal] = asyncio.get_running_loop().create_future()


class Leases:
    """etcd's Lease service. One keep-alive stream is shared by all; `aclose` it."""

    def __init__(self, connection: Connection) -> None:
        # Told of a loop that ended by a mistake, and is begun again.
        self.ended: Callable[[str], None] = lambda _: None
        self._connection = connection
        # In the order sent: etcd answers a stream in order, so the first answer for an id belongs to its
        # first request.
        self._pending: dict[int, deque[_Asked]] = {}
        self._wanted: asyncio.Queue[_Asked] = asyncio.Queue()
        # In the order asked, those answered lately among them.
        self._asked: deque[_Asked] = deque()
        self._tasks: list[asyncio.Task[None]] = []
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
        try:
            async with asyncio.timeout(timeout):
                return await self.renewal(lease)
        except TimeoutError:
            raise NotSent(f"lease {lease:x} was not renewed within {timeout:g} s") from None

    def renewal(self, lease: int) -> asyncio.Future[Renewal]:
        """Ask for a renewal, over whichever stream there is; NotSent ends it after PATIENCE_S. Cancel it when
        it is not wanted any more.

        For very many at a time: it costs no timer and no task.
        """
        if not self._tasks:
            loops = {"etcd keep-alives": self._run, "etcd keep-alives' patience": self._watch_over}
            # Not of the call that happens to be the first.
            self._tasks = [
                asyncio.create_task(kept(name, run, self.ended), name=name, context=Context())
                for name, run in loops.items()
            ]
        asked = _Asked(lease, asyncio.get_running_loop().time())
        self._asked.append(asked)
        self._wanted.put_nowait(asked)
        return asked.answer

    async def aclose(self) -> None:
        """End the stream. Idempotent."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _watch_over(self) -> None:
        """Give up what was asked too long ago, and a member that does not answer."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_LOOK_S)
            now = loop.time()
            while self._asked and (
                self._asked[0].answer.done() or self._asked[0].asked_at + PATIENCE_S < now
            ):
                asked = self._asked.popleft()
                if not asked.answer.done():
                    asked.answer.set_exception(NotSent(f"lease {asked.lease:x} was not renewed in time"))
            # Answers come in order, so one that is old, of the first that waits, means that none come.
            oldest = next(iter(self._pending.values()), None)
            if self._stream is not None and oldest and oldest[0].sent_at < now - ATTEMPT_S:
                # Patience was long enough for any member that is well: ask another one.
                self._connection.leave(self._stream[0])
                self._stream[1].cancel()
                self._stream = None

    async def _run(self) -> None:
        while True:
            try:
                await self._serve_stream()
            except (EtcdError, grpc.aio.AioRpcError):
                await asyncio.sleep(_PAUSE_S)
            except asyncio.CancelledError:
                if cancelled_by_caller():
                    raise
            finally:
                # Asked again on the next stream: those whose callers still wait. Older answers can no longer
                # arrive.
                for waiting in self._pending.values():
                    for asked in waiting:
                        if not asked.answer.done():
                            self._wanted.put_nowait(asked)
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
                waiting = self._pending.get(response.id)
                if not waiting:
                    continue
                answer = waiting.popleft().answer
                if not waiting:
                    del self._pending[response.id]
                if not answer.done():
                    answer.set_result(Renewal(response.ttl, response.header.revision))
        finally:
            self._stream = None
            sender.cancel()
            stream.cancel()
            # Not awaited by itself: its cancellation could not be told from ours.
            await asyncio.gather(sender, return_exceptions=True)

    async def _send(self, stream: _Stream) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            asked = await self._wanted.get()
            if asked.answer.done():
                continue
            asked.sent_at = clock()
            self._pending.setdefault(asked.lease, deque()).append(asked)
            try:
                await stream.write(wire.LeaseKeepAliveRequest(id=asked.lease))
            except asyncio.InvalidStateError:
                return
