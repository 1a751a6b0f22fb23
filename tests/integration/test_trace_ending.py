"""What happens without rules 2, 7, 12 and the epoch: PROTOCOL's traces 6, 14, 15 and 16, each with its
mutant.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from lockservice.acquires import Acquires
from lockservice.core.record import State
from lockservice.core.snapshot import Snapshot
from lockservice.etcd.client import Etcd
from lockservice.etcd.txn import put, txn
from lockservice.holds import Holds
from lockservice.raising import raise_epoch
from tenure import errors, token
from tenure.etcdwire.v1 import etcdwire_pb2 as wire
from tenure.internal.v1 import lock_service_pb2 as lock_pb
from tenure.names import ProfileName
from tenure.v1.hold_pb2 import Hold
from tenure.v1.hold_service_pb2 import VerifyHoldRequest
from tenure.v1.incident_pb2 import SuspicionCause
from tests.fixtures.etcd import Member, Store
from tests.lockservice.incidents import of, read
from tests.lockservice.replicas import (
    Mutation,
    Running,
    nobody_watches,
    overwrite,
    running,
    without_writes,
    writes,
)

# A violation that was seen once stands.
pytestmark = pytest.mark.flaky(reruns=0)

PROFILE = ProfileName("default", "alice")
NAME = str(PROFILE)


@asynccontextmanager
async def two(etcd: Store, mutation: Mutation | None = None) -> AsyncIterator[tuple[Running, Running]]:
    async with (
        running(etcd.endpoints, etcd.prefix, mutation=mutation) as a,
        running(etcd.endpoints, etcd.prefix, mutation=mutation) as b,
    ):
        yield a, b


async def suspect(a: Running, hold: Hold, cause: SuspicionCause.ValueType) -> lock_pb.SuspectHoldResponse:
    request = lock_pb.SuspectHoldRequest(profile=NAME, fencing_token=hold.fencing_token, cause=cause)
    answer: lock_pb.SuspectHoldResponse = await a.call(a.lock.SuspectHold, request)
    return answer


# --- 6: a worker id that comes back ----------------------------------------------------


async def owner_whose_id_came_back(a: Running, b: Running) -> Hold:
    worker = await a.worker()
    hold = await a.acquire("alice", worker)
    key = a.replica.keys.worker(worker.removeprefix("workers/"))
    kv, leases = a.replica.etcd.kv, a.replica.etcd.leases
    stored = await kv.get(key, 5.0)
    assert stored is not None
    await leases.revoke(stored.lease, 5.0)
    # Nothing in Tenure writes this: ids are never reused. Should one be, it must not help the dead.
    again = await leases.grant(60, 5.0)
    await kv.txn(txn([], [put(key, stored.value, again.id)]), 5.0)
    await b.replica.catch_up((await kv.txn(txn([], []), 5.0)).header.revision)
    return hold


async def test_6_the_dead_owner_is_not_let_in_again_and_can_be_suspected(
    etcd: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody_watches(monkeypatch)
    async with two(etcd) as (a, b):
        hold = await owner_whose_id_came_back(a, b)
        for refused in (b.verify(hold), a.release(hold)):
            with pytest.raises(errors.LeaseExpired):
                await refused
        ended = SuspicionCause.SUSPICION_CAUSE_LEASE_ENDED
        assert (await suspect(b, hold, ended)).suspected
        assert (await suspect(a, hold, ended)).suspected


async def test_6_the_dead_owner_is_suspected_by_whoever_watches(etcd: Store) -> None:
    async with two(etcd) as (a, b):
        hold = await owner_whose_id_came_back(a, b)
        await b.until_state(PROFILE, State.SUSPECTED_STALE)
        assert (await read(a, of(hold))).incident.cause == SuspicionCause.SUSPICION_CAUSE_LEASE_ENDED


def alive_when_it_exists(monkeypatch: pytest.MonkeyPatch) -> Mutation:
    """The mutant: "alive" is "exists"."""
    monkeypatch.setattr(Snapshot, "alive", lambda self, worker, _: self.workers.get(worker, True) is not None)
    nobody_watches(monkeypatch)

    def mutate(request: wire.TxnRequest) -> wire.TxnRequest:
        changed = wire.TxnRequest()
        changed.CopyFrom(request)
        for compare in changed.compare:
            if b"/w/" in compare.key and compare.create_revision:
                compare.create_revision = 0
                compare.result = (
                    wire.Compare.COMPARE_RESULT_EQUAL_UNSPECIFIED
                    if compare.result == wire.Compare.COMPARE_RESULT_NOT_EQUAL
                    else wire.Compare.COMPARE_RESULT_NOT_EQUAL
                )
        return changed

    return mutate


async def test_6_mutant_never_suspects_it_and_lets_it_in(
    etcd: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with two(etcd, alive_when_it_exists(monkeypatch)) as (a, b):
        hold = await owner_whose_id_came_back(a, b)
        assert not (await suspect(b, hold, SuspicionCause.SUSPICION_CAUSE_LEASE_ENDED)).suspected
        await a.verify(hold)
        await a.release(hold)


async def test_6_the_lease_of_a_living_worker_cannot_be_called_ended(etcd: Store) -> None:
    async with two(etcd) as (a, b):
        hold = await a.acquire("alice", await a.worker())
        answer = await suspect(b, hold, SuspicionCause.SUSPICION_CAUSE_LEASE_ENDED)
        assert not answer.suspected
        await b.verify(hold)


# --- 14: a lost Release reply is read as success though an incident decided ------------


async def released_too_late(a: Running, b: Running) -> Any:
    hold = await a.acquire("alice", await a.worker())
    late = a.wire.stop_next(writes(b"/p/"))
    releasing = asyncio.create_task(a.release(hold))
    await late.arrived.wait()
    assert (await suspect(b, hold, SuspicionCause.SUSPICION_CAUSE_MAX_RUNTIME)).suspected
    await overwrite(b, PROFILE, state=State.AVAILABLE, holding=None, incident=0)
    await b.acquire("alice", await b.worker())
    late.opened.set()
    return await releasing


async def test_14_a_hold_lost_to_an_incident_is_not_called_released(etcd: Store) -> None:
    async with two(etcd) as (a, b):
        with pytest.raises(errors.TokenSuperseded):
            await released_too_late(a, b)


async def test_14_mutant_without_the_incident_calls_it_released(etcd: Store) -> None:
    async with two(etcd, without_writes(b"/i/")) as (a, b):
        assert (await released_too_late(a, b)).already_released


async def test_14_a_release_whose_reply_was_lost_is_a_release(etcd: Store) -> None:
    async with two(etcd) as (a, b):
        hold = await a.acquire("alice", await a.worker())
        a.wire.lose_next_reply(writes(b"/p/"))
        await a.release(hold)
        assert (await b.release(hold)).already_released


# --- 15: waiting calls fill every handler ----------------------------------------------


async def hold_all(a: Running, profiles: int) -> list[Hold]:
    holder = await a.worker()
    return [await a.acquire(f"p{i}", holder) for i in range(profiles)]


async def many_waits(a: Running, profiles: int, each: int, most: int = 10_000) -> list[asyncio.Task[Hold]]:
    """Row by row, each awaited: gRPC itself sheds a burst of more than 1,000 calls not yet picked up."""
    waits: list[asyncio.Task[Hold]] = []
    for _ in range(each):
        worker = await a.worker()
        waits += [
            asyncio.create_task(a.acquire(f"p{i}", worker, wait=300, timeout=310)) for i in range(profiles)
        ]
        await a.until_queued(min(most, len(waits)))
    return waits


async def leave(waits: list[asyncio.Task[Hold]]) -> None:
    for task in waits:
        task.cancel()
    await asyncio.gather(*waits, return_exceptions=True)


@pytest.mark.timeout(120)
async def test_15_release_and_cancel_get_past_thousands_of_waits(etcd: Store) -> None:
    async with running(etcd.endpoints, etcd.prefix) as a:
        holds = await hold_all(a, 100)
        waits = await many_waits(a, 100, each=20)
        assert (await asyncio.wait_for(a.release(holds[0]), 60)).state
        place = a.replica.mirror.queue(ProfileName("default", "p1"))[0]
        outcome = a.cancel("p1", f"workers/{place.ask.worker}", place.request_id)
        assert await asyncio.wait_for(outcome, 30) == "LEFT_QUEUE"
        await leave(waits)


def limited(monkeypatch: pytest.MonkeyPatch, handlers: int) -> None:
    """The mutant: waiting calls count against a limit that all calls share."""
    free = asyncio.Semaphore(handlers)

    def limit(method: Callable[..., Any]) -> Callable[..., Any]:
        async def within(*args: Any, **kwargs: Any) -> Any:
            async with free:
                return await method(*args, **kwargs)

        return within

    for owner, name in ((Acquires, "acquire"), (Holds, "release"), (Holds, "cancel")):
        monkeypatch.setattr(owner, name, limit(getattr(owner, name)))


async def test_15_mutant_with_a_shared_limit_never_picks_the_release_up(
    etcd: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(etcd.endpoints, etcd.prefix) as a:
        holds = await hold_all(a, 2)
        limited(monkeypatch, 4)
        waits = await many_waits(a, 2, each=3, most=4)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(a.release(holds[0]), 0.5)
        await leave(waits)


# --- 16: a restored backup issues an old token again -----------------------------------


@pytest.mark.parametrize("mutant", [False, True])
async def test_16_a_restored_store_is_served_only_with_a_higher_epoch(
    etcd_member: Member, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mutant: bool
) -> None:
    if mutant:
        monkeypatch.setattr("lockservice.etcd.connection.Connection.check", lambda *_: None)
        monkeypatch.setattr("lockservice.epoch.problem", lambda *_: None)
    async with running([etcd_member.endpoint], "/t/") as a:
        worker = await a.worker()
        early = await a.acquire("bob", worker)
        await etcd_member.control("snapshot", "save", str(tmp_path / "backup"))
        late = await a.acquire("alice", worker)
        await etcd_member.restore(tmp_path / "backup", "--initial-cluster-token", "restored")
        if mutant:
            # One revision further on: the one whose token was issued before the restore.
            assert (await a.acquire("alice", worker)).fencing_token == late.fencing_token
            return
        await a.until_told("raise-epoch")
        with pytest.raises(errors.StoreUnavailable):
            await a.in_words(a.holds.VerifyHold, _verify(early), timeout=3.0)
        async with Etcd([etcd_member.endpoint]) as administrator:
            assert await raise_epoch(administrator, a.replica.keys) == 1
        await a.until_told(None)
        worker = await a.worker()
        hold = await a.acquire("alice", worker)
        assert token.unpack(hold.fencing_token).epoch == 1
        assert hold.fencing_token > late.fencing_token
        for old in (early, late):
            with pytest.raises(errors.TokenSuperseded):
                await a.verify(old)
        await a.until_state(ProfileName("default", "bob"), State.SUSPECTED_STALE)
        with pytest.raises(errors.ProfileQuarantined):
            await a.acquire("bob", worker)


def _verify(hold: Hold) -> VerifyHoldRequest:
    return VerifyHoldRequest(profile=hold.profile, fencing_token=hold.fencing_token)
