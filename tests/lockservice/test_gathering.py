"""Who goes into the next batch."""

from __future__ import annotations

import weakref
from collections import Counter
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from lockservice.core.gathering import Gatherer, outer, split
from lockservice.etcd.txn import absent, put, txn
from tenure.etcdwire.v1 import etcdwire_pb2 as wire


@dataclass(eq=False)
class Waiter:
    tenant: str = "t"
    lane: object = "p"
    size: int = 1
    wanted: bool = True
    number: int = 0


def gathered(*waiters: Waiter, members: int = 64, size: int = 1000) -> list[list[Waiter]]:
    gatherer: Gatherer[Waiter] = Gatherer(members, size)
    for waiter in waiters:
        gatherer.add(waiter)
    return all_of(gatherer)


def all_of(gatherer: Gatherer[Waiter]) -> list[list[Waiter]]:
    batches = []
    while batch := gatherer.take():
        batches.append(batch)
    assert not gatherer
    return batches


def test_a_batch_has_at_most_so_many_in_the_order_of_arrival() -> None:
    waiters = [Waiter(lane=i) for i in range(5)]
    assert gathered(*waiters, members=2) == [waiters[:2], waiters[2:4], waiters[4:]]


def test_two_of_one_profile_never_meet_and_keep_their_order() -> None:
    hot, other = [Waiter(number=i) for i in range(3)], Waiter(lane="q")
    assert gathered(*hot, other) == [[hot[0], other], [hot[1]], [hot[2]]]


def test_a_busy_profile_waits_behind_those_who_have_waited_as_long() -> None:
    hot = [Waiter(number=i) for i in range(100)]
    others = [Waiter(lane=i) for i in range(4)]
    batches = gathered(*hot, *others, members=2)
    assert batches[:3] == [[hot[0], others[0]], [others[1], others[2]], [others[3], hot[1]]]


def test_those_who_left_are_forgotten_though_nothing_is_taken() -> None:
    gatherer: Gatherer[Waiter] = Gatherer()
    stay = [Waiter(lane="p"), Waiter(lane="q"), Waiter(lane="p")]
    left: weakref.WeakSet[Waiter] = weakref.WeakSet()
    for waiter in (*stay, *(Waiter(lane=i % 100, wanted=False) for i in range(10_000))):
        if not waiter.wanted:
            left.add(waiter)
        gatherer.add(waiter)
    del waiter
    assert len(left) <= 2000
    assert all_of(gatherer) == [stay[:2], stay[2:]]


def test_a_loud_tenant_shares_each_batch_with_the_others() -> None:
    loud = [Waiter("loud", i) for i in range(1000)]
    quiet = Waiter("quiet", "q")
    [first, *_] = gathered(*loud, quiet, members=4)
    assert quiet in first


def test_what_nobody_wants_any_more_is_left_out() -> None:
    gone, wanted = Waiter(wanted=False), Waiter(number=1)
    assert gathered(gone, wanted, Waiter("u", wanted=False)) == [[wanted]]
    assert gathered(gone) == []


def test_one_that_is_too_large_goes_alone_and_is_not_passed_over_for_ever() -> None:
    small, huge, late = Waiter(lane=1, size=6), Waiter(lane=2, size=500), Waiter(lane=3, size=6)
    assert gathered(small, huge, late, size=10) == [[small], [huge], [late]]


def test_it_tells_when_as_many_wait_as_a_batch_takes() -> None:
    gatherer: Gatherer[Waiter] = Gatherer(members=2)
    told = []
    for tenant in "ab":
        gatherer.add(Waiter(tenant))
        told.append(gatherer.fills_a_batch)
    gatherer.take()
    assert [*told, gatherer.fills_a_batch] == [False, True, False]


OPERATIONS = st.lists(
    st.one_of(
        st.builds(
            Waiter,
            tenant=st.sampled_from("abc"),
            lane=st.integers(0, 5),
            size=st.integers(1, 12),
            wanted=st.sampled_from([True, True, True, False]),
        ),
        st.just("take"),
    ),
    max_size=80,
)


@given(OPERATIONS, st.integers(1, 6))
def test_everybody_is_taken_once_in_order_and_within_all_limits(
    operations: list[Waiter | str], members: int
) -> None:
    gatherer: Gatherer[Waiter] = Gatherer(members, 20)
    added: list[Waiter] = []
    batches: list[list[Waiter]] = []
    waits: Counter[tuple[str, object]] = Counter()
    for operation in operations:
        if isinstance(operation, Waiter):
            gatherer.add(operation)
            added.append(operation)
            continue
        waiting = {(w.tenant, w.lane) for w in added if w.wanted and all(w not in b for b in batches)}
        batch = gatherer.take()
        batches.append(batch)
        came = {(w.tenant, w.lane) for w in batch}
        for each in waiting:
            waits[each] = 0 if each in came else waits[each] + 1
        # Three tenants of six lanes each, and a large one may close a batch early.
        assert not waits or max(waits.values()) <= 18
        shares = Counter(w.tenant for w in batch)
        if len(batch) == members and sum(w.size for w in batch) < 20 - 12:
            left_waiting = {tenant for tenant, _ in waiting - came}
            assert all(shares[tenant] >= max(shares.values()) - 1 for tenant in left_waiting)
    batches += all_of(gatherer)
    taken = [waiter for batch in batches for waiter in batch]
    assert len(taken) == len({id(w) for w in taken})
    assert {id(w) for w in taken} == {id(w) for w in added if w.wanted}
    for batch in batches:
        assert len(batch) <= members
        assert len(batch) == 1 or sum(w.size for w in batch) <= 20
        assert len({(w.tenant, w.lane) for w in batch}) == len(batch)
    for tenant, lane in {(w.tenant, w.lane) for w in added}:
        assert [w for w in taken if (w.tenant, w.lane) == (tenant, lane)] == [
            w for w in added if w.wanted and (w.tenant, w.lane) == (tenant, lane)
        ]


def test_a_single_txn_stays_as_it_is() -> None:
    alone = txn([absent(b"a")], [put(b"a", b"1")])
    assert outer([alone]) is alone
    answer = wire.TxnResponse(succeeded=True)
    assert split(answer, 1) == [answer]


def test_each_txn_of_a_batch_keeps_its_conditions_and_gets_its_answer() -> None:
    requests = [txn([absent(key)], [put(key, b"1")]) for key in (b"a", b"b")]
    batch = outer(requests).message()
    assert not batch.compare
    assert [op.request_txn for op in batch.success] == [request.message() for request in requests]
    inner = [wire.TxnResponse(succeeded=succeeded) for succeeded in (True, False)]
    answer = wire.TxnResponse(
        header=wire.ResponseHeader(revision=7),
        succeeded=True,
        responses=[wire.ResponseOp(response_txn=each) for each in inner],
    )
    assert [(part.succeeded, part.header.revision) for part in split(answer, 2)] == [(True, 7), (False, 7)]
