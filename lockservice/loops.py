"""Loops that are to run as long as their replica does, whatever happens in them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

# Between an unforeseen end and the next start: at first, and at most. A loop that had run for STEADY_S begins
# again as soon as at first.
FIRST_PAUSE_S = 0.2
MOST_PAUSE_S = 5.0
STEADY_S = 60.0

# All that a replica has.
LOOPS = ("follow etcd", "granter", "overseer", "retention", "etcd keep-alives", "etcd keep-alives' patience")

_log = structlog.get_logger("loops")


def _nobody(name: str) -> None:
    return


async def kept(name: str, run: Callable[[], Awaitable[None]], ended: Callable[[str], None] = _nobody) -> None:
    """Run a loop until this task is cancelled. Should it end in any other way, by a mistake of ours, that is
    logged, counted by `ended`, and after a pause it is begun again, the next time after a longer one.

    `run` must be one that can be begun again wherever it was left.
    """
    clock = asyncio.get_running_loop().time
    pause = FIRST_PAUSE_S
    while True:
        began = clock()
        why: BaseException | None = None
        try:
            await run()
        except asyncio.CancelledError as error:
            # grpc raises this too, when a channel is closed under a call.
            why = error
        except Exception as error:
            why = error
        if _cancelled():
            # However it ended then: a cancellation is asked for once.
            raise asyncio.CancelledError
        _log.critical("a loop ended", loop=name, exc_info=why)
        ended(name)
        if clock() - began >= STEADY_S:
            pause = FIRST_PAUSE_S
        await asyncio.sleep(pause)
        pause = min(2 * pause, MOST_PAUSE_S)


def _cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
