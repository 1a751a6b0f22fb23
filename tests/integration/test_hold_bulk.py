"""AcquireHolds and ReleaseHolds: one replica on a real etcd."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from tenure import errors, request_id
from tenure.etcdwire.v1.etcdwire_pb2 import TxnRequest
from tenure.v1 import hold_service_pb2 as pb
from tenure.v1.hold_pb2 import Hold, HoldOrigin, ProfileState, RunResult
from tenure.v1.worker_service_pb2 import EndWorkerRequest
from tests.fixtures.etcd import Member, Store
from tests.lockservice.incidents import decided, for_session
from tests.lockservice.replicas import Running, running, writes

AVAILABLE = ProfileState.PROFILE_STATE_AVAILABLE


@pytest.fixture
async def a(etcd: Store) -> AsyncIterator[Running]:
    async with running(etcd.endpoints, etcd.prefix) as replica:
        yield replica


def asked(profile: str, worker: str, **fields: Any) -> pb.AcquireHoldRequest:
    fields.setdefault("request_id", request_id.mint())
    return pb.AcquireHoldRequest(profile=profile, worker=worker, **fields)


async def acquire(
    a: Running, requests: Sequence[pb.AcquireHoldRequest], timeout: float = 20.0
) -> list[Hold | errors.TenureError]:
    answer = await a.call(a.holds.AcquireHolds, pb.AcquireHoldsRequest(requests=requests), timeout)
    assert len(answer.results) == len(requests)
    return [
        result.response.hold if result.HasField("response") else errors.from_status(result.error)
        for result in answer.results
    ]


async def release(
    a: Running, requests: Sequence[pb.ReleaseHoldRequest], timeout: float = 20.0
) -> list[pb.ReleaseHoldResponse | errors.TenureError]:
    answer = await a.call(a.holds.ReleaseHolds, pb.ReleaseHoldsRequest(requests=requests), timeout)
    assert len(answer.results) == len(requests)
    return [
        result.response if result.HasField("response") else errors.from_status(result.error)
        for result in answer.results
    ]


def ended(hold: Hold | errors.TenureError, **fields: Any) -> pb.ReleaseHoldRequest:
    assert isinstance(hold, Hold)
    return pb.ReleaseHoldRequest(profile=hold.profile, fencing_token=hold.fencing_token, **fields)


def holds(answers: Sequence[Hold | errors.TenureError]) -> list[Hold]:
    """They all are."""
    assert set(kinds(answers)) <= {Hold}, [answer for answer in answers if not isinstance(answer, Hold)][:3]
    return [answer for answer in answers if isinstance(answer, Hold)]


def responses(answers: Sequence[pb.ReleaseHoldResponse | errors.TenureError]) -> list[pb.ReleaseHoldResponse]:
    """They all are."""
    assert set(kinds(answers)) <= {pb.ReleaseHoldResponse}
    return [answer for answer in answers if isinstance(answer, pb.ReleaseHoldResponse)]


def kinds(answers: Sequence[object]) -> list[type]:
    return [type(answer) for answer in answers]


async def test_each_of_many_acquires_has_its_own_answer_in_the_order_asked(a: Running) -> None:
    worker, other = await a.worker(), await a.worker()
    await a.acquire("taken", other, run_id="r-17")
    gone = await a.worker()
    await a.call(a.workers.EndWorker, EndWorkerRequest(worker=gone))
    answers = await acquire(
        a,
        [
            asked("one:a", worker),
            asked("taken", worker),
            asked("..", worker),
            asked("two", worker, run_id="r" * 129),
            asked("three", gone),
            asked("tenants/other/profiles/x", worker),
            asked("four", worker, wait={"seconds": 1}),
            asked("five", other),
            asked("six", worker, request_id="1"),
        ],
    )
    one, taken, bad, long, dead, foreign, waits, five, odd = answers
    assert isinstance(one, Hold)
    assert (one.profile, one.as_sent, one.worker) == ("tenants/default/profiles/one_a", "one:a", worker)
    assert (await a.verify(one)).fencing_token == one.fencing_token
    assert isinstance(taken, errors.ProfileBusy)
    assert taken.holder_run_id == "r-17"
    assert isinstance(five, Hold)
    assert five.worker == other
    assert kinds([bad, long, dead, foreign, odd]) == [
        errors.InvalidId,
        errors.InvalidField,
        errors.LeaseExpired,
        errors.PermissionDenied,
        errors.InvalidId,
    ]
    assert isinstance(waits, errors.InvalidField)
    assert (waits.field, waits.value) == ("wait", "1s")
    assert "AcquireHold" in waits.remedy


async def test_each_of_many_releases_has_its_own_answer_in_the_order_asked(a: Running) -> None:
    worker, waiter = await a.worker(), await a.worker()
    profiles = ["free", "passed", "doubtful", "done", "lost"]
    free, passed, doubtful, done, lost = holds(await acquire(a, [asked(p, worker) for p in profiles]))
    homely = await for_session(a, "homely", worker)
    await a.release(done)
    revoked = pb.RevokeHoldRequest(profile=lost.profile, fencing_token=lost.fencing_token, reason="drill")
    await a.call(a.holds.RevokeHold, revoked)
    waiting = asyncio.create_task(a.acquire("passed", waiter, wait=30, timeout=40))
    await a.until_queued(1)
    answers = await release(
        a,
        [
            ended(free),
            pb.ReleaseHoldRequest(profile="never", fencing_token=1),
            ended(passed),
            ended(homely),
            ended(doubtful, result=RunResult.RUN_RESULT_NEEDS_REVIEW),
            ended(done),
            pb.ReleaseHoldRequest(profile="no-token"),
            ended(lost),
        ],
    )
    told = [
        (answer.state, answer.already_released)
        if isinstance(answer, pb.ReleaseHoldResponse)
        else type(answer)
        for answer in answers
    ]
    assert told == [
        (AVAILABLE, False),
        errors.TokenSuperseded,
        (ProfileState.PROFILE_STATE_HELD, False),
        errors.DrainRequired,
        (ProfileState.PROFILE_STATE_SUSPECTED_STALE, False),
        (AVAILABLE, True),
        errors.InvalidField,
        errors.TokenSuperseded,
    ]
    assert (await waiting).fencing_token > passed.fencing_token


async def test_the_same_acquires_again_are_the_same_holds_and_released_ones_have_ended(a: Running) -> None:
    worker = await a.worker()
    requests = [asked(f"p{number}", worker) for number in range(70)]
    first = holds(await acquire(a, requests))
    again = holds(await acquire(a, requests))
    assert [hold.fencing_token for hold in again] == [hold.fencing_token for hold in first]
    assert (await a.renew(worker)).holds
    releases = [ended(hold) for hold in first]
    assert {answer.already_released for answer in responses(await release(a, releases))} == {False}
    assert {answer.already_released for answer in responses(await release(a, releases))} == {True}
    assert set(kinds(await acquire(a, requests))) == {errors.RequestEnded}


@pytest.mark.parametrize(
    "spelling", ["alice:linkedin", "tenants/-/profiles/alice_linkedin", "alice_linkedin"]
)
async def test_one_profile_twice_refuses_the_whole_call_and_changes_nothing(
    a: Running, spelling: str
) -> None:
    worker = await a.worker()
    sent = a.wire.sent
    with pytest.raises(errors.InvalidField) as refused:
        await acquire(a, [asked("bob", worker), asked("alice:linkedin", worker), asked(spelling, worker)])
    assert refused.value.field == "requests"
    assert refused.value.value in spelling
    assert "at 1 and at 2" in refused.value.problem
    assert "once" in refused.value.remedy
    assert a.wire.sent == sent
    hold = await a.acquire("alice:linkedin", worker)
    sent = a.wire.sent
    with pytest.raises(errors.InvalidField, match="one profile twice"):
        await release(a, [ended(hold), pb.ReleaseHoldRequest(profile=spelling, fencing_token=1)])
    assert a.wire.sent == sent
    await a.verify(hold)


async def test_too_many_at_once_are_refused_and_none_at_all_is_fine(a: Running) -> None:
    with pytest.raises(errors.InvalidField, match="at most 1000 a call"):
        await acquire(a, [asked(f"p{number}", "w") for number in range(1001)])
    with pytest.raises(errors.InvalidField, match="at most 1000 a call"):
        await release(a, [pb.ReleaseHoldRequest(profile=f"p{n}", fencing_token=1) for n in range(1001)])
    assert await acquire(a, []) == []
    assert await release(a, []) == []


async def test_one_worker_gets_as_many_of_a_thousand_as_its_lease_has_keys_for(a: Running) -> None:
    worker, second = await a.worker(), await a.worker()
    requests = [asked(f"p{number}", worker) for number in range(1000)]
    answers = await acquire(a, requests, timeout=40)
    granted, refused = answers[:998], answers[998:]
    tokens = {hold.profile: hold.fencing_token for hold in holds(granted)}
    assert len(tokens) == 998
    assert kinds(refused) == 2 * [errors.QuotaExceeded]
    assert "Register another worker" in str(refused[0])
    # Nothing of it was burnt: others may have these, and the same call again finds the same holds.
    other = [asked(f"p{number}", second) for number in range(998, 1000)]
    assert len(holds(await acquire(a, other))) == 2
    again = await acquire(a, requests, timeout=40)
    assert {hold.profile: hold.fencing_token for hold in holds(again[:998])} == tokens
    assert len((await a.renew(worker)).holds) == 998
    released = responses(await release(a, [ended(hold) for hold in granted], timeout=40))
    assert {answer.state for answer in released} == {AVAILABLE}


async def test_checkpoints_come_with_the_holds_that_ask_for_them_or_resume(a: Running) -> None:
    worker = await a.worker()
    for profile in ("asks", "asks-not", "other-plan", "resumes"):
        hold = await a.acquire(profile, worker, workflow_id="shop", plan="v1")
        saved = pb.SaveCheckpointRequest(
            profile=hold.profile,
            fencing_token=hold.fencing_token,
            workflow_id="shop",
            plan="v1",
            payload=profile.encode(),
            safe=True,
        )
        await a.call(a.holds.SaveCheckpoint, saved)
        if profile == "resumes":
            await decided(a, hold, "RESUME_PENDING")
        else:
            await a.release(hold)
    requests = [
        asked("asks", worker, workflow_id="shop", plan="v1", resume_state=True),
        asked("asks-not", worker, workflow_id="shop"),
        asked("other-plan", worker, workflow_id="shop", plan="v2", resume_state=True),
        asked("nothing-saved", worker, workflow_id="shop", resume_state=True),
        asked("resumes", worker, workflow_id="shop"),
    ]
    answer = await a.call(a.holds.AcquireHolds, pb.AcquireHoldsRequest(requests=requests))
    asks, asks_not, other_plan, nothing, resumes = answer.results
    assert asks.response.checkpoint.payload == b"asks"
    assert asks_not.response.hold.fencing_token
    assert not asks_not.response.HasField("checkpoint")
    assert isinstance(errors.from_status(other_plan.error), errors.CheckpointMismatch)
    assert nothing.response.hold.fencing_token
    assert not nothing.response.HasField("checkpoint")
    assert resumes.response.hold.origin == HoldOrigin.HOLD_ORIGIN_RESUMED
    assert resumes.response.checkpoint.payload == b"resumes"


async def test_checkpoints_that_one_message_has_no_room_for_are_had_by_asking_again(a: Running) -> None:
    worker = await a.worker()
    large = b"x" * 256 * 1024
    profiles = [f"p{number}" for number in range(9)]
    for hold in holds(await acquire(a, [asked(p, worker, workflow_id="shop") for p in profiles])):
        saved = pb.SaveCheckpointRequest(
            profile=hold.profile, fencing_token=hold.fencing_token, workflow_id="shop", payload=large
        )
        await a.call(a.holds.SaveCheckpoint, saved)
        await a.release(hold)
    requests = [asked(p, worker, workflow_id="shop", resume_state=True) for p in profiles]
    answers = await acquire(a, requests)
    left = [
        request for request, answer in zip(requests, answers, strict=True) if not isinstance(answer, Hold)
    ]
    assert 0 < len(left) < len(profiles)
    unknown = [answer for answer in answers if isinstance(answer, errors.OutcomeUnknown)]
    assert [error.request_id for error in unknown] == [request.request_id for request in left]
    assert len(holds(await acquire(a, left))) == len(left)


async def test_a_place_that_an_earlier_call_left_in_the_queue_is_given_up(a: Running) -> None:
    worker, waiter, n = await a.worker(), await a.worker(), request_id.mint()
    await a.acquire("alice", worker)
    waiting = asyncio.create_task(a.acquire("alice", waiter, wait=60, timeout=60, request_id=n))
    await a.until_queued(1)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    expired, free = await acquire(a, [asked("alice", waiter, request_id=n), asked("bob", waiter)])
    assert isinstance(expired, errors.WaitExpired)
    assert isinstance(free, Hold)
    await a.until_queued(0)


async def test_a_store_that_freezes_mid_call_is_told_for_each_as_it_was_and_a_repeat_settles_it(
    etcd_member: Member,
) -> None:
    async with running([etcd_member.endpoint], "/t/") as a:
        worker = await a.worker(ttl_s=120)
        requests = [asked(f"p{number}", worker) for number in range(200)]
        passing = 1

        def freeze(request: TxnRequest) -> bool:
            nonlocal passing
            if writes(b"/p/")(request) and (passing := passing - 1) < 0:
                etcd_member.freeze()
            return False

        a.wire.stop_next(freeze)
        answers = await acquire(a, requests, timeout=5)
        passing = 1_000_000
        assert set(kinds(answers)) <= {Hold, errors.OutcomeUnknown, errors.StoreUnavailable}
        assert errors.OutcomeUnknown in kinds(answers)
        etcd_member.thaw()
        await a.until_told(None)
        stored = await a.replica.etcd.kv.read(a.replica.keys.records(), 30.0)
        there = {kv.key.decode().rpartition("/")[2]: kv.mod_revision for kv in stored.kvs}
        for request, answer in zip(requests, answers, strict=True):
            if isinstance(answer, errors.StoreUnavailable):
                assert request.profile not in there, "it said that nothing was changed"
            elif isinstance(answer, Hold):
                assert there[request.profile] == answer.fencing_token
        again = holds(await acquire(a, requests, timeout=40))
        for request, before, hold in zip(requests, answers, again, strict=True):
            assert there.get(request.profile, hold.fencing_token) == hold.fencing_token
            if isinstance(before, Hold):
                assert before.fencing_token == hold.fencing_token
        releases = [ended(hold) for hold in again]
        etcd_member.freeze()
        gone = await release(a, releases, timeout=5)
        assert set(kinds(gone)) <= {errors.OutcomeUnknown, errors.StoreUnavailable}
        etcd_member.thaw()
        assert {answer.state for answer in responses(await release(a, releases, timeout=40))} == {AVAILABLE}
