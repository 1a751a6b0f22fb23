from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from tenure.errors import LeaseExpired, TenureError, TokenSuperseded
from tenure.guard import Guard

LOST = LeaseExpired(worker="workers/w")


async def forever() -> None:
    await asyncio.Event().wait()


async def test_a_tripped_guard_ends_its_body_with_the_error() -> None:
    async def body(guard: Guard) -> None:
        async with guard:
            entered.set()
            await forever()

    entered, guard = asyncio.Event(), Guard()
    task = asyncio.create_task(body(guard))
    await entered.wait()
    guard.trip(LOST)
    with pytest.raises(LeaseExpired):
        await task
    assert task.cancelling() == 0


async def test_a_body_that_swallows_the_cancellation_does_not_end_as_if_all_was_well() -> None:
    with pytest.raises(LeaseExpired):
        async with Guard() as guard:
            guard.trip(LOST)
            with suppress(asyncio.CancelledError):
                await forever()


async def test_a_body_that_trips_its_own_guard_is_not_cancelled_behind_it() -> None:
    with pytest.raises(LeaseExpired):
        async with Guard() as guard:
            guard.trip(LOST)
    await asyncio.sleep(0)


async def test_the_first_error_counts() -> None:
    with pytest.raises(LeaseExpired):
        async with Guard() as guard:
            guard.trip(LOST)
            guard.trip(TokenSuperseded(profile="p", token=1))
            await forever()


async def test_a_cancellation_from_elsewhere_stays_a_cancellation() -> None:
    async def body() -> None:
        async with guard:
            entered.set()
            await forever()

    entered, guard = asyncio.Event(), Guard()
    task = asyncio.create_task(body())
    await entered.wait()
    task.cancel()
    guard.trip(LOST)
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_exception_of_the_body_wins_over_the_guards() -> None:
    with pytest.raises(ZeroDivisionError):
        async with Guard() as guard:
            guard.trip(LOST)
            raise ZeroDivisionError


async def test_a_guard_tripped_before_its_body_never_lets_it_begin() -> None:
    guard = Guard()
    guard.trip(LOST)
    began = False
    with pytest.raises(TenureError):
        async with guard:
            began = True
    assert not began
