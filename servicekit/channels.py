"""Calls from one service to another.

`Channels` pools one connection an address; `invoke` makes a unary call that carries the
request id, the identity and the remaining deadline on, and raises what the other side
raised.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self, TypeVar

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


class Channels:
    """The client side of a service: pooled channels, and the identity it has of its own.

    Owned: `async with`, or `aclose` when done, which cancels the calls under way.
    """

    def __init__(self, service: str) -> None:
        self.identity = call.Identity(tenant="", subject=f"service:{service}", roles=("service",))
        self._by_address: dict[str, grpc.aio.Channel] = {}

    def to(self, address: str) -> grpc.aio.Channel:
        """Return the channel to `host:port`, connecting in the background the first time."""
        channel = self._by_address.get(address)
        if channel is None:
            channel = grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS)
            self._by_address[address] = channel
        return channel

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
        while self._by_address:
            _, channel = self._by_address.popitem()
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
