"""One channel to whichever member answers, and the way to another when it does not."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from contextvars import Context
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message

from lockservice.etcd.errors import (
    ClusterChanged,
    NotSent,
    OutcomeUnknown,
    Refused,
    Rejected,
    WentBack,
    classify,
)
from lockservice.etcd.silence import Silence
from tenure.etcdwire.v1 import etcdwire_pb2 as wire

# A member that lost its leader refuses at once instead of letting the request wait (etcd
# rpctypes.MetadataRequireLeaderKey).
REQUIRE_LEADER = (("hasleader", "true"),)

_OPTIONS: tuple[tuple[str, int], ...] = (
    # etcd answers pings more often than every 5 s with GOAWAY. A frozen member is given up 2 s after a ping:
    # of the two time-outs only the second has an effect in grpcio 1.85.
    ("grpc.keepalive_time_ms", 6000),
    ("grpc.keepalive_timeout_ms", 2000),
    ("grpc.http2.ping_timeout_ms", 2000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 2000),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.max_receive_message_length", 256 * 1024 * 1024),
    # Without a pool of its own a new channel would get the old channel's frozen connection again.
    ("grpc.use_local_subchannel_pool", 1),
    # A retry behind our back could apply a Txn twice.
    ("grpc.enable_retries", 0),
    ("grpc.enable_http_proxy", 0),
)
_POLL_S = 0.02
# Calls still under way on a channel that was left may end by their own deadlines.
_LINGER_S = 10.0
_STAY_S = 1.0
# For so long a member is waited for before it is taken for one that does not answer: a short deadline says
# nothing of the member.
PATIENCE_S = 1.0

Response = TypeVar("Response", bound=Message)


class Request(Protocol):
    """A message, or what was written as one."""

    def SerializeToString(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Tls:
    """Files in PEM. `server_name` replaces the address in the check of the server's certificate."""

    ca: Path
    cert: Path | None = None
    key: Path | None = None
    server_name: str = ""

    def credentials(self) -> grpc.ChannelCredentials:
        """Read the files. Raises OSError."""
        return grpc.ssl_channel_credentials(
            self.ca.read_bytes(),
            self.key.read_bytes() if self.key else None,
            self.cert.read_bytes() if self.cert else None,
        )


