"""Settling many decisions in one call, on a real etcd."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from lockservice.batcher import MOST
from lockservice.committer import Case
from lockservice.core import acquire, release
from lockservice.core.acquire import Queued
from lockservice.core.hold import Hold
from lockservice.core.release import Ending, Released
from lockservice.core.snapshot import Sight
from lockservice.core.stored import Ask
from lockservice.etcd.errors import NotSent
from lockservice.etcd.txn import Txn, put, txn
from lockservice.granter import now_ms
from tenure import errors, request_id
from tenure.etcdwire.v1 import etcdwire_pb2 as wire
from tenure.names import ProfileName
from tenure.v1.worker_service_pb2 import EndWorkerRequest
from tests.fixtures.etcd import Store
from tests.lockservice.replicas import Running, running, writes


@pytest.fixture
async def a(etcd: Store) -> AsyncIterator[Running]:
    async with running(etcd.endpoints, etcd.prefix) as replica:
        yield replica


def profile(i: int) -> ProfileName:
    return ProfileName("default", f"p{i:04d}")


def acquiring(a: Running, i: int, worker: str, number: str = "") -> Case[Hold | Queued]:
    keys, number = a.replica.keys, number or request_id.mint()
    worker = worker.removeprefix("workers/")
    ask = Ask(request_id=number, worker=worker, run_id=number, as_sent="", max_runtime_ms=3_600_000)
    return Case(
        Sight(keys=keys, profile=profile(i), worker=worker, request_id=number),
        lambda seen: acquire.decide(
            keys, profile(i), seen, ask, tenant="default", waits=False, lease_keys=0, now_ms=now_ms()
        ),
    )


def releasing(a: Running, hold: Hold) -> Case[Released]:
    keys, ending = a.replica.keys, Ending(token=hold.token)
    return Case(
        Sight(keys=keys, profile=hold.profile, token=hold.token),
        lambda seen: release.decide(keys, hold.profile, seen, ending, now_ms()),
    )


def soon() -> float:
    return asyncio.get_running_loop().time() + 60


async def holds(a: Running, count: int, worker: str) -> list[Hold]:
    settled = await a.replica.committer.settle_many([acquiring(a, i, worker) for i in range(count)], soon())
    found = [outcome for outcome in settled if isinstance(outcome, Hold)]
    assert len(found) == count
    return found


class Counted:
    """Of the Txns that were sent, how many transitions each had."""

    def __init__(self, a: Running) -> None:
        self.sizes: list[int] = []
        a.replica.committer.batcher.observe = self

    def batch(self, size: int, seconds: float, outcome: str) -> None:
        assert outcome == "answered"
        self.sizes.append(size)


async def test_many_are_settled_in_few_txns_and_answered_in_order(a: Running) -> None:
    worker = await a.worker()
    counted = Counted(a)
    held = await holds(a, 200, worker)
    assert [hold.profile for hold in held] == [profile(i) for i in range(200)]
    assert len(counted.sizes) <= 6
    found = await a.replica.committer.settle_many([releasing(a, hold) for hold in held], soon())
    assert all(isinstance(each, Released) and not each.already for each in found)
    assert sum(counted.sizes) == 400, "the mirror knew what was granted here a moment ago"


async def test_nothing_to_settle_is_settled(a: Running) -> None:
    assert await a.replica.committer.settle_many([], soon()) == []


async def test_each_has_its_own_answer_or_its_own_error(a: Running) -> None:
    worker, other = await a.worker(), await a.worker()
    theirs = await a.acquire(profile(3).profile, other)
    cases = [acquiring(a, i, worker) for i in range(6)]
    settled = await a.replica.committer.settle_many(cases, soon())
    assert [type(each) for each in settled] == [Hold, Hold, Hold, errors.ProfileBusy, Hold, Hold]
    assert (await a.verify(theirs)).fencing_token == theirs.fencing_token


async def test_those_whose_guess_was_wrong_try_again(a: Running, etcd: Store) -> None:
    async with running(etcd.endpoints, etcd.prefix) as b:
        worker = await a.worker()
        held = await holds(a, 8, worker)
        # What the other replica does is not heard of here: every guess is wrong.
        a.replica.mirror.apply = lambda events: []  # type: ignore[method-assign]
        for hold in held[:4]:
            await b.replica.committer.settle_many([releasing(b, hold)], soon())
        again = await a.replica.committer.settle_many([releasing(a, hold) for hold in held], soon())
        assert [each.already for each in again if isinstance(each, Released)] == [True] * 4 + [False] * 4


async def test_an_unreadable_profile_fails_alone(a: Running) -> None:
    worker = await a.worker()
    newer = put(a.replica.keys.record(profile(1)), b'{"v":999,"state":"AVAILABLE"}')
    await a.replica.etcd.kv.txn(txn([], [newer]), 30.0)
    settled = await a.replica.committer.settle_many([acquiring(a, i, worker) for i in range(3)], soon())
    assert [type(each) for each in settled] == [Hold, errors.Internal, Hold]


async def test_a_lost_reply_still_gives_each_its_hold(a: Running) -> None:
    worker = await a.worker()
    gate = a.wire.lose_next_reply(writes(b"/p/"))
    held = await holds(a, 10, worker)
    assert gate.arrived.is_set()
    for hold in held:
        found = await a.replica.etcd.kv.get(a.replica.keys.record(hold.profile), 30.0)
        assert found is not None
        assert found.version == 1, "granted once"
        assert found.mod_revision == hold.token & ((1 << 43) - 1)


@pytest.mark.parametrize("together", [False, True], ids=["alone", "together"])
async def test_nothing_was_changed_is_not_told_of_a_write_whose_reply_was_lost(
    a: Running, together: bool
) -> None:
    worker = await a.worker()
    gate, send = a.wire.lose_next_reply(writes(b"/p/")), a.wire.txn

    async def only_writes(request: Txn, timeout: float) -> wire.TxnResponse:
        if gate.arrived.is_set() and not writes(b"/p/")(request.message()):
            raise NotSent("nobody is there")
        return await send(request, timeout)

    a.wire.txn = only_writes  # type: ignore[method-assign]
    case, end = acquiring(a, 0, worker), asyncio.get_running_loop().time() + 1
    with pytest.raises(errors.OutcomeUnknown):
        if together:
            [answer] = await a.replica.committer.settle_many([case], end)
            assert isinstance(answer, errors.TenureError)
            raise answer
        await a.replica.committer.settle(case.sight, case.decide, end)


async def test_a_dead_holder_that_the_mirror_never_heard_of_is_looked_at(a: Running, etcd: Store) -> None:
    async with running(etcd.endpoints, etcd.prefix) as b:
        for replica in (a, b):
            replica.watches_nobody()
        [first] = await holds(a, 1, await a.worker())
        # What the other replica does is not heard of here.
        a.replica.mirror.apply = lambda events: []  # type: ignore[method-assign]
        [_] = await b.replica.committer.settle_many([releasing(b, first)], soon())
        worker = await b.worker()
        [second] = await holds(b, 1, worker)
        await b.call(b.workers.EndWorker, EndWorkerRequest(worker=worker))
        sent = a.wire.sent
        [answer] = await a.replica.committer.settle_many(
            [releasing(a, second)], asyncio.get_running_loop().time() + 3
        )
        assert isinstance(answer, errors.LeaseExpired)
        assert a.wire.sent <= sent + 2


async def test_at_the_deadline_each_hears_what_is_known_of_its_own(a: Running) -> None:
    worker = await a.worker()
    gates = [a.wire.stop_next(writes(b"/p/")) for _ in range(MOST)]
    deadline = asyncio.get_running_loop().time() + 2
    cases = [acquiring(a, i, worker) for i in range(1000)]
    settled = await a.replica.committer.settle_many(cases, deadline)
    kinds = [type(each) for each in settled]
    assert kinds.count(errors.OutcomeUnknown) == sum(gate.arrived.is_set() for gate in gates) * 64
    assert kinds.count(errors.OutcomeUnknown) + kinds.count(errors.StoreUnavailable) == 1000
    for gate in gates:
        gate.opened.set()


async def test_what_a_cancelled_call_has_not_sent_is_not_sent(a: Running) -> None:
    worker = await a.worker()
    gates = [a.wire.stop_next(writes(b"/p/")) for _ in range(MOST)]
    many = asyncio.create_task(
        a.replica.committer.settle_many([acquiring(a, i, worker) for i in range(1000)], soon())
    )
    for gate in gates:
        await gate.arrived.wait()
    many.cancel()
    with pytest.raises(asyncio.CancelledError):
        await many
    for gate in gates:
        gate.opened.set()
    sent = a.wire.sent
    await a.acquire("later", worker)
    assert a.wire.sent == sent + 1


async def test_the_loop_serves_others_between_the_batches_of_one_call(a: Running) -> None:
    worker = await a.worker()
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    task = asyncio.create_task(others())
    await holds(a, 320, worker)
    task.cancel()
    assert turns >= 5
