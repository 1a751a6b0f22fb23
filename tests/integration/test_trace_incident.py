"""What happens without rules 22 to 25: recovery's steps run twice, side by side or late, each with a mutant.

PROTOCOL's traces 10 and 11 as far as the lock service is concerned are among them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from lockservice.core import decided as deciding
from lockservice.core import verdict as judging
from lockservice.core.record import State
from tenure import errors
from tenure.names import ProfileName
from tenure.v1.hold_pb2 import Hold
from tenure.v1.incident_pb2 import Decision, Evidence, Outcome
from tests.fixtures.etcd import Store
from tests.lockservice.incidents import (
    CLEAN,
    UNTOUCHED,
    add,
    current,
    decide,
    decided,
    inspect,
    of,
    quarantine,
    read,
    resolve,
    reviewed,
    state,
    suspect,
)
from tests.lockservice.replicas import (
    Gate,
    Mutation,
    Running,
    nobody_watches,
    running,
    without_compares,
    without_nested_compares,
    writes,
)

# A violation that was seen once stands.
pytestmark = pytest.mark.flaky(reruns=0)

PROFILE = ProfileName("default", "alice")
OTHER = Evidence(directory=CLEAN, last_url="https://other.example/", browser_opened=True)


@asynccontextmanager
async def two(etcd: Store, mutation: Mutation | None = None) -> AsyncIterator[tuple[Running, Running]]:
    async with (
        running(etcd.endpoints, etcd.prefix, mutation=mutation) as a,
        running(etcd.endpoints, etcd.prefix, mutation=mutation) as b,
    ):
        yield a, b


async def held(a: Running, **fields: Any) -> Hold:
    return await a.acquire("alice", await a.worker(), **fields)


async def stopped(gate: Gate, call: Awaitable[Any]) -> asyncio.Future[Any]:
    """The call's Txn is on the way and does not arrive before the gate is opened."""
    task = asyncio.ensure_future(call)
    await gate.arrived.wait()
    return task


async def then_freed_and_held_again(a: Running, incident: str) -> Hold:
    """Recovery goes on elsewhere, and somebody else gets the profile."""
    await quarantine(a, incident)
    inspected = await inspect(a, incident)
    await decide(a, incident, inspected.revision, "AVAILABLE")
    return await held(a)


# --- 10: a late Suspect or Quarantine ends a later hold -------------------------------------


async def late_suspicion(a: Running, b: Running) -> tuple[Hold, Hold]:
    first = await held(a)
    late = b.wire.stop_next(writes(b"/i/"))
    suspecting = await stopped(late, suspect(b, first))
    await a.release(first)
    second = await held(a)
    late.opened.set()
    await asyncio.gather(suspecting, return_exceptions=True)
    return first, second


async def late_quarantine(a: Running, b: Running) -> tuple[str, Hold]:
    incident = await suspect(a, await held(a))
    late = b.wire.stop_next(writes(b"/quarantined"))
    quarantining = await stopped(late, quarantine(b, incident, acknowledged=False))
    second = await then_freed_and_held_again(a, incident)
    late.opened.set()
    assert await quarantining in ("HELD", "QUARANTINED")
    return incident, second


async def test_10_a_late_suspicion_never_touches_a_later_hold(etcd: Store) -> None:
    async with two(etcd) as (a, b):
        first, second = await late_suspicion(a, b)
        await a.verify(second)
        with pytest.raises(errors.NotFound):
            await read(a, of(first))


async def test_10_a_late_quarantine_never_touches_a_later_hold(etcd: Store) -> None:
    async with two(etcd) as (a, b):
        incident, second = await late_quarantine(a, b)
        await a.verify(second)
        assert (await read(a, incident)).incident.acknowledged, "how it was done stays on record"


@pytest.mark.parametrize("late", [late_suspicion, late_quarantine])
async def test_10_mutant_that_does_not_compare_p_ends_the_later_hold(
    etcd: Store, late: Callable[[Running, Running], Awaitable[tuple[object, Hold]]]
) -> None:
    only = writes(b"/quarantined") if late is late_quarantine else writes(b"/i/")
    async with two(etcd, without_compares(b"/p/", only=only)) as (a, b):
        _, second = await late(a, b)
        with pytest.raises(errors.TokenSuperseded):
            await a.verify(second)


# --- 22: quarantine, and what comes late ------------------------------------------------------


