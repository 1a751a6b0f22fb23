"""Background work that has an owner: it is cancelled and awaited when the owner ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context
from typing import Any, ParamSpec, TypeVar

import structlog

Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")

_log = structlog.get_logger("tasks")


class Tasks:
    """A set of running tasks. A failure that nobody awaits is logged. `aclose` when done."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    def spawn(self, work: Coroutine[Any, Any, Result], *, detached: bool = False) -> asyncio.Task[Result]:
        """Start work. Detached work does not inherit the served call's identity and deadline."""
        task = asyncio.create_task(work, context=Context() if detached else None)
        self._running.add(task)
        task.add_done_callback(self._done)
        return task

    async def whole(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Await work that goes on to its end even when the waiting call is given up."""
        return await asyncio.shield(self.spawn(work))

    async def aclose(self) -> None:
        """Cancel what runs and wait for it. Idempotent."""
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.debug("background work failed", why=repr(task.exception()))


async def in_thread(
    function: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
) -> Result:
    """Run a blocking function in a thread; waits for its end also when cancelled, since it goes on."""
    return await to_its_end(asyncio.to_thread(function, *args, **kwargs))


async def to_its_end(work: Coroutine[Any, Any, Result]) -> Result:
    """Await work, and its end also when cancelled, however often: a drain and a caller may both cancel."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([task])
        raise
