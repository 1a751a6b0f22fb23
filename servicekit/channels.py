"""Calls from one service to another.

`Channels` pools one connection an address; `invoke` makes a unary call that carries the
request id, the identity and the remaining deadline on, and raises what the other side
raised.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar, cast

import grpc
import grpc.aio

from servicekit import call
from tenure import errors

Request = TypeVar("Request")
Response = TypeVar("Response")

# grpc.keepalive_timeout_ms has no effect in grpcio 1.85: a frozen peer is found after 63 s.
# http2.ping_timeout_ms beside it finds one in keepalive_time + 2 s. The short reconnect
# back-off is for a peer that its supervisor starts again within a second. All that is stored of an
# incident comes in one message, which may be larger than grpc's 4 MiB.
CHANNEL_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.keepalive_time_ms", 6_000),
    ("grpc.keepalive_timeout_ms", 2_000),
    ("grpc.http2.ping_timeout_ms", 2_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.max_receive_message_length", 32 * 1024 * 1024),
)

# Of a spread: enough that each of several processes has some, wherever the kernel puts them.
CONNECTIONS = 8


class Channels:
    """The client side of a service: pooled channels, and the identity it has of its own.

    Owned: `async with`, or `aclose` when done, which cancels the calls under way.
    """

    def __init__(self, service: str) -> None:
        self.identity = call.Identity(tenant="", subject=f"service:{service}", roles=("service",))
        self._by_address: dict[str, grpc.aio.Channel] = {}
        self._spread: dict[str, list[grpc.aio.Channel]] = {}

    def to(self, address: str) -> grpc.aio.Channel:
        """Return the channel to `host:port`, connecting in the background the first time."""
        channel = self._by_address.get(address)
        if channel is None:
            channel = grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS)
            self._by_address[address] = channel
        return channel

    def spread(self, address: str) -> grpc.aio.Channel:
        """Return what makes stubs whose calls go to `host:port` over several connections in turn.

        Behind one port may be several processes, and each connection is one's.
        """
        channels = self._spread.get(address)
        if channels is None:
            # Channels to one address share a connection unless each has a pool of its own.
            options = (*CHANNEL_OPTIONS, ("grpc.use_local_subchannel_pool", 1))
            channels = [grpc.aio.insecure_channel(address, options=options) for _ in range(CONNECTIONS)]
            self._spread[address] = channels
        # Stubs use nothing else of a channel.
        return cast("grpc.aio.Channel", _InTurn(channels))

    async def invoke(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        *,
        timeout: float | None = None,
    ) -> Response:
        """Make a unary call; `timeout` in seconds, cut to what the call being served has left.

        Without a `timeout` the whole remaining deadline is passed on, and there must be one.
        Raises the TenureError that the other side raised, or OutcomeUnknown when the call
        broke off; its metadata `grpc_code` says how.
        """
        remaining = call.remaining_s()
        if remaining is not None:
            timeout = remaining if timeout is None else min(timeout, remaining)
        if timeout is None:
            raise ValueError("a call to another service needs a timeout outside of a served call")
        metadata = call.outgoing_metadata(self.identity)
        try:
            return await method(request, timeout=timeout, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            raise errors.from_rpc_error(error) from None

    async def aclose(self) -> None:
        """Close every channel. Idempotent."""
        channels = [*self._by_address.values(), *itertools.chain(*self._spread.values())]
        self._by_address, self._spread = {}, {}
        for channel in channels:
            await channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()


class _InTurn:
    """Makes callables as a channel does, each of which calls over the next channel every time."""

    def __init__(self, channels: Sequence[grpc.aio.Channel]) -> None:
        self._channels = channels

    def unary_unary(self, *args: Any, **kwargs: Any) -> Callable[..., Any]:
        return _in_turn([channel.unary_unary(*args, **kwargs) for channel in self._channels])

    def unary_stream(self, *args: Any, **kwargs: Any) -> Callable[..., Any]:
        return _in_turn([channel.unary_stream(*args, **kwargs) for channel in self._channels])

    def stream_unary(self, *args: Any, **kwargs: Any) -> Callable[..., Any]:
        return _in_turn([channel.stream_unary(*args, **kwargs) for channel in self._channels])

    def stream_stream(self, *args: Any, **kwargs: Any) -> Callable[..., Any]:
        return _in_turn([channel.stream_stream(*args, **kwargs) for channel in self._channels])


def _in_turn(calls: Sequence[Callable[..., Any]]) -> Callable[..., Any]:
    turns = itertools.cycle(calls)

    def call_next(*args: Any, **kwargs: Any) -> Any:
        return next(turns)(*args, **kwargs)

    return call_next
