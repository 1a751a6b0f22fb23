"""A lock whose owner sees that it is wanted."""

from __future__ import annotations

import asyncio

import pytest

from browserhost.yielding import YieldingLock


async def test_it_is_wanted_while_somebody_waits() -> None:
    lock = YieldingLock()
    async with lock:
        before = lock.wanted
        assert not before
        other = asyncio.create_task(lock.acquire())
        await asyncio.sleep(0)
        wanted = lock.wanted
        assert wanted
    assert await other
    assert not lock.wanted
    lock.release()


async def test_who_gives_up_waits_no_more() -> None:
    lock = YieldingLock()
    async with lock:
        other = asyncio.create_task(lock.acquire())
        await asyncio.sleep(0)
        other.cancel()
        with pytest.raises(asyncio.CancelledError):
            await other
        assert not lock.wanted
