"""What a run says of itself, and checkpoints: a hold for one plan never goes on from another's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from lockservice.core.record import State
from lockservice.etcd.errors import NotSent
from tenure import errors, request_id
from tenure.v1 import hold_service_pb2 as pb
from tenure.v1.hold_pb2 import Hold, HoldOrigin
from tenure.v1.incident_pb2 import Evidence
from tests.fixtures.etcd import Store
from tests.lockservice.incidents import current, decided, for_session, resolve, reviewed
from tests.lockservice.replicas import Running, running


@pytest.fixture
async def a(etcd: Store) -> AsyncIterator[Running]:
    async with running(etcd.endpoints, etcd.prefix) as replica:
        yield replica


async def save(a: Running, hold: Hold, plan: str, payload: bytes = b"x") -> None:
    request = pb.SaveCheckpointRequest(
        profile=hold.profile,
        fencing_token=hold.fencing_token,
        workflow_id="shop",
        plan=plan,
        payload=payload,
        safe=True,
    )
    await a.call(a.holds.SaveCheckpoint, request)


async def acquire(a: Running, plan: str = "", *, wait: float = 0, **fields: Any) -> pb.AcquireHoldResponse:
    fields.setdefault("worker", await a.worker())
    request = pb.AcquireHoldRequest(profile="alice", workflow_id="shop", plan=plan, **fields)
    request.wait.FromMilliseconds(int(wait * 1000))
    answer: pb.AcquireHoldResponse = await a.call(a.holds.AcquireHold, request)
    return answer


async def saved_and_released(a: Running, plan: str) -> None:
    hold = (await acquire(a, plan)).hold
    await save(a, hold, plan)
    await a.release(hold)


async def test_a_hold_says_what_its_run_said_of_itself(a: Running) -> None:
    answer = await acquire(a, "v1", restartable=True, proxy_key="de")
    found = await a.verify(answer.hold)
    for hold in (answer.hold, found):
        assert (hold.plan, hold.restartable, hold.proxy_key) == ("v1", True, "de")
    await a.release(found)
    hold = (await acquire(a)).hold
    assert (hold.plan, hold.restartable, hold.proxy_key) == ("", False, "")


@pytest.mark.parametrize("many", [False, True], ids=["alone", "in bulk"])
async def test_a_hold_whose_checkpoint_could_not_be_read_is_not_said_to_be_none(
    a: Running, monkeypatch: pytest.MonkeyPatch, many: bool
) -> None:
    await saved_and_released(a, "v1")
    worker, n = await a.worker(), request_id.mint()
    request = pb.AcquireHoldRequest(
        profile="alice", workflow_id="shop", worker=worker, request_id=n, resume_state=True
    )

    async def no_answer(*_: object) -> None:
        raise NotSent("nobody is there")

    with monkeypatch.context() as away:
        away.setattr(a.replica.etcd.kv, "get", no_answer)
        with pytest.raises(errors.OutcomeUnknown) as told:
            if many:
                answer = await a.call(a.holds.AcquireHolds, pb.AcquireHoldsRequest(requests=[request]))
                raise errors.from_status(answer.results[0].error)
            await a.call(a.holds.AcquireHold, request)
    assert told.value.request_id == n
    assert (await a.call(a.holds.AcquireHold, request)).checkpoint.payload == b"x"


async def test_a_checkpoint_of_another_plan_is_refused_and_nothing_is_acquired(a: Running) -> None:
    await saved_and_released(a, "v1")
    worker, n = await a.worker(), request_id.mint()
    for wait in (0, 5):
        with pytest.raises(errors.CheckpointMismatch, match="another plan than 'v2'") as refused:
            await acquire(a, "v2", resume_state=True, worker=worker, request_id=n, wait=wait)
        assert refused.value.workflow_id == "shop"
    assert current(a, "alice") is State.AVAILABLE
    # The request was refused, not used up.
    answer = await acquire(a, "v1", resume_state=True, worker=worker, request_id=n)
    assert answer.checkpoint.payload == b"x"
    again = await acquire(a, "v1", resume_state=True, worker=worker, request_id=n)
    assert again.hold.fencing_token == answer.hold.fencing_token


@pytest.mark.parametrize("fields", [{"resume_state": True}, {"plan": "v2"}])
async def test_a_plan_matters_only_where_it_is_named_and_a_checkpoint_is_asked_for(
    a: Running, fields: dict[str, Any]
) -> None:
    await saved_and_released(a, "v1")
    answer = await acquire(a, **fields)
    assert answer.HasField("checkpoint") is ("resume_state" in fields)


async def test_where_there_is_no_checkpoint_any_plan_begins(a: Running) -> None:
    answer = await acquire(a, "v1", resume_state=True)
    assert not answer.HasField("checkpoint")


async def test_an_owner_that_changed_its_plan_keeps_its_hold(a: Running) -> None:
    worker, n = await a.worker(), request_id.mint()
    hold = (await acquire(a, "v1", resume_state=True, worker=worker, request_id=n)).hold
    await save(a, hold, "v2")
    again = await acquire(a, "v1", resume_state=True, worker=worker, request_id=n)
    assert again.hold.fencing_token == hold.fencing_token
    assert again.checkpoint.plan == "v2"


async def replaced_while_waiting(a: Running) -> pb.AcquireHoldResponse:
    await saved_and_released(a, "v1")
    hold = (await acquire(a, "v1")).hold
    waiting = asyncio.create_task(acquire(a, "v1", resume_state=True, wait=15))
    await a.until_queued(1)
    await save(a, hold, "v2")
    await a.release(hold)
    return await waiting


async def test_a_checkpoint_replaced_while_one_waits_is_refused_and_the_hold_given_back(a: Running) -> None:
    with pytest.raises(errors.CheckpointMismatch):
        await replaced_while_waiting(a)
    assert current(a, "alice") is State.AVAILABLE


async def test_mutant_that_looks_only_before_the_wait_goes_on_from_another_plan(
    a: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unchecked(*_: object) -> None:
        return

    monkeypatch.setattr("lockservice.hold_service.HoldServicer._check_plan", unchecked)
    answer = await replaced_while_waiting(a)
    assert (answer.hold.plan, answer.checkpoint.plan) == ("v1", "v2")


async def to_resume(a: Running, plan: str | None) -> None:
    hold = (await acquire(a, "v1", proxy_key="de")).hold
    if plan is not None:
        await save(a, hold, plan)
    await decided(a, hold, "RESUME_PENDING")


async def test_who_resumes_has_the_checkpoint_unasked(a: Running) -> None:
    await to_resume(a, "v1")
    answer = await acquire(a, "v1", proxy_key="de")
    assert answer.hold.origin == HoldOrigin.HOLD_ORIGIN_RESUMED
    assert answer.checkpoint.payload == b"x"


@pytest.mark.parametrize("wait", [0, 5])
async def test_a_workflow_does_not_resume_under_another_plan(a: Running, wait: float) -> None:
    await to_resume(a, "v1")
    with pytest.raises(errors.CheckpointMismatch):
        await acquire(a, "v2", proxy_key="de", wait=wait)
    assert current(a, "alice") is State.RESUME_PENDING
    assert (await acquire(a, proxy_key="de")).checkpoint.plan == "v1", "no plan is named: any will do"


async def test_one_of_another_plan_who_waits_already_is_passed_over(a: Running) -> None:
    hold = (await acquire(a, "v1", proxy_key="de")).hold
    await save(a, hold, "v1")
    waiting = asyncio.create_task(acquire(a, "v2", proxy_key="de", wait=4))
    await a.until_queued(1)
    await decided(a, hold, "RESUME_PENDING")
    with pytest.raises(errors.WaitExpired) as told:
        await waiting
    assert told.value.state == "RESUME_PENDING"
    await acquire(a, "v1", proxy_key="de")


async def test_mutant_that_does_not_look_at_the_plan_resumes_under_another(
    a: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lockservice.core.grant.fits", lambda *_: True)
    await to_resume(a, "v1")
    assert (await acquire(a, "v2", proxy_key="de")).checkpoint.plan == "v1"


async def test_a_workflow_that_a_person_lets_go_on_without_checkpoint_names_any_plan(a: Running) -> None:
    await to_resume(a, None)
    answer = await acquire(a, "v7", proxy_key="de")
    assert answer.hold.origin == HoldOrigin.HOLD_ORIGIN_RESUMED
    assert not answer.HasField("checkpoint")


async def test_a_hold_without_a_workflow_cannot_be_waited_for(a: Running) -> None:
    shown = await reviewed(a, await a.acquire("bob", await a.worker()))
    with pytest.raises(errors.InvalidField, match="needs a workflow"):
        await resolve(a, shown.name, shown.etag, "RESUME_PENDING")


async def test_a_release_that_is_trusted_ends_the_count_of_attempts(a: Running) -> None:
    hold = await a.acquire("bob", await a.worker())
    for attempt in (2, 3):
        shown = await reviewed(a, hold, evidence=Evidence(account_touched=True))
        await resolve(a, shown.name, shown.etag, "RETRY")
        hold = await a.acquire("bob", await a.worker())
        assert (hold.attempt, hold.origin) == (attempt, HoldOrigin.HOLD_ORIGIN_RETRY)
    await a.release(hold)
    hold = await a.acquire("bob", await a.worker())
    assert (hold.attempt, hold.origin) == (1, HoldOrigin.HOLD_ORIGIN_NEW)


async def test_a_session_is_told_all_of_it_too(a: Running) -> None:
    hold = await for_session(a, "carol", await a.worker(), plan="v1", restartable=True, proxy_key="fr")
    assert (hold.plan, hold.restartable, hold.proxy_key, hold.home) == ("v1", True, "fr", "hosts/h1")
