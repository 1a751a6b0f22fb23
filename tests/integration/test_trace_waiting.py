"""What happens without rules 3, 4, 5 and 8: PROTOCOL's traces 1 to 5, each with the mutant that brings it
about.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from lockservice.core.changes import join
from lockservice.core.record import State
from lockservice.core.snapshot import Waiter
from lockservice.core.stored import Ask
from tenure import errors, request_id, token
from tenure.etcdwire.v1.etcdwire_pb2 import TxnRequest
from tenure.names import ProfileName
from tenure.v1.hold_pb2 import Hold, ProfileState
from tenure.v1.incident_pb2 import Evidence, Incident
from tests.fixtures.etcd import Store
from tests.lockservice.incidents import (
    CLEAN,
    decide,
    decided,
    inspect,
    quarantine,
    resolve,
    reviewed,
    suspect,
)
from tests.lockservice.replicas import (
    Mutation,
    Running,
    no_level_trigger,
    overwrite,
    running,
    without_compares,
    without_writes,
    writes,
)

# A violation that was seen once stands.
pytestmark = pytest.mark.flaky(reruns=0)

PROFILE = ProfileName("default", "alice")
AN_HOUR = 3600.0
TOUCHED = Evidence(directory=CLEAN, account_touched=True, browser_opened=True)


@asynccontextmanager
async def two(
    etcd: Store, mutation: Mutation | None = None, sweep_s: float = AN_HOUR
) -> AsyncIterator[tuple[Running, Running]]:
    async with (
        running(etcd.endpoints, etcd.prefix, mutation=mutation, sweep_s=sweep_s) as a,
        running(etcd.endpoints, etcd.prefix, mutation=mutation, sweep_s=sweep_s) as b,
    ):
        yield a, b


# --- 1: an Acquire retried after its first copy was granted, used and released ---------


async def granted_used_released_and_retried(a: Running, b: Running) -> None:
    worker, n = await a.worker(), request_id.mint()
    # The reply is lost on the way: the caller will try again, elsewhere.
    await a.release(await a.acquire("alice", worker, request_id=n))
    await b.acquire("alice", worker, request_id=n)


async def test_1_a_late_copy_of_an_acquire_is_over(etcd: Store) -> None:
    async with two(etcd) as (a, b):
        with pytest.raises(errors.RequestEnded):
            await granted_used_released_and_retried(a, b)


async def test_1_mutant_without_k_grants_the_late_copy(etcd: Store) -> None:
    async with two(etcd, without_writes(b"/k/")) as (a, b):
        await granted_used_released_and_retried(a, b)


async def test_1_two_copies_at_two_replicas_are_granted_once(etcd: Store) -> None:
    async with two(etcd) as (a, b):
        worker, n = await a.worker(), request_id.mint()
        late = a.wire.stop_next(writes(b"/p/"))
        first = asyncio.create_task(a.acquire("alice", worker, request_id=n))
        await late.arrived.wait()
        hold = await b.acquire("alice", worker, request_id=n)
        late.opened.set()
        assert (await first).fencing_token == hold.fencing_token


# --- 2: the caller of a waiting Acquire vanishes while its worker lives -----------------


async def granted_to_one_who_went_away(a: Running, b: Running) -> tuple[str, int]:
    holder, waiter = await a.worker(), await a.worker()
    hold = await a.acquire("alice", holder)
    call = asyncio.create_task(a.acquire("alice", waiter, wait=15))
    await a.until_queued(1)
    call.cancel()
    await a.release(hold)
    with pytest.raises(errors.ProfileBusy):
        await b.acquire("alice", holder)
    return waiter, hold.fencing_token


async def test_2_a_renewal_tells_of_the_hold_that_nobody_heard_of(etcd: Store) -> None:
    async with two(etcd) as (a, b):
        waiter, before = await granted_to_one_who_went_away(a, b)
        (unknown,) = (await b.renew(waiter)).holds
        assert unknown.fencing_token > before
        await b.release(unknown)
        await a.acquire("alice", await a.worker())


async def test_2_mutant_whose_renewals_are_silent_holds_for_ever(
    etcd: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lockservice.mirror.Mirror.holds", lambda *_: [])
    async with two(etcd) as (a, b):
        waiter, _ = await granted_to_one_who_went_away(a, b)
        assert not (await b.renew(waiter)).holds
        with pytest.raises(errors.ProfileBusy):
            await a.acquire("alice", await a.worker())


# --- 3: JOIN decided on "busy" and Release on "queue empty" both apply ------------------


async def join_overtaken_by_a_release(a: Running, b: Running, wait: float) -> None:
    hold = await a.acquire("alice", await a.worker())
    waiter = await b.worker()
    late = b.wire.stop_next(writes(b"/q/"))
    joining = asyncio.create_task(b.acquire("alice", waiter, wait=wait))
    await late.arrived.wait()
    await a.release(hold)
    late.opened.set()
    await joining


async def release_overtaken_by_a_join(a: Running, b: Running, wait: float) -> None:
    hold = await a.acquire("alice", await a.worker())
    waiter = await b.worker()
    late = a.wire.stop_next(writes(b"/p/"))
    releasing = asyncio.create_task(a.release(hold))
    await late.arrived.wait()
    joining = asyncio.create_task(b.acquire("alice", waiter, wait=wait))
    await b.until_queued(1)
    late.opened.set()
    await releasing
    await joining


def is_join(request: TxnRequest) -> bool:
    return writes(b"/q/")(request) and not writes(b"/p/")(request)


@pytest.mark.parametrize("race", [join_overtaken_by_a_release, release_overtaken_by_a_join])
async def test_3_join_and_release_see_each_other(
    etcd: Store, monkeypatch: pytest.MonkeyPatch, race: object
) -> None:
    # Without the level trigger, which would repair it in the end.
    no_level_trigger(monkeypatch)
    async with two(etcd) as (a, b):
        await race(a, b, wait=15)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("race", "mutation"),
    [
        (join_overtaken_by_a_release, without_compares(b"/p/", only=is_join)),
        (release_overtaken_by_a_join, without_compares(b"/q/", only=writes(b"/p/"))),
    ],
)
async def test_3_mutant_loses_the_waiter_of_a_free_profile(
    etcd: Store, monkeypatch: pytest.MonkeyPatch, race: object, mutation: Mutation
) -> None:
    no_level_trigger(monkeypatch)
    async with two(etcd, mutation) as (a, b):
        with pytest.raises(errors.WaitExpired) as lost:
            await race(a, b, wait=3)  # type: ignore[operator]
        assert lost.value.state == "AVAILABLE"


# --- 4: recovery frees a profile with waiters ------------------------------------------


async def freed_by_recovery(a: Running, b: Running, *, wait: float) -> asyncio.Task[object]:
    hold = await a.acquire("alice", await a.worker())
    waiter = await b.worker()
    waiting: asyncio.Task[object] = asyncio.create_task(b.acquire("alice", waiter, wait=wait, run_id="next"))
    await b.until_queued(1)
    incident = await suspect(a, hold)
    with pytest.raises(errors.ProfileQuarantined):
        await a.acquire("alice", await a.worker())
    await quarantine(a, incident)
    inspected = await inspect(a, incident, TOUCHED)
    await decide(a, incident, inspected.revision, "RETRY")
    return waiting


async def test_4_a_parked_waiter_is_granted_when_recovery_frees(etcd: Store) -> None:
    async with two(etcd) as (a, b):
        hold = await (await freed_by_recovery(a, b, wait=15))
        assert (hold.run_id, hold.attempt) == ("next", 2)  # type: ignore[attr-defined]


@pytest.mark.parametrize("by", ["events", "sweep"])
async def test_4_a_waiter_whose_caller_is_away_is_granted_too(
    etcd: Store, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    if by == "sweep":
        monkeypatch.setattr("lockservice.granter.Granter.look_at", lambda *_: None)
    async with two(etcd, sweep_s=AN_HOUR if by == "events" else 0.2) as (a, b):
        hold = await a.acquire("alice", await a.worker())
        call = asyncio.create_task(b.acquire("alice", await b.worker(), wait=15, run_id="next"))
        await b.until_queued(1)
        await a.until_queued(1)
        call.cancel()
        await overwrite(a, PROFILE, state=State.AVAILABLE, holding=None)
        await a.until_queued(0)
        granted = a.replica.mirror.hold(PROFILE)
        assert granted is not None
        assert granted.token > hold.fencing_token
        assert granted.holding.run_id == "next"


async def in_review_with_a_waiter(a: Running, b: Running, wait: float) -> tuple[Incident, asyncio.Task[Hold]]:
    hold = await a.acquire("alice", await a.worker(), run_id="old")
    waiting = asyncio.create_task(b.acquire("alice", await b.worker(), wait=wait, run_id="next"))
    await b.until_queued(1)
    shown = await reviewed(a, hold)
    with pytest.raises(errors.ProfileInReview) as told:
        await b.acquire("alice", await b.worker())
    assert told.value.incident == shown.name
    return shown, waiting


async def test_4_a_waiter_of_a_profile_in_review_is_granted_when_a_person_frees_it(etcd: Store) -> None:
    async with two(etcd) as (a, b):
        shown, waiting = await in_review_with_a_waiter(a, b, wait=15)
        assert not waiting.done()
        await resolve(a, shown.name, shown.etag, "AVAILABLE")
        hold = await waiting
        assert (hold.run_id, hold.attempt, hold.origin) == ("next", 1, 1)
        assert hold.fencing_token > int(shown.name.rpartition("/")[2])


async def test_4_a_waiter_whose_wait_ends_in_review_is_told_so(etcd: Store) -> None:
    async with two(etcd) as (a, b):
        _, waiting = await in_review_with_a_waiter(a, b, wait=4)
        with pytest.raises(errors.WaitExpired) as told:
            await waiting
        assert told.value.state == "MANUAL_REVIEW"
        assert told.value.holder_run_id == "", "nobody holds it"
        assert "MANUAL_REVIEW" in str(told.value)


async def test_4_a_waiter_of_a_profile_that_a_verdict_disables_is_told(etcd: Store) -> None:
    async with two(etcd) as (a, b):
        shown, waiting = await in_review_with_a_waiter(a, b, wait=15)
        await resolve(a, shown.name, shown.etag, "DISABLED")
        with pytest.raises(errors.ProfileDisabled):
            await waiting


async def test_4_mutant_without_level_trigger_sleeps_on(etcd: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    no_level_trigger(monkeypatch)
    async with two(etcd) as (a, b):
        with pytest.raises(errors.WaitExpired) as asleep:
            await (await freed_by_recovery(a, b, wait=4))
        assert asleep.value.state == "RETRY"


# --- 5: RESUME_PENDING's workflow queues behind others -----------------------------------


async def resumable_behind_another(
    a: Running, b: Running
) -> tuple[asyncio.Task[object], asyncio.Task[object]]:
    hold = await a.acquire("alice", await a.worker(), workflow_id="checkout")
    tasks: list[asyncio.Task[object]] = []
    for i, workflow in enumerate(("other", "checkout")):
        worker = await b.worker()
        tasks.append(
            asyncio.create_task(b.acquire("alice", worker, wait=4, workflow_id=workflow, run_id=workflow))
        )
        await b.until_queued(i + 1)
    await decided(a, hold, "RESUME_PENDING")
    return tasks[0], tasks[1]


async def test_5_the_workflow_that_resumes_overtakes_the_queue(etcd: Store) -> None:
    async with two(etcd) as (a, b):
        other, resuming = await resumable_behind_another(a, b)
        hold = await resuming
        assert (hold.run_id, hold.origin) == ("checkout", 2)  # type: ignore[attr-defined]
        with pytest.raises(errors.WaitExpired):
            await other


async def test_5_a_fresh_acquire_of_the_workflow_overtakes_too_and_others_are_told(etcd: Store) -> None:
    async with two(etcd) as (a, b):
        holder = await a.worker()
        hold = await a.acquire("alice", holder, workflow_id="checkout", proxy_key="de")
        await decided(a, hold, "RESUME_PENDING")
        for workflow, proxy in (("other", "de"), ("checkout", "fr")):
            with pytest.raises(errors.ResumePending) as kept:
                await b.acquire("alice", holder, workflow_id=workflow, proxy_key=proxy)
            assert kept.value.workflow_id == "checkout"
        assert (await b.acquire("alice", holder, workflow_id="checkout", proxy_key="de")).origin == 2


async def test_5_mutant_that_queues_everybody_deadlocks(etcd: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lockservice.core.grant.resumes", lambda *_: False)
    async with two(etcd) as (a, b):
        other, resuming = await resumable_behind_another(a, b)
        for task in (other, resuming):
            with pytest.raises(errors.WaitExpired) as stuck:
                await task
            assert stuck.value.state == "RESUME_PENDING"


# --- a place that is gone, though a replica that the news reaches late still has it -------


async def look_at_nothing(_: ProfileName) -> None:
    return


@pytest.mark.parametrize("guarded", [True, False])
async def test_nobody_queues_behind_a_place_that_is_gone(etcd: Store, guarded: bool) -> None:
    ghost = Ask(request_id=request_id.mint(), worker="ghost", run_id="", as_sent="", max_runtime_ms=1000)
    mutation = None if guarded else without_compares(ghost.request_id.encode(), only=writes(b"/q/"))
    async with running(etcd.endpoints, etcd.prefix, mutation=mutation, sweep_s=0.5) as a:
        worker = await a.worker()
        await a.release(await a.acquire("alice", worker))
        keys, mirror, rounds = a.replica.keys, a.replica.mirror, a.replica.granter._rounds
        # Nobody finds out that it is gone by trying to grant to it before somebody asks.
        look, rounds._look = rounds._look, look_at_nothing
        # Not of a revision to come: that is the one at which whoever asks is heard of.
        mirror._put_place(PROFILE, Waiter(mirror.revision, ghost.request_id, ghost))
        acquiring = asyncio.create_task(a.acquire("alice", worker, wait=60, timeout=90))
        if not guarded:
            await a.until_queued(2)
            rounds._look = look
        hold = await acquiring
        consumed = await a.replica.etcd.kv.get(keys.consumed(worker.removeprefix("workers/"), PROFILE), 5.0)
        assert consumed is not None
        granted_at_once = consumed.mod_revision == token.unpack(hold.fencing_token)[1]
        assert granted_at_once is guarded


async def test_a_holder_whose_place_seems_to_be_there_still_can_release(etcd: Store) -> None:
    async with running(etcd.endpoints, etcd.prefix, sweep_s=AN_HOUR) as a:
        worker, request = await a.worker(), request_id.mint()
        hold = await a.acquire("alice", worker, request_id=request)
        keys, mirror = a.replica.keys, a.replica.mirror
        held = mirror.hold(PROFILE)
        assert held is not None
        ghost = Ask(
            request_id=request,
            worker=held.holding.worker,
            worker_create=held.holding.worker_create,
            run_id="",
            as_sent="",
            max_runtime_ms=1000,
        )
        mirror.learn([join(keys, PROFILE, ghost, 0)], mirror.revision + 1)
        assert (await a.release(hold)).state == ProfileState.PROFILE_STATE_AVAILABLE


# --- waiting and administration ----------------------------------------------------------


async def test_a_waiter_of_a_profile_that_gets_disabled_is_told(etcd: Store) -> None:
    async with two(etcd) as (a, b):
        await a.acquire("alice", await a.worker())
        waiting = asyncio.create_task(b.acquire("alice", await b.worker(), wait=15))
        await b.until_queued(1)
        await overwrite(a, PROFILE, state=State.DISABLED, holding=None)
        with pytest.raises(errors.ProfileDisabled):
            await waiting
        await b.until_queued(0)


@pytest.mark.parametrize("guarded", [True, False])
async def test_a_waiter_stays_when_the_profile_is_in_use_again_before_it_left(
    etcd: Store, guarded: bool
) -> None:
    # Without the condition the second one leaves, and is told of what is over.
    mutation = None if guarded else without_compares(b"/p/", only=_leaves)
    async with two(etcd, mutation) as (a, b):
        await a.acquire("alice", await a.worker())
        first = asyncio.create_task(a.acquire("alice", await a.worker(), wait=60, timeout=90))
        await a.until_queued(1)
        second = asyncio.create_task(b.acquire("alice", await b.worker(), wait=60, timeout=90))
        await b.until_queued(2)
        leaving = [each.wire.stop_next(_leaves) for each in (a, b)]
        await overwrite(a, PROFILE, state=State.DISABLED, holding=None)
        for gate in leaving:
            await gate.arrived.wait()
        await overwrite(a, PROFILE, state=State.AVAILABLE, holding=None)
        await b.until_state(PROFILE, State.HELD)
        for gate in leaving:
            gate.opened.set()
        await a.release(await first)
        if guarded:
            assert (await second).fencing_token
        else:
            with pytest.raises(errors.ProfileDisabled):
                await second


def _leaves(request: TxnRequest) -> bool:
    """Whether it is somebody's end of waiting, and nothing else."""
    keys = [op.request_delete_range.key for op in request.success if op.HasField("request_delete_range")]
    return len(request.success) == 1 and any(b"/q/" in key for key in keys)


async def test_a_dead_waiter_leaves_by_its_lease(etcd: Store) -> None:
    async with two(etcd) as (a, b):
        hold = await a.acquire("alice", await a.worker())
        dying = asyncio.create_task(b.acquire("alice", await b.worker(ttl_s=4), wait=30))
        await b.until_queued(1)
        waiting = asyncio.create_task(b.acquire("alice", await b.worker(), wait=30))
        await b.until_queued(2)
        with pytest.raises(errors.LeaseExpired):
            await dying
        await a.release(hold)
        assert isinstance((await waiting).fencing_token, int)
