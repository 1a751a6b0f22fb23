"""Cancels the body of an `async with` from outside, and says why."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from tenure.errors import TenureError


class Guard:
    """A body that another task can end: `async with Guard() as guard:` … `guard.trip(error)`.

    `trip` cancels the body's task; the cancellation is turned into `error` where the body
    ends, so the code around sees why, and a cancellation from elsewhere stays what it is.
    A body that ends by itself after `trip` raises `error` too. Enter and leave it in the
    same task, as with `asyncio.timeout`.
    """

    def __init__(self) -> None:
        self.error: TenureError | None = None
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self._handle: asyncio.Handle | None = None
        self._cancelled = False

    async def __aenter__(self) -> Self:
        self._task = asyncio.current_task()
        assert self._task is not None, "a Guard needs a running task"
        self._cancelling = self._task.cancelling()
        if self.error is not None:
            raise self.error
        return self

    def trip(self, error: TenureError) -> None:
        """End the body with `error`. The first error counts; call it from the loop's thread."""
        if self.error is not None:
            return
        self.error = error
        if self._task is not None:
            # Not at once: the caller may be the body itself, and a cancellation that is
            # asked for while a task runs would strike at an await behind the body.
            self._handle = asyncio.get_running_loop().call_soon(self._cancel)

    def _cancel(self) -> None:
        assert self._task is not None
        self._cancelled = self._task.cancel()

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        task, self._task = self._task, None
        if self._handle is not None:
            self._handle.cancel()
        if self.error is None or task is None:
            return
        struck = self._cancelled and task.uncancel() <= self._cancelling
        if kind is None or (struck and issubclass(kind, asyncio.CancelledError)):
            raise self.error from value