class Connection:
    """Owns the channel. Make it inside a running event loop; `aclose` it.

    `endpoints` are `host:port`. Several must be IPv4 addresses: gRPC resolves only one name a channel.
    Raises ValueError for endpoints that cannot be used together.
    """

    def __init__(self, endpoints: Sequence[str], tls: Tls | None = None) -> None:
        check_endpoints(endpoints)
        self._endpoints = list(endpoints)
        self._credentials = tls.credentials() if tls else None
        self._server_name = tls.server_name if tls else ""
        self._channel = self._open()
        self._connecting: asyncio.Task[None] | None = None
        self._stay_until = 0.0
        self._silence = Silence()
        self._leaving: set[asyncio.Task[None]] = set()
        # Set once the cluster is known: then an answer of another one is refused.
        self.cluster_id: int | None = None
        # The highest revision that any answer showed.
        self.seen = 0
        self._refusal = ""
        self._closed = False

    async def ready(self, timeout: float | None) -> grpc.aio.Channel:
        """Return a connected channel. Raises NotSent after `timeout` seconds (None: never), and once this is
        closed.
        """
        if self._closed:
            raise NotSent("the connection to etcd is closed")
        if self._channel.get_state(try_to_connect=True) is not grpc.ChannelConnectivity.READY:
            if self._connecting is None or self._connecting.done():
                # Not of the call that happens to be the first.
                self._connecting = asyncio.create_task(
                    self._connect(), name="etcd connect", context=Context()
                )
            try:
                # Not wait_for: until Python 3.12 that drops a cancellation which comes in the moment of
                # success, and whoever cancelled a watch then waits for ever.
                async with asyncio.timeout(timeout):
                    # Shielded: many callers wait for one connection.
                    await asyncio.shield(self._connecting)
            except TimeoutError:
                raise NotSent(f"no etcd member of {', '.join(self._endpoints)} answers") from None
        return self._channel

    async def unary(
        self, path: str, request: Request, answer: type[Response], timeout: float, *, checked: bool = True
    ) -> Response:
        """Call once, never twice. Raises NotSent, Rejected, OutcomeUnknown or ClusterChanged, which says
        nothing of the request's outcome either.

        `timeout` (seconds) covers the wait for a connection too. A member that lost its leader, or let calls
        wait for PATIENCE_S, one or several in a row, and answered none, is left for the next one. Not
        `checked`: an answer of any cluster will do. Checked calls are only those that etcd orders with all
        writes: their answers cannot be older than what was seen.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout
        if checked and self._refusal:
            raise Refused(self._refusal)
        channel = await self.ready(timeout)
        seen = self.seen
        call: grpc.aio.UnaryUnaryMultiCallable[Any, Response] = channel.unary_unary(
            path, request_serializer=_serialize, response_deserializer=_deserializer(answer)
        )
        sent = loop.time()
        try:
            response = await call(request, timeout=max(end - sent, 0.001), metadata=REQUIRE_LEADER)
        except grpc.aio.AioRpcError as error:
            known = classify(error)
            waited = 0.0
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED and channel is self._channel:
                waited = self._silence.waited(sent, loop.time())
            if waited >= PATIENCE_S or (isinstance(known, Rejected) and known.no_leader):
                self.leave(channel)
            raise known from None
        except asyncio.CancelledError:
            if cancelled_by_caller():
                raise
            raise OutcomeUnknown("the channel was closed under the call") from None
        if channel is self._channel:
            self._silence.broken(loop.time())
        if checked:
            if self._refusal:
                raise OutcomeUnknown(self._refusal)
            self.check(response.header, seen)  # type: ignore[attr-defined]  # every answer has a header
        return response

    def check(self, header: wire.ResponseHeader, seen: int = 0) -> None:
        """Raise ClusterChanged when an answer is not from the expected cluster, WentBack when it is older
        than revision `seen`. From then on it raises Refused, and nothing is sent, until somebody says
        `trust`.
        """
        if self._refusal:
            raise Refused(self._refusal)
        error: ClusterChanged | None = None
        if self.cluster_id is not None and header.cluster_id != self.cluster_id:
            error = ClusterChanged(self.cluster_id, header.cluster_id)
        elif header.revision < seen:
            error = WentBack(header.cluster_id, seen, header.revision)
        if error is not None:
            self.refuse(str(error))
            raise error
        self.seen = max(self.seen, header.revision)

    def refuse(self, why: str) -> None:
        """Send nothing checked until `trust`. What is under way ends, its outcome unknown."""
        if self.cluster_id is not None and not self._refusal:
            self._renew(linger_s=0.0)
        self._refusal = why

    def trust(self, cluster_id: int, seen: int) -> None:
        """The store is the one to serve, and its revision is never again below `seen`."""
        self.cluster_id, self.seen = cluster_id, seen
        self._refusal = ""

    def leave(self, channel: grpc.aio.Channel) -> None:
        """Go to the next member, unless somebody did so already, or just now: where none has a leader, going
        in circles helps nobody.
        """
        now = asyncio.get_running_loop().time()
        if channel is not self._channel or now < self._stay_until:
            return
        self._stay_until = now + _STAY_S
        self._endpoints = [*self._endpoints[1:], self._endpoints[0]]
        self._renew(_LINGER_S)

    async def aclose(self) -> None:
        """Close all channels. Idempotent."""
        self._closed = True
        tasks = [*self._leaving, *([self._connecting] if self._connecting else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._channel.close()

    def _renew(self, linger_s: float) -> None:
        task = asyncio.create_task(_close_later(self._channel, linger_s), name="etcd channel close")
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)
        self._channel = self._open()
        self._silence = Silence()

    async def _connect(self) -> None:
        # Polled, because a wait for a state change of a channel that is left meanwhile would not end.
        while True:
            if self._channel.get_state(try_to_connect=True) is grpc.ChannelConnectivity.READY:
                return
            await asyncio.sleep(_POLL_S)

    def _open(self) -> grpc.aio.Channel:
        target = self._endpoints[0]
        options: list[tuple[str, int | str]] = [*_OPTIONS]
        if len(self._endpoints) > 1:
            target = "ipv4:" + ",".join(self._endpoints)
            # The default authority of such a target is the whole list, which is no host name.
            options.append(("grpc.default_authority", self._endpoints[0]))
        if self._credentials is None:
            return grpc.aio.insecure_channel(target, options=options)
        if self._server_name:
            options.append(("grpc.ssl_target_name_override", self._server_name))
        return grpc.aio.secure_channel(target, self._credentials, options=options)


def check_endpoints(endpoints: Sequence[str]) -> None:
    """Raise ValueError, with the remedy, for endpoints that one channel cannot have."""
    if not endpoints:
        raise ValueError("at least one etcd endpoint is needed, for example 127.0.0.1:2379")
    for endpoint in endpoints:
        host, _, port = endpoint.rpartition(":")
        if not host or not port.isdigit() or "/" in endpoint:
            raise ValueError(f"etcd endpoint {endpoint!r} is not host:port")
        if len(endpoints) > 1 and not all(part.isdigit() for part in host.split(".")):
            raise ValueError(f"etcd endpoint {endpoint!r}: several endpoints must be IPv4 addresses")


def cancelled_by_caller() -> bool:
    """Whether the running task itself was cancelled; grpc raises the same when a channel is closed under a
    call.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _serialize(message: Request) -> bytes:
    return message.SerializeToString()


def _deserializer(answer: type[Response]) -> Callable[[bytes], Response]:
    return answer.FromString


async def _close_later(channel: grpc.aio.Channel, linger_s: float) -> None:
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.sleep(linger_s)
    await channel.close()
