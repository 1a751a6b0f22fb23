"""How a call ended to which requests were still being written.

A service may end such a call at any time, and then a write of ours fails. For that grpc.aio puts an INTERNAL
of its own in the place of what the service said, whichever comes first (grpcio 1.85, grpc/grpc#36066).
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import grpc
import grpc.aio

# What grpc.aio says of a failed write.
_OF_A_WRITE = "Internal error from Core"
# What the service said comes with the same packet or never.
_PATIENCE_S = 2.0

Said = TypeVar("Said")


class Ending:
    """Remembers what the other side said. Made before the first request is written."""

    def __init__(self, call: Any) -> None:
        self._word: asyncio.Future[grpc.aio.AioRpcError] = asyncio.get_running_loop().create_future()
        # It is called at each status that is set, before the next can take its place.
        call.add_done_callback(self._hear)

    async def of(self, error: grpc.aio.AioRpcError) -> grpc.aio.AioRpcError:
        """Return what the call ended with, where it raised `error`: its code may be OK."""
        if not _is_of_a_write(error):
            return error
        try:
            async with asyncio.timeout(_PATIENCE_S):
                return await asyncio.shield(self._word)
        except TimeoutError:
            return error

    def _hear(self, call: Any) -> None:
        initial, trailing = _now(call.initial_metadata()), _now(call.trailing_metadata())
        said = grpc.aio.AioRpcError(_now(call.code()), initial, trailing, details=_now(call.details()))
        if not self._word.done() and not _is_of_a_write(said):
            self._word.set_result(said)


def _is_of_a_write(error: grpc.aio.AioRpcError) -> bool:
    # A service's own words come with metadata, at least the request id.
    told = error.code(), error.details(), len(error.trailing_metadata() or ())
    return told == (grpc.StatusCode.INTERNAL, _OF_A_WRITE, 0)


def _now(said: Coroutine[Any, Any, Said]) -> Said:
    """What a coroutine returns that has nothing to wait for, as of a call that is done."""
    try:
        said.send(None)
    except StopIteration as stop:
        result: Said = stop.value
        return result
    said.close()
    raise RuntimeError("grpc.aio says that a call is done which is not")