async def test_22_the_first_quarantine_stays_and_an_acknowledgement_may_come_late(etcd: Store) -> None:
    async with two(etcd) as (a, b):
        shown = await reviewed(a, await held(a), acknowledged=False)
        assert not shown.acknowledged
        assert not shown.HasField("late_acknowledge_time")
        for acknowledged in (False, True, True):
            assert await quarantine(b, shown.name, acknowledged=acknowledged) == "MANUAL_REVIEW"
        after = (await read(b, shown.name)).incident
        assert not after.acknowledged
        assert after.HasField("late_acknowledge_time")
        assert after.etag == shown.etag, "what a reviewer has read stays good"
        sent = a.replica.mirror.revision
        await quarantine(a, shown.name)
        assert (await read(a, shown.name)).incident == after
        assert a.replica.mirror.revision == sent


async def test_22_an_acknowledged_quarantine_needs_no_second_one(etcd: Store) -> None:
    async with two(etcd) as (a, b):
        shown = await reviewed(a, await held(a))
        await quarantine(b, shown.name)
        assert (await read(b, shown.name)).incident == shown


async def test_22_an_incident_that_never_was_is_not_found(etcd: Store) -> None:
    async with two(etcd) as (a, _):
        hold = await held(a)
        for call in (
            quarantine(a, of(hold)),
            inspect(a, of(hold)),
            decide(a, of(hold), 5, "AVAILABLE"),
            resolve(a, of(hold), "5", "AVAILABLE"),
            read(a, of(hold)),
            add(a, of(hold), "1"),
        ):
            with pytest.raises(errors.NotFound):
                await call
        await a.verify(hold)


# --- 23: the evidence -------------------------------------------------------------------------


async def late_inspection(a: Running, b: Running) -> str:
    incident = await suspect(a, await held(a))
    await quarantine(a, incident)
    late = b.wire.stop_next(writes(b"/inspected"))
    inspecting = await stopped(late, inspect(b, incident, OTHER))
    inspected = await inspect(a, incident)
    await decide(a, incident, inspected.revision, "MANUAL_REVIEW")
    late.opened.set()
    answer = await inspecting
    assert answer.evidence == (await read(a, incident)).incident.evidence
    return incident


async def test_23_the_first_evidence_stays(etcd: Store) -> None:
    async with two(etcd) as (a, b):
        incident = await late_inspection(a, b)
        found = await read(a, incident)
        assert found.incident.evidence.last_url == ""
        assert state(found.incident.state) == "MANUAL_REVIEW"
        again = await inspect(b, incident, OTHER)
        assert (state(again.state), again.revision) == ("MANUAL_REVIEW", 0)
        assert await read(a, incident) == found


async def test_23_mutant_takes_evidence_back_after_the_decision(etcd: Store) -> None:
    async with two(etcd, without_compares(b"/p/", only=writes(b"/inspected"))) as (a, b):
        found = (await read(a, await late_inspection(a, b))).incident
        assert state(found.state) == "INSPECTED"
        assert found.evidence.last_url == OTHER.last_url


async def test_23_nothing_is_inspected_before_the_old_worker_is_cut_off(etcd: Store) -> None:
    async with two(etcd) as (a, _):
        incident = await suspect(a, await held(a))
        answer = await inspect(a, incident)
        assert (state(answer.state), answer.revision) == ("SUSPECTED_STALE", 0)
        assert not (await read(a, incident)).incident.HasField("evidence")


@pytest.mark.parametrize(
    ("acknowledged", "evidence"), [(False, UNTOUCHED), (True, Evidence(missing=True)), (False, OTHER)]
)
async def test_23_what_is_not_certain_goes_to_a_person_whatever_recovery_says(
    etcd: Store, acknowledged: bool, evidence: Evidence
) -> None:
    async with two(etcd) as (a, _):
        incident = await suspect(a, await held(a, workflow_id="shop"))
        await quarantine(a, incident, acknowledged=acknowledged)
        # An acknowledgement that comes late is for the reviewer, not for recovery.
        await quarantine(a, incident, acknowledged=True)
        inspected = await inspect(a, incident, evidence)
        for outcome in ("AVAILABLE", "RETRY", "RESUME_PENDING"):
            with pytest.raises(errors.InvalidField, match="a person's to choose"):
                await decide(a, incident, inspected.revision, outcome)
        answer = await decide(a, incident, inspected.revision, "MANUAL_REVIEW")
        assert state(answer.state) == "MANUAL_REVIEW"


