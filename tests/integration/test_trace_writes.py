"""What happens without rules 6, 9 and 14 at the lock service: PROTOCOL's traces 7, 8 and 13, with mutants."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from lockservice.core import release as releasing
from lockservice.core import steps
from lockservice.core import verify as verifying
from lockservice.etcd.txn import KeyRange, Op
from lockservice.etcd.wire_format import sized
from tenure import errors
from tenure.etcdwire.v1 import etcdwire_pb2 as wire
from tenure.internal.v1 import lock_service_pb2 as lock_pb
from tenure.v1.hold_pb2 import Hold, ProfileState, Step
from tenure.v1.hold_service_pb2 import FinishStepRequest, ReleaseHoldRequest, StartStepRequest
from tests.fixtures.etcd import Store
from tests.lockservice.incidents import HOST, for_session, of, read, suspect
from tests.lockservice.replicas import Mutation, Running, running, without_compares, writes

# A violation that was seen once stands.
pytestmark = pytest.mark.flaky(reruns=0)


@asynccontextmanager
async def two(etcd: Store, mutation: Mutation | None = None) -> AsyncIterator[tuple[Running, Running]]:
    async with (
        running(etcd.endpoints, etcd.prefix, mutation=mutation) as a,
        running(etcd.endpoints, etcd.prefix, mutation=mutation) as b,
    ):
        yield a, b


# --- 7: two hosts both verify one token ------------------------------------------------------


async def asked_by_two_hosts(a: Running, b: Running) -> list[str]:
    hold = await for_session(a, "alice", await a.worker())
    query = lock_pb.TokenQuery(profile=hold.profile, fencing_token=hold.fencing_token)
    answers = []
    for here, host in ((a, HOST), (b, "hosts/h2")):
        request = lock_pb.VerifyTokensRequest(host=host, queries=[query])
        answers += (await here.call(here.lock.VerifyTokens, request)).verdicts
    return [answer.reason or "current" for answer in answers]


async def test_7_a_token_is_current_for_its_home_alone(etcd: Store) -> None:
    async with two(etcd) as (a, b):
        assert await asked_by_two_hosts(a, b) == ["current", "WRONG_HOME"]


async def test_7_mutant_that_does_not_ask_for_the_home_lets_two_hosts_start_chrome(
    etcd: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = verifying.why_not
    monkeypatch.setattr(
        verifying, "why_not", lambda profile, s, token, _: real(profile, s, token, s.record.home)
    )
    async with two(etcd) as (a, b):
        assert await asked_by_two_hosts(a, b) == ["current", "current"]


async def test_7_a_home_stays_once_it_is_set(etcd: Store) -> None:
    async with two(etcd) as (a, b):
        hold = await for_session(a, "alice", await a.worker())
        drained = lock_pb.ReleaseDrainedRequest(
            release=ReleaseHoldRequest(profile=hold.profile, fencing_token=hold.fencing_token)
        )
        await a.call(a.lock.ReleaseDrained, drained)
        assert (await for_session(b, "alice", await b.worker(), "hosts/h2")).home == HOST


# --- 8: released at the lock service, still served by the host until its deadline ---------


async def host_with_a_proof(a: Running) -> Hold:
    """A session whose host verified the token just now: it serves it for seconds without asking again."""
    hold = await for_session(a, "alice", await a.worker())
    query = lock_pb.TokenQuery(profile=hold.profile, fencing_token=hold.fencing_token)
    answer = await a.call(a.lock.VerifyTokens, lock_pb.VerifyTokensRequest(host=HOST, queries=[query]))
    assert answer.verdicts[0].current
    return hold


async def test_8_a_profile_with_a_home_is_released_only_through_it(etcd: Store) -> None:
    async with two(etcd) as (a, b):
        hold = await host_with_a_proof(a)
        for here in (a, b):
            with pytest.raises(errors.DrainRequired) as refused:
                await here.release(hold)
            assert (refused.value.home, refused.value.token) == (HOST, hold.fencing_token)
            with pytest.raises(errors.DrainRequired):
                await here.cancel("alice", hold.worker, hold.request_id)
        with pytest.raises(errors.ProfileBusy):
            await for_session(b, "alice", await b.worker())
        request = ReleaseHoldRequest(profile=hold.profile, fencing_token=hold.fencing_token)
        drained = lock_pb.ReleaseDrainedRequest(release=request)
        released = (await b.call(b.lock.ReleaseDrained, drained)).release
        assert released.state == ProfileState.PROFILE_STATE_AVAILABLE


async def test_8_mutant_grants_the_profile_while_the_host_still_has_its_proof(
    etcd: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(releasing, "_undrained", lambda *_: None)
    async with two(etcd) as (a, b):
        hold = await host_with_a_proof(a)
        await a.release(hold)
        later = await for_session(b, "alice", await b.worker())
        assert later.fencing_token > hold.fencing_token


# --- 13: a late write of step 1 hides "checkout" --------------------------------------------


async def start(a: Running, hold: Hold, name: str, seq: int = 0, *, sensitive: bool = False) -> Step:
    request = StartStepRequest(
        profile=hold.profile, fencing_token=hold.fencing_token, name=name, seq=seq, sensitive=sensitive
    )
    started: Step = (await a.call(a.holds.StartStep, request)).step
    return started


async def late_step_one(a: Running, b: Running) -> Hold:
    """Step 1's first copy arrives after the checkout began; then the worker declares one more step."""
    hold = await a.acquire("alice", await a.worker())
    late = b.wire.stop_next(writes(b"/e/"))
    first = asyncio.create_task(start(b, hold, "cart", seq=1))
    await late.arrived.wait()
    await start(a, hold, "cart", seq=1)
    await start(a, hold, "checkout", sensitive=True)
    late.opened.set()
    assert (await first).name == "cart"
    await start(a, hold, "look around")
    return hold


