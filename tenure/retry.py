"""Calls that may be repeated, and clean-up that must not be cut short."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

import grpc.aio

from tenure.errors import TenureError, Unavailable, from_rpc_error

T = TypeVar("T")
Request = TypeVar("Request")
Response = TypeVar("Response")
Method = grpc.aio.UnaryUnaryMultiCallable


async def call(method: Method[Request, Response], request: Request, *, timeout: float) -> Response:
    """Call once. Raises the TenureError that the answer means."""
    try:
        return await method(request, timeout=max(timeout, 0.001))
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error) from None


async def call_again(
    method: Method[Request, Response],
    request: Callable[[], Request] | Request,
    *,
    timeout: float,
    again: Callable[[TenureError], bool] = lambda error: isinstance(error, Unavailable),
) -> Response:
    """Call, and again while `again` says so, until `timeout` seconds are over; then raise the last error.

    Only for requests that name what they do (a request id, a token, a number): the same
    one sent twice must have one effect. A callable makes each try's request afresh.
    """
    deadline = time.monotonic() + timeout
    waits = pauses()
    while True:
        message: Any = request() if callable(request) else request
        try:
            return await call(method, message, timeout=deadline - time.monotonic())
        except TenureError as error:
            pause = max(next(waits), error.retry_after_s or 0.0)
            if not again(error) or time.monotonic() + pause >= deadline:
                raise
        await asyncio.sleep(pause)


def pauses() -> Iterator[float]:
    """0.1 s, then double up to 2 s, each spread by half so that many callers do not march in step."""
    pause = 0.1
    while True:
        yield pause * random.uniform(0.75, 1.25)
        pause = min(pause * 2, 2.0)


async def shielded(work: Awaitable[T], *, timeout: float) -> T:
    """Run `work` to its end, at most `timeout` seconds, whatever cancels the caller meanwhile.

    A cancellation is raised again once the work has ended, and then wins over its result.
    Raises TimeoutError when the bound was met; the work has then been cancelled and awaited.
    """

    async def bounded() -> T:
        async with asyncio.timeout(timeout):
            return await work

    task = asyncio.create_task(bounded())
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        task.exception()
        raise cancelled
    return task.result()