async def test_23_mutant_frees_what_nobody_acknowledged(etcd: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deciding, "_forbidden", lambda *_: None)
    monkeypatch.setattr("lockservice.core.outcome.moved", lambda _, after: after)
    async with two(etcd) as (a, _):
        incident = await suspect(a, await held(a))
        await quarantine(a, incident, acknowledged=False)
        inspected = await inspect(a, incident)
        assert state((await decide(a, incident, inspected.revision, "AVAILABLE")).state) == "AVAILABLE"
        await held(a)


# --- 9: the host's evidence -------------------------------------------------------------------


async def late_items(a: Running, b: Running) -> tuple[str, int]:
    incident = await suspect(a, await held(a))
    await quarantine(a, incident)
    assert await add(a, incident, "1", text="first") == 1
    late = b.wire.stop_next(writes(b"/h/"))
    adding = await stopped(late, add(b, incident, "1", "2", text="late"))
    inspected = await inspect(a, incident)
    await decide(a, incident, inspected.revision, "MANUAL_REVIEW")
    late.opened.set()
    return incident, await adding


async def items(a: Running, incident: str) -> list[str]:
    return [item.text for item in (await read(a, incident)).host_items]


async def test_9_evidence_after_the_decision_is_passed_over(etcd: Store) -> None:
    async with two(etcd) as (a, b):
        incident, added = await late_items(a, b)
        assert added == 0
        assert await add(b, incident, "3") == 0
        assert await items(a, incident) == ["first"]


async def test_9_mutant_changes_the_evidence_of_a_decision(etcd: Store) -> None:
    async with two(etcd, without_compares(b"/d/")) as (a, b):
        incident, added = await late_items(a, b)
        assert added == 1
        assert await items(a, incident) == ["first", "late"]


@pytest.mark.parametrize("mutant", [False, True])
async def test_9_each_item_is_stored_once(etcd: Store, mutant: bool) -> None:
    async with two(etcd, without_nested_compares if mutant else None) as (a, b):
        incident = await suspect(a, await held(a))
        assert await add(a, incident, "1", text="first") == 1
        added = await add(b, incident, "1", "2", text="second")
        assert added == (2 if mutant else 1)
        assert await items(a, incident) == (["second"] * 2 if mutant else ["first", "second"])


# --- 24: one decision ---------------------------------------------------------------------------


async def two_decide_at_once(a: Running, b: Running) -> tuple[str, Decision]:
    incident = await suspect(a, await held(a))
    await quarantine(a, incident)
    inspected = await inspect(b, incident)
    late = b.wire.stop_next(writes(b"/d/"))
    second = await stopped(late, decide(b, incident, inspected.revision, "MANUAL_REVIEW", reason="second"))
    await decide(a, incident, inspected.revision, "AVAILABLE", reason="first")
    await held(a)
    late.opened.set()
    return incident, (await second).decision


async def test_24_two_replicas_that_decide_at_once_make_one_decision(etcd: Store) -> None:
    async with two(etcd) as (a, b):
        incident, answered = await two_decide_at_once(a, b)
        assert answered.reason == "first"
        assert answered.outcome == Outcome.OUTCOME_AVAILABLE
        assert (await read(b, incident)).incident.decision == answered
        assert current(a, "alice") is State.HELD


async def test_24_mutant_decides_twice_and_takes_the_profile_from_its_next_holder(etcd: Store) -> None:
    async with two(etcd, without_compares(b"/p/", b"/d/", only=writes(b"/d/"))) as (a, b):
        incident, answered = await two_decide_at_once(a, b)
        assert answered.reason == "second"
        assert current(b, "alice") is State.MANUAL_REVIEW
        assert (await read(a, incident)).incident.decision.reason == "second"


async def test_24_a_decision_whose_reply_was_lost_is_that_decision(etcd: Store) -> None:
    async with two(etcd) as (a, b):
        incident = await suspect(a, await held(a))
        await quarantine(a, incident)
        inspected = await inspect(a, incident)
        a.wire.lose_next_reply(writes(b"/d/"))
        first = await decide(a, incident, inspected.revision, "RETRY")
        assert state(first.state) == "RETRY"
        for outcome in ("RETRY", "MANUAL_REVIEW"):
            assert (await decide(b, incident, inspected.revision, outcome)).decision == first.decision


