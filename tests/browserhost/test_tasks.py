"""What is begun and must be finished."""

from __future__ import annotations

import asyncio

import pytest

from browserhost.tasks import to_its_end


async def test_what_must_be_finished_is_waited_for_however_often_its_caller_is_cancelled() -> None:
    begun, may_end, done = asyncio.Event(), asyncio.Event(), []

    async def work() -> None:
        begun.set()
        await may_end.wait()
        done.append("all of it")

    waiting = asyncio.create_task(to_its_end(work()))
    await begun.wait()
    for _ in range(3):
        waiting.cancel()
        await asyncio.wait([waiting], timeout=0.01)
        assert not waiting.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert done == ["all of it"]
