"""Group commit on a real etcd: everybody hears exactly what became of their own Txn."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field

import pytest

from lockservice import batcher
from lockservice.batcher import Batcher
from lockservice.core.gathering import MAX_MEMBERS
from lockservice.etcd.client import Etcd
from lockservice.etcd.errors import ClusterChanged, NotSent, OutcomeUnknown
from lockservice.etcd.txn import Txn, absent, empty, get, mod_is, prefix, put, txn
from lockservice.etcd.watch import Changes, Resumed
from lockservice.party import Request
from tenure import errors
from tenure.etcdwire.v1 import etcdwire_pb2 as wire
from tenure.names import ProfileName
from tests.fixtures.etcd import Store
from tests.lockservice.replicas import members

GONE_LEASE = 4711
Fault = Callable[[Callable[[], Awaitable[wire.TxnResponse]]], Awaitable[wire.TxnResponse]]


@dataclass
class Line:
    """A batcher with one batch in flight, and all that it sends. Held, whatever is sent waits."""

    etcd: Etcd
    root: bytes
    sent: list[Txn] = field(default_factory=list)
    applied: list[tuple[int, int]] = field(default_factory=list)
    observed: list[tuple[int, str]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.moving = asyncio.Event()
        self.moving.set()
        self.stirred = asyncio.Condition()
        self.batcher = Batcher(self._send, self._applied, in_flight=1)
        self.batcher.observe = self
        self._fillers: list[asyncio.Task[object]] = []

    def key(self, name: str) -> bytes:
        return self.root + name.encode()

    def create(self, name: str, value: bytes = b"1", lease: int = 0) -> Txn:
        key = self.key(name)
        return txn([absent(key)], [put(key, value, lease)], [get(key)])

    def go(self, request: Txn, profile: str = "", deadline_s: float = 60.0) -> asyncio.Task[wire.TxnResponse]:
        name = ProfileName("t", profile) if profile else None
        end = asyncio.get_running_loop().time() + deadline_s
        return asyncio.create_task(self.batcher.one(Request(request, name), end))

    async def busy(self) -> None:
        """Return when something is under way, held: whatever is asked for from now on gathers."""
        self.moving.clear()
        count = len(self.sent)
        self._fillers.append(self.go(self.create(f"filler{count}")))
        await self.until_sent(count + 1)

    async def until_sent(self, count: int) -> None:
        async with self.stirred:
            await self.stirred.wait_for(lambda: len(self.sent) >= count)

    async def versions(self) -> dict[str, int]:
        """How often each key was written."""
        found = await self.etcd.kv.read(prefix(self.root), 30.0)
        names = {kv.key.removeprefix(self.root).decode(): kv.version for kv in found.kvs}
        return {name: version for name, version in names.items() if "filler" not in name}

    def batch(self, size: int, seconds: float, outcome: str) -> None:
        assert seconds >= 0
        self.observed.append((size, outcome))

    async def _send(self, request: Txn, timeout: float) -> wire.TxnResponse:
        self.sent.append(request)
        async with self.stirred:
            self.stirred.notify_all()
        await self.moving.wait()
        fault = self.faults.pop(0) if self.faults else _none
        return await fault(lambda: self.etcd.kv.txn(request, timeout))

    def _applied(self, done: Iterable[Txn], revision: int) -> None:
        self.applied.append((len(list(done)), revision))


async def _none(send: Callable[[], Awaitable[wire.TxnResponse]]) -> wire.TxnResponse:
    return await send()


async def reply_lost(send: Callable[[], Awaitable[wire.TxnResponse]]) -> wire.TxnResponse:
    await send()
    raise OutcomeUnknown("the reply was lost")


async def request_lost(send: Callable[[], Awaitable[wire.TxnResponse]]) -> wire.TxnResponse:
    raise OutcomeUnknown("the request was lost")


async def not_sent(send: Callable[[], Awaitable[wire.TxnResponse]]) -> wire.TxnResponse:
    raise NotSent("nobody is there")


async def other_cluster(send: Callable[[], Awaitable[wire.TxnResponse]]) -> wire.TxnResponse:
    raise ClusterChanged(1, 2)


async def answers(tasks: Iterable[asyncio.Task[wire.TxnResponse]]) -> list[bool]:
    return [answer.succeeded for answer in await asyncio.gather(*tasks)]


@pytest.fixture
async def line(etcd: Store) -> AsyncIterator[Line]:
    async with Etcd(etcd.endpoints) as client:
        line = Line(client, etcd.prefix.encode())
        yield line
        line.moving.set()
        await line.batcher.aclose()


async def gathering(
    line: Line, *requests: Txn, profiles: bool = True
) -> list[asyncio.Task[wire.TxnResponse]]:
    """Ask for these while something is under way, then let all move."""
    await line.busy()
    tasks = [line.go(request, f"p{i}" if profiles else "") for i, request in enumerate(requests)]
    await asyncio.sleep(0)
    line.moving.set()
    return tasks


async def test_a_lonely_txn_is_sent_at_once_and_as_it_is(line: Line) -> None:
    request = line.create("a")
    assert (await line.go(request)).succeeded
    assert line.sent == [request]
    assert line.observed == [(1, "answered")]


async def test_what_comes_while_one_is_under_way_goes_together(line: Line) -> None:
    tasks = await gathering(line, *(line.create(f"k{i}") for i in range(10)))
    found = await asyncio.gather(*tasks)
    assert [len(members(request.message())) for request in line.sent] == [1, 10]
    assert {answer.header.revision for answer in found} == {line.applied[-1][1]}
    assert line.observed == [(1, "answered"), (10, "answered")]


async def one_by_one(line: Line, *names: str) -> list[int]:
    """After a crowd ask for each of these a few passes of the loop after the last; the sizes of batches."""
    await asyncio.gather(*await gathering(line, line.create("crowd1"), line.create("crowd2")))
    before = len(line.sent)
    tasks = []
    for name in names:
        tasks.append(line.go(line.create(name), name))
        for _ in range(batcher.QUIET_PASSES - 2):
            await asyncio.sleep(0)
    assert all(await answers(tasks))
    return [len(members(request.message())) for request in line.sent[before:]]


async def test_in_a_crowd_a_batch_waits_for_those_who_are_about_to_come(line: Line) -> None:
    assert await one_by_one(line, "a", "b", "c", "d") == [4]


async def test_a_batch_waits_only_so_long(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batcher, "MOST_HOLD_S", 0.0)
    sizes = await one_by_one(line, "a", "b", "c", "d")
    assert sizes[0] == 1
    assert sum(sizes) == 4


async def test_a_full_batch_waits_for_nobody(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batcher, "MOST_HOLD_S", math.inf)
    monkeypatch.setattr(batcher, "QUIET_PASSES", math.inf)
    await asyncio.gather(*await gathering(line, *(line.create(f"k{i}") for i in range(MAX_MEMBERS))))
    assert [len(members(request.message())) for request in line.sent] == [1, MAX_MEMBERS]


async def test_each_of_a_batch_hears_of_its_own_conditions(line: Line) -> None:
    assert (await line.go(line.create("k3", b"mine"))).succeeded
    tasks = await gathering(line, *(line.create(f"k{i}", b"theirs") for i in range(6)))
    found = await asyncio.gather(*tasks)
    assert [answer.succeeded for answer in found] == [True, True, True, False, True, True]
    assert found[3].responses[0].response_range.kvs[0].value == b"mine"
    assert line.applied[-1][0] == 5, "what was not applied is not told as if it were"
    assert set((await line.versions()).values()) == {1}


def dead_lease(line: Line) -> Txn:
    return line.create("poison", lease=GONE_LEASE)


def too_many_operations(line: Line) -> Txn:
    return txn([], [put(line.key(f"many{i}"), b"") for i in range(200)])


def one_key_twice(line: Line) -> Txn:
    return txn([], [put(line.key("twice"), b"1"), put(line.key("twice"), b"2")])


def too_large(line: Line) -> Txn:
    return line.create("large", b"x" * 1_600_000)


@pytest.mark.parametrize("poison", [dead_lease, too_many_operations, one_key_twice, too_large])
async def test_one_that_etcd_refuses_fails_alone(line: Line, poison: Callable[[Line], Txn]) -> None:
    good = [line.create(f"k{i}") for i in range(12)]
    tasks = await gathering(line, *good[:5], poison(line), *good[5:])
    with pytest.raises((errors.Internal, errors.StoreUnavailable)):
        await tasks.pop(5)
    assert all(await answers(tasks))
    assert await line.versions() == {f"k{i}": 1 for i in range(12)}


async def test_look_ups_of_very_much_are_not_refused_for_what_goes_beside_them(line: Line) -> None:
    large = txn([], [get(line.key(f"r{i}")) for i in range(127)])
    creates = [line.create(f"k{i}") for i in range(80)]
    tasks = await gathering(line, *creates[:40], large, *creates[40:], large, profiles=False)
    assert all(await answers(tasks))
    assert {outcome for _, outcome in line.observed} == {"answered"}
    assert await line.versions() == {f"k{i}": 1 for i in range(80)}


async def test_a_lost_reply_to_a_batch_applies_nothing_twice(line: Line) -> None:
    await line.go(line.create("k1"))
    line.faults = [_none, reply_lost]
    tasks = await gathering(line, *(line.create(f"k{i}") for i in range(4)))
    # Each was sent again as it was, and found what the first copy had done.
    assert await answers(tasks) == [False] * 4
    assert await line.versions() == {f"k{i}": 1 for i in range(4)}
    assert (4, "unclear") in line.observed


async def test_sent_again_without_its_conditions_it_applies_twice(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unguarded(request: Request) -> bool:
        if request.unclear:
            request.txn = txn([], request.txn.success)
        return True

    # The mutant: what was unclear is not sent again as it was.
    monkeypatch.setattr(Request, "wanted", property(unguarded))
    line.faults = [_none, reply_lost]
    assert await answers(await gathering(line, *(line.create(f"k{i}") for i in range(4)))) == [True] * 4
    assert set((await line.versions()).values()) == {2}, "applied twice"


async def test_a_lost_request_is_sent_again_for_everybody(line: Line) -> None:
    line.faults = [_none, request_lost, request_lost]
    tasks = await gathering(line, *(line.create(f"k{i}") for i in range(4)))
    assert await answers(tasks) == [True] * 4
    assert await line.versions() == {f"k{i}": 1 for i in range(4)}


async def test_what_was_not_sent_stays_together(line: Line) -> None:
    line.faults = [_none, not_sent, not_sent]
    tasks = await gathering(line, *(line.create(f"k{i}") for i in range(4)))
    assert await answers(tasks) == [True] * 4
    assert line.observed[1:] == [(4, "not_sent"), (4, "not_sent"), (4, "answered")]


async def test_another_cluster_is_told_to_all_at_once(line: Line) -> None:
    # It may have been applied there: only its answer says which store it was.
    line.faults = [_none, other_cluster]
    for task in await gathering(line, line.create("a"), line.create("b")):
        with pytest.raises(errors.OutcomeUnknown):
            await task


async def test_one_callers_deadline_does_not_cut_the_others(line: Line) -> None:
    await line.busy()
    hasty = line.go(line.create("a"), "a", deadline_s=2.0)
    patient = line.go(line.create("b"), "b")
    line.moving.set()
    await line.until_sent(1)
    line.moving.clear()
    await line.until_sent(2)
    with pytest.raises(errors.OutcomeUnknown):
        await hasty
    line.moving.set()
    assert (await patient).succeeded
    assert await line.versions() == {"a": 1, "b": 1}


async def test_whose_deadline_came_before_its_batch_is_not_sent(line: Line) -> None:
    await line.busy()
    hasty = line.go(line.create("a"), "a", deadline_s=0.05)
    patient = line.go(line.create("b"), "b")
    with pytest.raises(errors.StoreUnavailable, match="nothing was changed"):
        await hasty
    line.moving.set()
    assert (await patient).succeeded
    assert await line.versions() == {"b": 1}


async def test_whose_deadline_has_passed_is_not_sent_again(line: Line) -> None:
    asked = asyncio.Event()

    async def lost_late(send: Callable[[], Awaitable[wire.TxnResponse]]) -> wire.TxnResponse:
        await asked.wait()
        raise OutcomeUnknown("the request was lost")

    line.faults = [_none, lost_late]
    await line.busy()
    hasty = line.go(line.create("a"), "a", deadline_s=2.0)
    patient = line.go(line.create("b"), "b")
    line.moving.set()
    with pytest.raises(errors.OutcomeUnknown):
        await hasty
    asked.set()
    assert (await patient).succeeded
    assert await line.versions() == {"b": 1}


async def test_a_caller_who_went_away_is_forgotten_before_the_batch_and_settled_in_it(line: Line) -> None:
    await line.busy()
    early, late, other = (line.go(line.create(name), name) for name in ("early", "late", "other"))
    await asyncio.sleep(0)
    early.cancel()
    with pytest.raises(asyncio.CancelledError):
        await early
    line.moving.set()
    await line.until_sent(1)
    line.moving.clear()
    await line.until_sent(2)
    late.cancel()
    with pytest.raises(asyncio.CancelledError):
        await late
    line.moving.set()
    assert (await other).succeeded
    assert await line.versions() == {"late": 1, "other": 1}
    assert line.applied[-1][0] == 2, "what was applied is known here, though nobody waits for it"


async def lost_waiter(line: Line, profile: str) -> tuple[bool, bool]:
    """A release that saw an empty queue and a join that saw a busy profile, at the same moment."""
    record, queue = line.key("p"), prefix(line.key("q/"))
    held = (await line.etcd.kv.txn(txn([], [put(record, b"held")]), 30.0)).header.revision
    release = txn([mod_is(record, held), empty(queue)], [put(record, b"free")])
    join = txn([mod_is(record, held)], [put(line.key("q/1"), b"")])
    await line.busy()
    tasks = [line.go(release, profile), line.go(join, profile)]
    await asyncio.sleep(0)
    line.moving.set()
    released, joined = await answers(tasks)
    return released, joined


async def test_a_release_and_a_join_of_one_profile_never_both_apply(line: Line) -> None:
    assert await lost_waiter(line, "alice") == (True, False)


async def test_without_a_lane_a_profile_both_apply_and_nobody_grants(line: Line) -> None:
    assert await lost_waiter(line, "") == (True, True)


async def test_a_batch_whose_answer_cannot_be_taken_fails_its_callers_not_the_line(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ValueError("a bug")

    await line.busy()
    tasks = [line.go(line.create(name), name) for name in "ab"]
    line.moving.set()
    with monkeypatch.context() as patch:
        await line.until_sent(1)
        patch.setattr("lockservice.batcher.split", broken)
        for task in [*line._fillers, *tasks]:
            with pytest.raises(ValueError, match="a bug"):
                await task
    assert (await line.go(line.create("c"))).succeeded


async def test_when_the_batcher_ends_nobody_is_left_waiting(line: Line) -> None:
    await line.busy()
    under_way = [line.go(line.create(name), name) for name in "ab"]
    line.moving.set()
    await line.until_sent(1)
    line.moving.clear()
    await line.until_sent(2)
    gathering = line.go(line.create("c"), "c")
    await asyncio.sleep(0)
    await line.batcher.aclose()
    for task in under_way:
        with pytest.raises(errors.OutcomeUnknown):
            await task
    with pytest.raises(errors.StoreUnavailable):
        await gathering
    with contextlib.suppress(errors.TenureError):
        await asyncio.gather(*line._fillers)


async def test_a_lonely_caller_who_leaves_while_its_txn_flies_may_have_applied_it(line: Line) -> None:
    """Nobody is told of it here; the watch tells. Those who came meanwhile are served."""
    done, cut = asyncio.Event(), asyncio.Event()

    async def reply_under_way(send: Callable[[], Awaitable[wire.TxnResponse]]) -> wire.TxnResponse:
        answer = await send()
        done.set()
        try:
            await asyncio.Event().wait()
        finally:
            cut.set()
        return answer

    line.faults = [reply_under_way]
    watch = aiter(line.etcd.watch(prefix(line.root)))
    while not isinstance(await anext(watch), Resumed):
        pass
    lonely = line.go(line.create("a"), "a")
    await done.wait()
    behind = line.go(line.create("b"), "b")
    of_its_profile = line.go(line.create("c"), "a")
    lonely.cancel()
    with pytest.raises(asyncio.CancelledError):
        await lonely
    assert cut.is_set(), "its call has no one to answer to"
    assert await answers([behind, of_its_profile]) == [True, True]
    assert await line.versions() == {"a": 1, "b": 1, "c": 1}
    assert sum(count for count, _ in line.applied) == 2, "of the lonely one nobody was told"
    told: list[bytes] = []
    while len(told) < 3:
        item = await anext(watch)
        if isinstance(item, Changes):
            told += [event.kv.key.removeprefix(line.root) for event in item.events]
    assert told[0] == b"a"
    await watch.aclose()
    # Sent again as it was, it finds what the first copy did.
    assert not (await line.go(line.create("a"), "a")).succeeded
    assert await line.versions() == {"a": 1, "b": 1, "c": 1}


async def test_what_comes_after_the_end_is_refused_at_once(line: Line) -> None:
    await line.batcher.aclose()
    with pytest.raises(errors.StoreUnavailable, match="nothing was changed"):
        await line.go(line.create("a"), deadline_s=math.inf)
    party = line.batcher.enter([Request(line.create("b"), None)], math.inf)
    [refused] = await party.results()
    assert isinstance(refused, errors.StoreUnavailable)
    assert line.sent == []