@pytest.mark.parametrize("mutant", [False, True])
async def test_24_a_decision_on_another_revision_is_refused(
    etcd: Store, monkeypatch: pytest.MonkeyPatch, mutant: bool
) -> None:
    if mutant:
        real = deciding.decide
        monkeypatch.setattr(
            deciding, "decide", lambda k, i, s, *, revision, **more: real(k, i, s, revision=s.mod, **more)
        )
    async with two(etcd) as (a, _):
        incident = await suspect(a, await held(a))
        early = (await read(a, incident)).revision
        await quarantine(a, incident)
        if not mutant:
            with pytest.raises(errors.InvalidField, match="revision"):
                await decide(a, incident, early, "AVAILABLE")
        await inspect(a, incident)
        deciding_now = decide(a, incident, early, "AVAILABLE")
        if mutant:
            # On evidence that it has not seen.
            assert state((await deciding_now).state) == "AVAILABLE"
            return
        with pytest.raises(errors.InvalidField, match="revision"):
            await deciding_now
        assert state((await read(a, incident)).incident.state) == "INSPECTED"


# --- 25 and 11: a person's verdict --------------------------------------------------------------


@pytest.mark.parametrize("proof", ["none", "attestation", "late acknowledgement"])
async def test_11_nothing_unacknowledged_is_freed_without_proof_that_the_old_browser_is_gone(
    etcd: Store, proof: str
) -> None:
    async with two(etcd) as (a, b):
        shown = await reviewed(a, await held(a), acknowledged=False)
        if proof == "none":
            with pytest.raises(errors.InvalidField) as refused:
                await resolve(b, shown.name, shown.etag, "AVAILABLE")
            assert refused.value.field == "attest_destroyed"
            assert (await read(a, shown.name)).incident == shown
            return
        if proof == "late acknowledgement":
            await quarantine(a, shown.name)
        over = await resolve(b, shown.name, shown.etag, "AVAILABLE", attest=proof == "attestation")
        assert state(over.state) == "AVAILABLE"


