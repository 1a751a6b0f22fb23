"""How much one tenant may have: what is new is refused with the limit, what there is never is."""

from __future__ import annotations

import asyncio

import pytest

from lockservice.core.caps import ALL, Caps, Room, no_watch
from lockservice.settings import LockSettings
from lockservice.watching import Watching
from tenure import errors, request_id
from tests.fixtures.etcd import Store
from tests.integration.test_watch_profiles import View
from tests.lockservice.replicas import Running, running

CAPS = Caps(waiters=4, holds=3, watches=1)


def test_what_is_below_the_caps_is_let_through() -> None:
    assert (ALL.no_hold(), ALL.no_place(), no_watch(Caps(), 999)) == (None, None, None)
    room = Room(CAPS, holds=2, waiters=3, waiters_here=1)
    assert (room.no_hold(), room.no_place(), no_watch(CAPS, 0)) == (None, None, None)


@pytest.mark.parametrize(
    ("refused", "limit", "value"),
    [
        (Room(CAPS, holds=3).no_hold(), "holds a tenant", 3),
        (Room(CAPS, waiters=4).no_place(), "waiters a tenant", 4),
        (Room(CAPS, waiters=2, waiters_here=2).no_place(), "waiters a profile", 2),
        (no_watch(CAPS, 1), "watches a tenant", 1),
    ],
)
def test_a_refusal_has_its_limit_its_value_and_when_to_try_again(
    refused: errors.QuotaExceeded | None, limit: str, value: int
) -> None:
    assert refused is not None
    assert (refused.limit, refused.value) == (limit, value)
    assert str(value) in str(refused)
    assert refused.retry_after_s


def test_half_of_the_places_is_for_one_profile_but_never_none() -> None:
    assert [Caps(waiters=n).waiters_of_one for n in (1, 2, 10_000)] == [1, 1, 5_000]


def test_the_caps_are_settings() -> None:
    assert LockSettings().caps == Caps(10_000, 100_000, 1_000)
    chosen = LockSettings(tenant_waiters=4, tenant_holds=3, tenant_watches=1)
    assert chosen.caps == CAPS


def small(a: Running) -> None:
    """Give a replica's tenants little room."""
    a.replica._caps = CAPS
    a.replica.watching = Watching(a.replica.mirror, CAPS)
    a.replica.watching.hear(True)


async def test_holds_are_capped_and_whoever_has_one_or_waits_is_not(etcd: Store) -> None:
    async with running(etcd.endpoints, etcd.prefix) as a:
        small(a)
        worker, mine = await a.worker(), request_id.mint()
        first = await a.acquire("p0", worker, request_id=mine)
        second, third = [await a.acquire(f"p{i}", worker) for i in (1, 2)]
        with pytest.raises(errors.QuotaExceeded) as full:
            await a.acquire("p3", worker)
        assert (full.value.limit, full.value.value) == ("holds a tenant", 3)
        assert full.value.retry_after_s
        assert (await a.acquire("p0", worker, request_id=mine)).fencing_token == first.fencing_token
        # Whoever waits comes to hold, by hand-over and by the sweep, full as the tenant is.
        waiting = asyncio.create_task(a.acquire("p1", await a.worker(), wait=30))
        await a.until_queued(1)
        await a.release(second)
        await waiting
        a.tenant = "other"
        await a.acquire("p3", await a.worker())
        a.tenant = "default"
        await a.release(third)
        await a.acquire("p3", worker)


async def test_places_are_capped_for_a_profile_and_for_a_tenant(etcd: Store) -> None:
    async with running(etcd.endpoints, etcd.prefix) as a:
        small(a)
        owner, waiter = await a.worker(), await a.worker()
        for profile in ("p0", "p1", "p2"):
            await a.acquire(profile, owner)
        mine = request_id.mint()
        waiting = [asyncio.create_task(a.acquire("p0", waiter, wait=30, request_id=mine))]
        await a.until_queued(1)
        waiting.append(asyncio.create_task(a.acquire("p0", await a.worker(), wait=30)))
        await a.until_queued(2)
        with pytest.raises(errors.QuotaExceeded, match="for this profile") as full:
            await a.acquire("p0", owner, wait=30)
        assert (full.value.limit, full.value.value) == ("waiters a profile", 2)
        for i, profile in enumerate(("p1", "p2"), 3):
            waiting.append(asyncio.create_task(a.acquire(profile, waiter, wait=30)))
            await a.until_queued(i)
        with pytest.raises(errors.QuotaExceeded) as full:
            await a.acquire("p1", await a.worker(), wait=30)
        assert (full.value.limit, full.value.value) == ("waiters a tenant", 4)
        # A call cut short keeps its place, and comes back to it.
        waiting.pop(0).cancel()
        with pytest.raises(errors.WaitExpired):
            await a.acquire("p0", waiter, wait=0.05, request_id=mine)
        with pytest.raises(errors.ProfileBusy):
            await a.acquire("p0", waiter)
        for task in waiting:
            task.cancel()


async def test_streams_are_capped_and_a_place_is_free_again_when_one_ends(etcd: Store) -> None:
    async with running(etcd.endpoints, etcd.prefix) as a:
        small(a)
        view = View()
        async with view.following(a) as messages:
            await anext(messages)
            with pytest.raises(errors.QuotaExceeded) as full:
                await View().until_bookmark(a)
            assert (full.value.limit, full.value.value) == ("watches a tenant", 1)
            await View("other").until_bookmark(a)
            a.replica.watching.close()
            async for _ in messages:
                continue
        assert a.replica.watching.total() == 0
