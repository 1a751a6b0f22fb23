"""What runs under a profile's tokens at this moment, so that a drain can end it and wait for its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

from browserhost.opening import Opened
from browserhost.tasks import Tasks
from tenure.errors import TenureError


@dataclass(eq=False, slots=True)
class _Use:
    """Something that goes on in a caller's own task; `over` is set once it has let go."""

    token: int
    task: asyncio.Task[object]
    cut: bool = False
    over: asyncio.Event = field(default_factory=asyncio.Event)


class Underway:
    """One profile's openings, at most one a token, and its uses, as many as there are."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks
        self._openings: dict[int, asyncio.Task[Opened]] = {}
        self._uses: set[_Use] = set()

    @property
    def busy(self) -> bool:
        """Whether anything runs."""
        return bool(self._openings or self._uses)

    def is_opening(self, token: int) -> bool:
        """Whether an open of the token runs."""
        return token in self._openings

    def opening(self, token: int, begin: Callable[[], Coroutine[None, None, Opened]]) -> asyncio.Task[Opened]:
        """The token's open: the one that runs, or a new one."""
        running = self._openings.get(token)
        if running is None:
            running = self._tasks.spawn(begin())
            self._openings[token] = running
            running.add_done_callback(partial(self._opened, token))
        return running

    @asynccontextmanager
    async def use(self, token: int, why_cut: Callable[[], TenureError]) -> AsyncIterator[None]:
        """Whatever is awaited in the block ends with the token: it is cancelled and raises `why_cut()`.

        A drain waits until the block is left, so it must not hang once it is cancelled.
        """
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a use runs in a task")
        use, cancelled_before = _Use(token, task), task.cancelling()
        self._uses.add(use)
        try:
            yield
        except asyncio.CancelledError:
            # As asyncio.timeout does: a task that its own caller cancelled too stays cancelled.
            if use.cut and task.uncancel() <= cancelled_before:
                raise why_cut() from None
            raise
        finally:
            self._uses.discard(use)
            use.over.set()

    async def settle(self) -> None:
        """Return once no use is left. The caller sees to it that none begins, and bounds it."""
        for use in tuple(self._uses):
            await use.over.wait()

    async def drain(self, cut: int) -> None:
        """End what runs under every token at or below `cut`, and wait until it has ended.

        The open that drains those before it goes on.
        """
        await self.end_uses(cut)
        current = asyncio.current_task()
        lower = [token for token, task in self._openings.items() if token <= cut and task is not current]
        await asyncio.gather(*map(self.end_opening, lower))

    async def end_uses(self, cut: int) -> None:
        """End the uses under every token at or below `cut`, and wait until their blocks are left."""
        for use in self.cancel_uses(cut):
            await use.over.wait()

    def cancel_uses(self, cut: int) -> list[_Use]:
        """End the uses under every token at or below `cut`, without waiting. Idempotent."""
        current = asyncio.current_task()
        uses = [use for use in self._uses if use.token <= cut and use.task is not current]
        for use in uses:
            if not use.cut:
                use.cut = True
                use.task.cancel()
        return uses

    async def end_opening(self, token: int) -> None:
        """End the token's open, if one runs, and wait until it has ended."""
        opening = self._openings.get(token)
        if opening is not None:
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)

    def cancel_openings(self) -> None:
        """End every open, without waiting."""
        for opening in list(self._openings.values()):
            opening.cancel()

    def _opened(self, token: int, task: asyncio.Task[Opened]) -> None:
        if self._openings.get(token) is task:
            del self._openings[token]
