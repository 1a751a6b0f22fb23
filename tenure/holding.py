"""From acquire to release: what an `async with` over a hold does, whatever ends its body."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from tenure.errors import TenureError, Unavailable
from tenure.hold import HeldProfile, Result
from tenure.request_id import mint
from tenure.retry import shielded
from tenure.worker import Worker

Held = TypeVar("Held", bound=HeldProfile)

# How long the end of a body may take: a close drains the browser and flushes its cookies.
CLEAN_UP_S = 30.0
_GIVE_UP_S = 5.0


@dataclass(frozen=True, slots=True)
class Ways(Generic[Held]):
    """How to get a hold, to let go of it, and what else there is to do about it."""

    acquire: Callable[[str, str], Awaitable[Held]]
    """Of the worker's name and the request id."""
    release: Callable[[Held, Result], Awaitable[object]]
    disconnect: Callable[[Held], Awaitable[None]]
    """Close what was opened under the hold, at this end only. Idempotent."""
    give_up: Callable[[str, str], Awaitable[object]]
    """Of the worker's name and the request id: no hold may come of the acquire any more."""


@asynccontextmanager
async def holding(worker: Worker, ways: Ways[Held]) -> AsyncIterator[Held]:
    """Acquire, yield, release. The body is cancelled when the worker or the hold is lost.

    Clean-up is shielded and bounded. Its failure is raised after a body that ended by
    itself, and is a note on the exception of one that did not.
    """
    request_id = mint()
    guard = worker.expect(request_id)
    held: Held | None = None
    try:
        async with guard:
            held = await ways.acquire(worker.name, request_id)
            worker.granted(request_id, held.hold)
            yield held
    except BaseException as error:
        try:
            if guard.error is not None:
                # The hold is not ours any more: nothing that we say about it counts.
                if held is not None:
                    await shielded(ways.disconnect(held), timeout=_GIVE_UP_S)
            elif held is not None:
                await _release(worker, request_id, held, held.result or Result.NEEDS_REVIEW, ways)
            elif not isinstance(error, TenureError) or isinstance(error, Unavailable):
                # Nobody knows whether it was granted, or waits still.
                await shielded(ways.give_up(worker.name, request_id), timeout=_GIVE_UP_S)
        except (TenureError, TimeoutError) as problem:
            error.add_note(f"then the hold was not released: {problem}")
        raise
    else:
        await _release(worker, request_id, held, held.result or Result.SUCCEEDED, ways)
    finally:
        worker.forget(request_id)


async def _release(worker: Worker, request_id: str, held: Held, result: Result, ways: Ways[Held]) -> None:
    async def work() -> None:
        try:
            await ways.disconnect(held)
            await ways.release(held, result)
        except BaseException:
            # The heartbeat tells it later, and never a better result than this one.
            worker.forget(request_id, unreleased=result)
            raise

    # The release has its own, shorter bound and a better error.
    await shielded(work(), timeout=CLEAN_UP_S + 5)
