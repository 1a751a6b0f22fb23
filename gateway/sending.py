"""What is passed on to a host, and from it, as it comes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc.aio

from gateway.backends import Backends, repeatable
from servicekit import call
from tenure import errors


def streaming(backends: Backends, method: Any) -> Any:
    """Begin a call that takes a stream, as the caller being served: with that one's deadline and identity."""
    return method(timeout=call.remaining_s(), metadata=call.outgoing_metadata(backends.channels.identity))


def begun(backends: Backends, method: Any, request: Any) -> Any:
    """Begin a call that answers with a stream, likewise."""
    metadata = call.outgoing_metadata(backends.channels.identity)
    return method(request, timeout=call.remaining_s(), metadata=metadata)


async def write(to: str, receiving: Any, message: Any) -> None:
    """Send a message to host `to`. Raises what it answers instead of reading on."""
    with repeatable(to), as_ours():
        try:
            await receiving.write(message)
        except asyncio.InvalidStateError:
            await receiving  # it has ended already, and says why
            raise


async def answer(to: str, receiving: Any) -> Any:
    """What host `to` makes of all that was sent. Raises what it answers."""
    with repeatable(to), as_ours():
        await receiving.done_writing()
        return await receiving


@contextmanager
def as_ours() -> Iterator[None]:
    """Raise a status as the documented failure that it is."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise errors.from_rpc_error(error) from None
