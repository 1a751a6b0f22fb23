"""Who watches over holds: ended leases, runs past their time, an operator's word. Each with its mutant."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from lockservice.core.record import State
from tenure import errors
from tenure.names import ProfileName
from tenure.v1.hold_pb2 import Hold
from tenure.v1.hold_service_pb2 import RevokeHoldRequest, RevokeHoldResponse
from tenure.v1.incident_pb2 import SuspicionCause
from tenure.v1.worker_service_pb2 import EndWorkerRequest
from tests.fixtures.etcd import Store
from tests.lockservice.incidents import current, of, read, resolve, reviewed, state
from tests.lockservice.replicas import Running, nobody_watches, running, writes

PROFILE = ProfileName("default", "alice")
AN_HOUR = 3600.0


@asynccontextmanager
async def two(etcd: Store, sweep_s: float = 0.2) -> AsyncIterator[tuple[Running, Running]]:
    async with (
        running(etcd.endpoints, etcd.prefix, sweep_s=sweep_s) as a,
        running(etcd.endpoints, etcd.prefix, sweep_s=sweep_s) as b,
    ):
        yield a, b


async def cause(a: Running, hold: Hold) -> str:
    found = (await read(a, of(hold))).incident.cause
    return SuspicionCause.Name(found).removeprefix("SUSPICION_CAUSE_")


# --- a worker's lease ends -----------------------------------------------------------------


@pytest.mark.parametrize("by", ["event", "sweep"])
async def test_what_a_dead_worker_held_is_suspect_at_once(
    etcd: Store, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    if by == "sweep":
        monkeypatch.setattr("lockservice.overseer.Overseer.look_at", lambda *_: None)
    async with two(etcd, AN_HOUR if by == "event" else 0.2) as (a, b):
        worker = await a.worker()
        holds = [await a.acquire(f"p{i}", worker) for i in range(5)]
        other = await b.acquire("other", await b.worker())
        await a.call(a.workers.EndWorker, EndWorkerRequest(worker=worker))
        for i, hold in enumerate(holds):
            await b.until_state(ProfileName("default", f"p{i}"), State.SUSPECTED_STALE)
            assert await cause(b, hold) == "LEASE_ENDED"
        await a.verify(other)


async def test_a_lease_that_runs_out_is_one_that_ended(etcd: Store) -> None:
    async with two(etcd) as (a, b):
        hold = await a.acquire("alice", await a.worker(ttl_s=4))
        await b.until_state(PROFILE, State.SUSPECTED_STALE)
        assert await cause(b, hold) == "LEASE_ENDED"
        with pytest.raises(errors.TokenSuperseded):
            await a.verify(hold)


async def test_a_replica_that_starts_late_finds_the_holds_of_the_dead(etcd: Store) -> None:
    with pytest.MonkeyPatch.context() as asleep:
        nobody_watches(asleep)
        async with running(etcd.endpoints, etcd.prefix) as a:
            worker = await a.worker()
            await a.acquire("alice", worker)
            await a.call(a.workers.EndWorker, EndWorkerRequest(worker=worker))
    async with running(etcd.endpoints, etcd.prefix, sweep_s=AN_HOUR) as late:
        await late.until_state(PROFILE, State.SUSPECTED_STALE)


async def test_mutant_without_anybody_watching_holds_for_ever(
    etcd: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody_watches(monkeypatch)
    async with two(etcd) as (a, b):
        worker = await a.worker()
        await a.acquire("alice", worker, max_runtime={"nanos": 1_000_000})
        await a.call(a.workers.EndWorker, EndWorkerRequest(worker=worker))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(b.until_state(PROFILE, State.SUSPECTED_STALE), 1.0)
        with pytest.raises(errors.ProfileBusy):
            await b.acquire("alice", await b.worker())


async def test_a_worker_that_lives_is_left_alone(etcd: Store) -> None:
    async with two(etcd, sweep_s=0.05) as (a, b):
        # Registered there and granted here, where the registration may be heard of a moment later.
        holds = [await a.acquire(f"p{i}", await b.worker()) for i in range(20)]
        for hold in holds:
            await b.verify(hold)
        assert not [p for p in b.replica.mirror.bound() if current(b, p.profile) is not State.HELD]


# --- a run takes too long ---------------------------------------------------------------------


async def test_a_run_past_its_time_is_suspect_though_its_worker_lives(etcd: Store) -> None:
    async with two(etcd) as (a, b):
        worker = await a.worker()
        hold = await a.acquire("alice", worker, max_runtime={"nanos": 300_000_000}, run_id="slow")
        await a.verify(hold)
        await b.until_state(PROFILE, State.SUSPECTED_STALE)
        found = (await read(b, of(hold))).incident
        assert found.cause == SuspicionCause.SUSPICION_CAUSE_MAX_RUNTIME
        assert "slow" in found.detail
        assert found.suspect_time.ToMilliseconds() >= hold.run_deadline.ToMilliseconds()
        assert [h.fencing_token for h in (await a.renew(worker)).lost] == [hold.fencing_token]


# --- an operator revokes ---------------------------------------------------------------------------


async def revoke(a: Running, token: int, reason: str = "it misbehaves") -> str:
    request = RevokeHoldRequest(profile="alice", fencing_token=token, reason=reason)
    answer: RevokeHoldResponse = await a.call(a.holds.RevokeHold, request)
    return answer.incident


@pytest.mark.parametrize("named", [True, False])
async def test_an_operator_takes_a_hold_and_frees_nothing(etcd: Store, named: bool) -> None:
    async with two(etcd) as (a, b):
        hold = await a.acquire("alice", await a.worker())
        incident = await revoke(b, hold.fencing_token if named else 0)
        assert incident == of(hold)
        found = (await read(b, incident)).incident
        assert found.cause == SuspicionCause.SUSPICION_CAUSE_REVOKED
        assert found.detail == "tests revoked it: it misbehaves"
        assert state(found.state) == "SUSPECTED_STALE"
        assert await revoke(a, hold.fencing_token) == incident
        with pytest.raises(errors.NotFound):
            await revoke(a, 0)
        with pytest.raises(errors.TokenSuperseded):
            await a.release(hold)


async def test_a_revocation_whose_reply_was_lost_is_a_revocation(etcd: Store) -> None:
    async with two(etcd) as (a, _):
        hold = await a.acquire("alice", await a.worker())
        a.wire.lose_next_reply(writes(b"/i/"))
        assert await revoke(a, 0) == of(hold)


async def test_what_is_over_cannot_be_revoked(etcd: Store) -> None:
    async with two(etcd) as (a, b):
        with pytest.raises(errors.NotFound):
            await revoke(a, 0)
        hold = await a.acquire("alice", await a.worker())
        await a.release(hold)
        with pytest.raises(errors.TokenSuperseded):
            await revoke(b, hold.fencing_token)
        later = await a.acquire("alice", await a.worker())
        with pytest.raises(errors.TokenSuperseded):
            await revoke(b, hold.fencing_token)
        await a.verify(later)


async def test_only_an_administrator_revokes_with_a_reason_and_only_a_reviewer_judges(etcd: Store) -> None:
    async with two(etcd) as (a, b):
        hold = await a.acquire("alice", await a.worker())
        with pytest.raises(errors.InvalidField, match="reason"):
            await revoke(a, hold.fencing_token, reason="")
        b.roles = ("worker", "reviewer")
        with pytest.raises(errors.PermissionDenied, match="admin"):
            await revoke(b, hold.fencing_token)
        await a.verify(hold)
        shown = await reviewed(a, hold)
        b.roles = ("worker", "admin")
        with pytest.raises(errors.PermissionDenied, match="reviewer"):
            await resolve(b, shown.name, shown.etag, "AVAILABLE")