async def shown(a: Running, hold: Hold) -> list[tuple[str, bool]]:
    """The steps as an incident shows them."""
    found = await read(a, await suspect(a, hold))
    return [(stored.step.name, stored.step.sensitive) for stored in found.steps]


async def test_13_a_late_step_one_hides_nothing(etcd: Store) -> None:
    async with two(etcd) as (a, b):
        hold = await late_step_one(a, b)
        assert await shown(a, hold) == [("cart", False), ("checkout", True), ("look around", False)]


async def test_13_mutant_that_takes_the_last_write_for_the_last_step_loses_the_checkout(
    etcd: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def last_written(keys: KeyRange) -> Op:
        request = wire.RangeRequest(key=keys.start, range_end=keys.end, limit=1)
        request.sort_order = wire.RangeRequest.SORT_ORDER_DESCEND
        request.sort_target = wire.RangeRequest.SORT_TARGET_MOD
        read = wire.RequestOp(request_range=request)
        return Op(sized(read.SerializeToString()))

    monkeypatch.setattr(steps, "last_by_key", last_written)
    async with two(etcd, without_compares(b"/e/")) as (a, b):
        hold = await late_step_one(a, b)
        assert ("checkout", True) not in await shown(a, hold)


async def test_13_an_owner_writes_nothing_once_its_hold_is_an_incident(etcd: Store) -> None:
    async with two(etcd) as (a, b):
        hold = await a.acquire("alice", await a.worker())
        await start(a, hold, "cart")
        late = a.wire.stop_next(writes(b"/e/"))
        starting = asyncio.create_task(start(a, hold, "checkout", sensitive=True))
        await late.arrived.wait()
        await suspect(b, hold)
        late.opened.set()
        with pytest.raises(errors.TokenSuperseded):
            await starting
        finish = FinishStepRequest(profile=hold.profile, fencing_token=hold.fencing_token, seq=1)
        with pytest.raises(errors.TokenSuperseded):
            await b.call(b.holds.FinishStep, finish)
        (stored,) = (await read(b, of(hold))).steps
        assert (stored.step.name, stored.finish_revision) == ("cart", 0)
