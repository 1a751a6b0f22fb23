"""Pass whole services on as bytes: no message is decoded, every field of a newer client survives.

Who calls, the request id and the remaining deadline go along as metadata; the answer's
messages, status, details and trailing metadata come back as they were sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any, NoReturn

import grpc
import grpc.aio
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

from servicekit import call
from servicekit.channels import Channels
from servicekit.ending import Ending
from tenure.errors import STATUS_DETAILS_KEY, from_rpc_error

Context = grpc.aio.ServicerContext[bytes, bytes]


class Forwarder(grpc.GenericRpcHandler):
    """Serves the services given by passing each on to the address given for it."""

    def __init__(self, channels: Channels, services: Mapping[str, list[ServiceDescriptor]]) -> None:
        self._identity = channels.identity
        self._endless: set[Any] = set()
        self._parted = False
        self._handlers = {
            f"/{service.full_name}/{method.name}": self._handler(
                channels.spread(address), f"/{service.full_name}/{method.name}", method
            )
            for address, described in services.items()
            for service in described
            for method in service.methods
        }

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        return self._handlers.get(handler_call_details.method)

    def part(self) -> None:
        """End every watch and every heartbeat, which would not end by themselves: the gateway stops. Callers
        go on elsewhere.
        """
        self._parted = True
        for outgoing in tuple(self._endless):
            outgoing.cancel()

    def _handler(
        self, channel: grpc.aio.Channel, path: str, method: MethodDescriptor
    ) -> grpc.RpcMethodHandler[Any, Any]:
        # Without serializers grpc hands the bytes over as they are.
        match method.client_streaming, method.server_streaming:
            case False, False:
                single = self._single(channel.unary_unary(path))
                return grpc.unary_unary_rpc_method_handler(single)
            case True, False:
                single = self._single(channel.stream_unary(path))
                return grpc.stream_unary_rpc_method_handler(single)
            case False, True if method.name.startswith("Watch"):
                watch = self._until_parted(channel.unary_stream(path))
                return grpc.unary_stream_rpc_method_handler(watch)
            case False, True:
                stream = self._stream(channel.unary_stream(path))
                return grpc.unary_stream_rpc_method_handler(stream)
            case _:
                stream = self._until_parted(channel.stream_stream(path))
                return grpc.stream_stream_rpc_method_handler(stream)

    def _single(self, target: Any) -> Any:
        async def forward(request: Any, context: Context) -> bytes:
            outgoing = target(request, timeout=call.remaining_s(), metadata=self._metadata())
            try:
                response: bytes = await outgoing
            except grpc.aio.AioRpcError as error:
                await _pass_back(context, error)
            context.set_trailing_metadata(await outgoing.trailing_metadata())
            return response

        return forward

    def _stream(self, target: Any) -> Any:
        async def forward(request: Any, context: Context) -> AsyncIterator[bytes]:
            outgoing = target(request, timeout=call.remaining_s(), metadata=self._metadata())
            ending = Ending(outgoing)
            try:
                async for message in outgoing:
                    yield message
                trailing = await outgoing.trailing_metadata()
            except grpc.aio.AioRpcError as raised:
                error = await ending.of(raised)
                if error.code() is not grpc.StatusCode.OK:
                    await _pass_back(context, error)
                trailing = error.trailing_metadata()
            finally:
                outgoing.cancel()  # the reader may have gone before the stream's end
            context.set_trailing_metadata(trailing)

        return forward

    def _until_parted(self, target: Any) -> Any:
        """A stream without an end: it has one when this gateway stops."""

        def started(*args: Any, **kwargs: Any) -> Any:
            outgoing = target(*args, **kwargs)
            self._endless.add(outgoing)
            outgoing.add_done_callback(self._endless.discard)
            if self._parted:
                outgoing.cancel()
            return outgoing

        stream = self._stream(started)

        async def forward(request: Any, context: Context) -> AsyncIterator[bytes]:
            try:
                async with aclosing(stream(request, context)) as messages:
                    async for message in messages:
                        yield message
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if not self._parted or (task is not None and task.cancelling()):
                    raise  # the reader's doing

        return forward

    def _metadata(self) -> list[tuple[str, str]]:
        return call.outgoing_metadata(self._identity)


async def _pass_back(context: Context, error: grpc.aio.AioRpcError) -> NoReturn:
    trailing = tuple(error.trailing_metadata() or ())
    if not any(key == STATUS_DETAILS_KEY for key, _ in trailing):
        # No service of ours answered, so there is no documented reason yet.
        raise from_rpc_error(error) from None
    await context.abort(error.code(), error.details() or "", trailing)
