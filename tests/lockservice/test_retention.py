"""Old incidents and steps are forgotten on real etcd, by whichever replica has its turn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from lockservice.core.keeping import DAY_MS, Keeps
from lockservice.core.record import State
from lockservice.etcd.txn import KeyRange, put, txn
from lockservice.granter import now_ms
from lockservice.leases import LeaseKeys
from lockservice.retention import Retention
from tenure.errors import StoreUnavailable
from tenure.etcdwire.v1 import etcdwire_pb2 as wire
from tenure.names import ProfileName
from tenure.v1.hold_pb2 import Hold
from tenure.v1.hold_service_pb2 import StartStepRequest
from tests.fixtures.etcd import Store
from tests.lockservice.incidents import current, decided, reviewed
from tests.lockservice.replicas import Running, overwrite, running, without_compares

KEEPS = Keeps(incidents_ms=90 * DAY_MS, steps_ms=7 * DAY_MS)


def after(days: float) -> Callable[[], int]:
    """A clock that is so far ahead."""
    return lambda: now_ms() + int(days * DAY_MS)


def retention(a: Running, clock: Callable[[], int] = now_ms, keeps: Keeps = KEEPS) -> Retention:
    replica = a.replica
    leases = LeaseKeys(replica.etcd, replica.keys, replica.committer, replica.mirror)
    return Retention(replica.etcd, replica.keys, replica.committer, leases, keeps, now_ms=clock)


async def stored(a: Running, *kinds: str) -> list[str]:
    """What kinds of keys there are of which profiles: `e/alice`."""
    found = await a.replica.etcd.kv.read(KeyRange(a.replica.keys.root.encode(), b"\xff"), 5.0)
    split = [a.replica.keys.split(kv.key) for kv in found.kvs]
    return sorted({f"{parts[0]}/{parts[2]}" for parts in split if parts[0] in kinds})


async def with_step(a: Running, profile: str, worker: str) -> Hold:
    hold = await a.acquire(profile, worker)
    request = StartStepRequest(
        profile=profile, fencing_token=hold.fencing_token, name="read", sensitive=False
    )
    await a.call(a.holds.StartStep, request)
    return hold


async def three(a: Running) -> None:
    """One decided, one that waits for a person, and one released, each with a step."""
    worker = await a.worker()
    await decided(a, await with_step(a, "alice", worker), "AVAILABLE")
    await reviewed(a, await with_step(a, "bob", worker))
    await a.release(await with_step(a, "carol", worker))


async def test_old_decided_incidents_go_and_open_ones_and_young_ones_stay(etcd: Store) -> None:
    async with running(etcd.endpoints, etcd.prefix) as a:
        await three(a)
        everything = ["e/alice", "e/bob", "e/carol", "i/alice", "i/bob"]
        assert await retention(a).forget() == (0, 0)
        assert await stored(a, *"eic") == everything
        assert await retention(a, after(7.1)).forget() == (0, 1)
        assert await stored(a, *"eic") == ["e/alice", "e/bob", "i/alice", "i/bob"]
        assert await retention(a, after(90.1)).forget() == (1, 0)
        assert await stored(a, *"eidv") == ["d/bob", "e/bob", "i/bob"]
        assert await retention(a, after(900)).forget() == (0, 0)
        assert current(a, "bob") is State.MANUAL_REVIEW


async def test_each_is_kept_as_its_setting_says_and_zero_is_for_ever(etcd: Store) -> None:
    async with running(etcd.endpoints, etcd.prefix) as a:
        await three(a)
        short = Keeps(incidents_ms=1, steps_ms=0)
        assert await retention(a, after(900), short).forget() == (1, 0)
        assert await stored(a, "e") == ["e/bob", "e/carol"]
        assert await retention(a, after(900), Keeps(incidents_ms=0, steps_ms=1)).forget() == (0, 1)
        assert await stored(a, "e") == ["e/bob"]


async def test_two_replicas_at_once_forget_each_thing_once(etcd: Store) -> None:
    async with running(etcd.endpoints, etcd.prefix) as a, running(etcd.endpoints, etcd.prefix) as b:
        await three(a)
        both = await asyncio.gather(*(retention(each, after(900)).forget() for each in (a, b)))
        assert [sum(counts) for counts in zip(*both, strict=True)] == [1, 1]


async def test_one_replica_has_the_turn_until_the_next_one_is_due(etcd: Store) -> None:
    async with running(etcd.endpoints, etcd.prefix) as a, running(etcd.endpoints, etcd.prefix) as b:
        turns = await asyncio.gather(*(retention(each).claim() for each in (a, b)))
        assert sorted(turns) == [False, True]
        assert not await retention(b).claim()
        claim = await a.replica.etcd.kv.get(a.replica.keys.claim("retention"), 5.0)
        assert claim is not None
        # As its lease's end does.
        await a.replica.etcd.leases.revoke(claim.lease, 5.0)
        assert await retention(b).claim()


async def test_a_run_that_was_stopped_is_finished_by_the_next(etcd: Store) -> None:
    async with running(etcd.endpoints, etcd.prefix) as a:
        await three(a)
        gate = a.wire.stop_next(_deletes)
        run = asyncio.create_task(retention(a, after(900)).forget())
        await gate.arrived.wait()
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
        assert await stored(a, "i") == ["i/alice", "i/bob"]
        assert await retention(a, after(900)).forget() == (1, 1)


async def test_a_deletion_whose_reply_was_lost_is_not_repeated_on_something_else(etcd: Store) -> None:
    async with running(etcd.endpoints, etcd.prefix) as a:
        await three(a)
        a.wire.lose_next_reply(_deletes)
        await retention(a, after(900)).forget()
        assert await stored(a, *"eid") == ["d/bob", "e/bob", "i/bob"]


async def test_what_cannot_be_read_keeps_nothing_else_from_going(etcd: Store) -> None:
    async with running(etcd.endpoints, etcd.prefix) as a:
        await three(a)
        broken = a.replica.keys.incident(ProfileName("default", "aaron"), 1)
        await a.replica.etcd.kv.txn(txn([], [put(broken, b"no document")]), 5.0)
        assert await retention(a, after(900)).forget() == (1, 1)
        assert await stored(a, "i") == ["i/aaron", "i/bob"]


async def test_a_store_that_is_away_ends_a_run_with_its_word(
    etcd: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lockservice.retention._TXN_S", 0.5)
    async with running(etcd.endpoints, etcd.prefix) as a:
        await a.replica.etcd.aclose()
        with pytest.raises(StoreUnavailable):
            await asyncio.wait_for(retention(a).forget(), 30)


@pytest.mark.parametrize("mutant", [False, True])
async def test_a_late_deletion_never_takes_an_incident_that_is_at_work(etcd: Store, mutant: bool) -> None:
    """The record came to name it again, past all rules, as a bug or a hand would make it."""
    mutation = without_compares(b"/p/", only=_deletes) if mutant else None
    async with running(etcd.endpoints, etcd.prefix, mutation=mutation) as a:
        worker = await a.worker()
        hold = await a.acquire("alice", worker)
        await decided(a, hold, "AVAILABLE")
        gate = a.wire.stop_next(_deletes)
        run = asyncio.create_task(retention(a, after(900)).forget())
        await gate.arrived.wait()
        await overwrite(
            a, ProfileName("default", "alice"), state=State.MANUAL_REVIEW, incident=hold.fencing_token
        )
        gate.opened.set()
        assert await run == ((1, 0) if mutant else (0, 0))


def _deletes(request: wire.TxnRequest) -> bool:
    """Matches a deletion of retention's."""
    return any(op.request_delete_range.range_end for op in request.success) or any(
        _deletes(op.request_txn) for op in request.success
    )
