from __future__ import annotations

import asyncio

import pytest

from tenure.retry import shielded


async def test_shielded_work_ends_before_its_cancellation_goes_on() -> None:
    done = asyncio.Event()
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        await may_end.wait()
        done.set()

    task = asyncio.create_task(shielded(work(), timeout=5))
    await begun.wait()
    task.cancel()
    task.cancel()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done.is_set()


async def test_shielded_work_is_cancelled_and_awaited_at_its_bound() -> None:
    ended = False

    async def work() -> None:
        nonlocal ended
        try:
            await asyncio.Event().wait()
        finally:
            ended = True

    with pytest.raises(TimeoutError):
        await shielded(work(), timeout=0.01)
    assert ended


async def test_shielded_work_gives_its_result_and_its_errors() -> None:
    async def seven() -> int:
        return 7

    async def fails() -> int:
        raise ZeroDivisionError

    assert await shielded(seven(), timeout=1) == 7
    with pytest.raises(ZeroDivisionError):
        await shielded(fails(), timeout=1)
