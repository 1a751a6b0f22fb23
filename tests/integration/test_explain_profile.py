"""ExplainProfile tells what etcd knows, at one replica on a real etcd. What it says of each state has a test
of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from lockservice.core.document import encode
from lockservice.core.record import State
from lockservice.core.stored import Decided
from lockservice.etcd.txn import put, txn
from tenure import errors
from tenure.internal.v1 import lock_service_pb2 as lock_pb
from tenure.names import ProfileName
from tenure.v1 import hold_service_pb2, profile_service_pb2
from tenure.v1.hold_pb2 import Hold, ProfileState
from tenure.v1.host_pb2 import Host
from tenure.v1.incident_pb2 import DirectoryFinding, Evidence
from tests.fixtures.etcd import Store
from tests.lockservice.incidents import for_session
from tests.lockservice.replicas import Running, overwrite, running

ALICE = "alice:linkedin"
PROFILE = ProfileName("default", "alice_linkedin")


@pytest.fixture
async def a(etcd: Store) -> AsyncIterator[Running]:
    # Without a sweep nothing happens to an incident that the test does not do.
    async with running(etcd.endpoints, etcd.prefix, sweep_s=3600) as replica:
        replica.roles = ("worker", "admin")
        yield replica


async def explain(a: Running, profile: str = ALICE) -> profile_service_pb2.ExplainProfileResponse:
    request = profile_service_pb2.ExplainProfileRequest(profile=profile)
    answer: profile_service_pb2.ExplainProfileResponse = await a.call(a.profiles.ExplainProfile, request)
    return answer


async def step(a: Running, hold: Hold, name: str, *, sensitive: bool) -> int:
    started = await a.call(
        a.holds.StartStep,
        hold_service_pb2.StartStepRequest(
            profile=hold.profile, fencing_token=hold.fencing_token, name=name, sensitive=sensitive
        ),
    )
    return int(started.step.seq)


async def revoked(a: Running, hold: Hold) -> None:
    request = hold_service_pb2.RevokeHoldRequest(
        profile=hold.profile, fencing_token=hold.fencing_token, reason="it spins"
    )
    await a.call(a.holds.RevokeHold, request)


async def test_the_last_move_of_a_profile_is_told_in_the_same_look(a: Running) -> None:
    for name in ("h1", "h2"):
        host = Host(name=f"hosts/{name}", address="127.0.0.1:1", boot_id="b", capacity=1)
        await a.call(a.lock.RegisterHost, lock_pb.RegisterHostRequest(host=host))
    hold = await for_session(a, ALICE, await a.worker(), "hosts/h1")
    drained = lock_pb.ReleaseDrainedRequest(
        release=hold_service_pb2.ReleaseHoldRequest(profile=hold.profile, fencing_token=hold.fencing_token)
    )
    await a.call(a.lock.ReleaseDrained, drained)
    assert not (await explain(a)).HasField("last_move")
    for to, reason in (("hosts/h2", "a fan is loud"), ("hosts/h1", "it is quiet again")):
        revision = int((await explain(a)).profile.etag)
        move = lock_pb.MoveHomeRequest(profile=hold.profile, revision=revision, to=to, reason=reason)
        await a.call(a.lock.MoveHome, move)
    await a.until_home(PROFILE, "hosts/h1")
    sent = a.wire.sent
    told = (await explain(a)).last_move
    assert a.wire.sent == sent + 1
    assert (told.from_home, told.to_home, told.by) == ("hosts/h2", "hosts/h1", "tests")
    assert (told.reason, told.attested_destroyed) == ("it is quiet again", False)
    assert told.move_time.seconds > 0


async def test_a_held_profile_shows_its_worker_its_step_and_its_queue(a: Running) -> None:
    hold = await a.acquire(ALICE, await a.worker(), run_id="nightly-7")
    first = await step(a, hold, "fill the cart", sensitive=False)
    await a.call(
        a.holds.FinishStep,
        hold_service_pb2.FinishStepRequest(profile=hold.profile, fencing_token=hold.fencing_token, seq=first),
    )
    assert not (await explain(a)).HasField("step")
    await step(a, hold, "checkout", sensitive=True)
    waiting = asyncio.create_task(a.acquire(ALICE, await a.worker(), wait=15, run_id="second"))
    await a.until_queued(1)
    told = await explain(a)
    assert told.profile.state == ProfileState.PROFILE_STATE_HELD
    assert (told.hold.run_id, told.hold.fencing_token) == ("nightly-7", hold.fencing_token)
    assert told.worker_alive
    assert told.hold.lease_remaining.seconds > 50
    assert (told.step.seq, told.step.name, told.step.sensitive) == (2, "checkout", True)
    assert [(each.position, each.run_id) for each in told.queue] == [(1, "second")]
    assert told.next_time == hold.run_deadline
    await a.release(hold)
    await a.release(await waiting)
    free = await explain(a)
    assert free.profile.state == ProfileState.PROFILE_STATE_AVAILABLE
    assert not free.HasField("hold")


async def test_an_incident_shows_whose_hold_ended_where_and_why(a: Running) -> None:
    hold = await a.acquire(ALICE, await a.worker(), run_id="nightly-7")
    await step(a, hold, "checkout", sensitive=True)
    await revoked(a, hold)
    told = await explain(a)
    assert told.profile.state == ProfileState.PROFILE_STATE_SUSPECTED_STALE
    assert (told.hold.run_id, told.hold.fencing_token) == ("nightly-7", hold.fencing_token)
    assert told.worker_alive
    assert told.step.name == "checkout"
    assert told.cause == (
        "Run nightly-7 lost its hold at step checkout: an operator revoked it (tests revoked it: it spins)."
    )
    assert told.HasField("next_time")


async def test_a_review_knows_the_decision_and_the_damage(a: Running) -> None:
    hold = await a.acquire(ALICE, await a.worker())
    await revoked(a, hold)
    keys, kv = a.replica.keys, a.replica.etcd.kv
    decided = Decided(outcome="MANUAL_REVIEW", reason="The directory is damaged", decide_ms=1)
    evidence = Evidence(directory=DirectoryFinding.DIRECTORY_FINDING_CORRUPT)
    ops = [
        put(keys.decision(PROFILE, hold.fencing_token), encode(decided)),
        put(keys.inspected(PROFILE, hold.fencing_token), evidence.SerializeToString()),
    ]
    await kv.txn(txn([], ops), 5.0)
    await overwrite(a, PROFILE, state=State.MANUAL_REVIEW, acknowledged=False)
    told = await explain(a)
    assert told.cause.endswith("Recovery decided MANUAL_REVIEW: The directory is damaged.")
    assert "OUTCOME_DISABLED" in told.advice[-1].command
    assert "attestDestroyed" in told.advice[-1].command
    assert f'"etag": "{told.profile.etag}"' in told.advice[-1].command
    await kv.txn(txn([], [put(keys.acknowledged(PROFILE, hold.fencing_token), b"{}")]), 5.0)
    assert "attestDestroyed" not in (await explain(a)).advice[-1].command


async def test_a_profile_that_nobody_had_is_not_found(a: Running) -> None:
    with pytest.raises(errors.NotFound):
        await explain(a)


async def test_another_tenants_profile_is_not_explained(a: Running) -> None:
    await a.acquire(ALICE, await a.worker())
    a.tenant = "other"
    with pytest.raises(errors.PermissionDenied):
        await explain(a, "tenants/default/profiles/alice_linkedin")