async def test_11_mutant_frees_what_a_frozen_host_may_still_drive(
    etcd: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = judging.decide
    monkeypatch.setattr(
        judging, "decide", lambda k, i, s, *, attested, **more: real(k, i, s, attested=True, **more)
    )
    async with two(etcd) as (a, b):
        shown = await reviewed(a, await held(a), acknowledged=False)
        assert state((await resolve(b, shown.name, shown.etag, "AVAILABLE")).state) == "AVAILABLE"


async def two_judge_at_once(a: Running, b: Running) -> Any:
    shown = await reviewed(a, await held(a))
    late = b.wire.stop_next(writes(b"/v/"))
    second = await stopped(late, resolve(b, shown.name, shown.etag, "DISABLED"))
    await resolve(a, shown.name, shown.etag, "AVAILABLE")
    hold = await held(a)
    late.opened.set()
    return hold, await second


async def test_25_of_two_verdicts_at_once_one_counts_and_the_other_is_told(etcd: Store) -> None:
    async with two(etcd) as (a, b):
        with pytest.raises(errors.InvalidField) as refused:
            await two_judge_at_once(a, b)
        assert refused.value.field == "etag"
        assert current(a, "alice") is State.HELD


async def test_25_mutant_lets_both_count(etcd: Store) -> None:
    async with two(etcd, without_compares(b"/p/", b"/v/", only=writes(b"/v/"))) as (a, b):
        hold, _ = await two_judge_at_once(a, b)
        with pytest.raises(errors.TokenSuperseded):
            await a.verify(hold)


async def test_25_the_same_verdict_again_answers_the_incident(etcd: Store) -> None:
    async with two(etcd) as (a, b):
        shown = await reviewed(a, await held(a))
        a.wire.lose_next_reply(writes(b"/v/"))
        over = await resolve(a, shown.name, shown.etag, "RETRY")
        assert await resolve(b, shown.name, shown.etag, "RETRY") == over
        await held(a)
        assert (await resolve(b, shown.name, shown.etag, "RETRY")).verdict == over.verdict
        with pytest.raises(errors.InvalidField):
            await resolve(b, shown.name, shown.etag, "DISABLED")


@pytest.mark.parametrize("mutant", [False, True])
async def test_25_a_verdict_on_what_has_changed_since_is_refused(
    etcd: Store, monkeypatch: pytest.MonkeyPatch, mutant: bool
) -> None:
    if mutant:
        real = judging.decide
        monkeypatch.setattr(
            judging, "decide", lambda k, i, s, *, revision, **more: real(k, i, s, revision=s.mod, **more)
        )
    async with two(etcd) as (a, _):
        shown = await reviewed(a, await held(a, workflow_id="shop"))
        await resolve(a, shown.name, shown.etag, "RESUME_PENDING", resume_s=0.05)
        await a.until_state(PROFILE, State.MANUAL_REVIEW)
        judging_now = resolve(a, shown.name, shown.etag, "AVAILABLE")
        if mutant:
            # By somebody who has not heard that the workflow did not come.
            assert state((await judging_now).state) == "AVAILABLE"
            return
        with pytest.raises(errors.InvalidField):
            await judging_now
        now = (await read(a, shown.name)).incident
        assert now.etag != shown.etag
        assert state((await resolve(a, shown.name, now.etag, "AVAILABLE")).state) == "AVAILABLE"


# --- 5, its end: the workflow does not come -----------------------------------------------------


async def decided_to_resume(a: Running, resume_s: float) -> str:
    incident = await suspect(a, await held(a, workflow_id="shop"))
    await quarantine(a, incident)
    inspected = await inspect(a, incident)
    await decide(a, incident, inspected.revision, "RESUME_PENDING", resume_s=resume_s)
    return incident


async def test_5_a_workflow_that_does_not_come_in_time_is_a_persons_to_decide(etcd: Store) -> None:
    async with two(etcd) as (a, _):
        incident = await decided_to_resume(a, resume_s=0.05)
        await a.until_state(PROFILE, State.MANUAL_REVIEW)
        found = (await read(a, incident)).incident
        assert found.open
        assert found.decision.outcome == Outcome.OUTCOME_RESUME_PENDING, "what was decided stays"
        with pytest.raises(errors.ProfileInReview) as told:
            await held(a, workflow_id="shop")
        assert told.value.incident == incident
        for number in (1, 2):
            etag = (await read(a, incident)).incident.etag
            await resolve(a, incident, etag, "RESUME_PENDING", resume_s=0.05)
            await a.until_state(PROFILE, State.MANUAL_REVIEW)
            key = a.replica.keys.verdict(PROFILE, int(incident.rpartition("/")[2]), number)
            assert await a.replica.etcd.kv.get(key, 5.0) is not None
        etag = (await read(a, incident)).incident.etag
        assert state((await resolve(a, incident, etag, "AVAILABLE")).state) == "AVAILABLE"


async def test_5_mutant_without_anybody_watching_waits_for_ever(
    etcd: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody_watches(monkeypatch)
    async with two(etcd) as (a, _):
        await decided_to_resume(a, resume_s=0.05)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(a.until_state(PROFILE, State.MANUAL_REVIEW), 2.5)
        with pytest.raises(errors.ResumePending):
            await held(a, workflow_id="shop")


@pytest.mark.parametrize("mutant", [False, True])
async def test_5_the_end_of_a_resumption_comes_too_late_for_one_that_was_claimed(
    etcd: Store, monkeypatch: pytest.MonkeyPatch, mutant: bool
) -> None:
    nobody_watches(monkeypatch)

    def ends(request: Any) -> bool:
        return writes(b"/p/")(request) and any(
            b'"MANUAL_REVIEW"' in op.request_put.value for op in request.success
        )

    async with two(etcd, without_compares(b"/p/", only=ends) if mutant else None) as (a, b):
        await decided_to_resume(a, resume_s=60)
        late = b.wire.stop_next(ends)
        deadline = asyncio.get_running_loop().time() + 10
        # By a clock that is far ahead.
        ending = await stopped(late, b.replica.suspects.unclaimed(PROFILE, 2**42, deadline))
        hold = await held(a, workflow_id="shop")
        late.opened.set()
        assert await ending is mutant
        if mutant:
            with pytest.raises(errors.TokenSuperseded):
                await a.verify(hold)
        else:
            await a.verify(hold)


# --- the outcomes ---------------------------------------------------------------------------------


async def test_a_decision_brings_the_profile_to_its_outcome(etcd: Store) -> None:
    async with two(etcd) as (a, _):
        assert await decided(a, await held(a), "AVAILABLE")
        hold = await held(a)
        assert (hold.attempt, hold.origin) == (1, 1)
        touched = Evidence(directory=CLEAN, account_touched=True, browser_opened=True)
        await decided(a, hold, "RETRY", touched)
        hold = await held(a)
        assert (hold.attempt, hold.origin) == (2, 3)
        await decided(a, hold, "RETRY")
        hold = await held(a, workflow_id="shop")
        assert (hold.attempt, hold.origin) == (2, 3), "an untouched account is no attempt"
        await decided(a, hold, "RESUME_PENDING")
        hold = await held(a, workflow_id="shop")
        assert hold.origin == 2
        await a.release(hold)
        assert (await held(a)).attempt == 1
