"""What the builders write is what the generated classes would."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from lockservice.etcd import txn as t
from tenure.etcdwire.v1 import etcdwire_pb2 as wire

Compare = wire.Compare
KEYS = st.binary(min_size=1, max_size=300)
# Of each length that a number can take.
REVISIONS = st.integers(0, 63).flatmap(lambda bits: st.integers(0, (1 << bits) - 1))


@given(KEYS, KEYS, REVISIONS)
def test_conditions_are_what_etcd_reads(key: bytes, end: bytes, revision: int) -> None:
    by_mod, by_creation = Compare.COMPARE_TARGET_MOD, Compare.COMPARE_TARGET_CREATE
    other = Compare.COMPARE_RESULT_NOT_EQUAL
    expected = {
        t.mod_is(key, revision): Compare(key=key, target=by_mod, mod_revision=revision),
        t.created_at(key, revision): Compare(key=key, target=by_creation, create_revision=revision),
        t.not_created_at(key, revision): Compare(
            key=key, target=by_creation, result=other, create_revision=revision
        ),
        t.absent(key): Compare(key=key, target=by_creation, create_revision=0),
        t.exists(key): Compare(key=key, target=by_creation, result=other, create_revision=0),
        t.empty(t.KeyRange(key, end)): Compare(key=key, range_end=end, target=by_creation, create_revision=0),
        t.none_older(t.KeyRange(key, end), revision + 1): Compare(
            key=key,
            range_end=end,
            target=by_creation,
            result=Compare.COMPARE_RESULT_GREATER,
            create_revision=revision,
        ),
        t.on_lease(key, revision): Compare(key=key, target=Compare.COMPARE_TARGET_LEASE, lease=revision),
    }
    assert list(t.txn(expected, []).message().compare) == list(expected.values())


@given(KEYS, KEYS, st.binary(max_size=20_000), REVISIONS)
def test_operations_are_what_etcd_reads(key: bytes, end: bytes, data: bytes, lease: int) -> None:
    read = wire.RangeRequest
    both: dict[str, Any] = {"key": key, "range_end": end}
    inner = t.txn([t.absent(key)], [t.put(key, data)], [t.get(key)])
    expected = {
        t.put(key, data, lease): wire.RequestOp(
            request_put=wire.PutRequest(key=key, value=data, lease=lease)
        ),
        t.delete(key): wire.RequestOp(request_delete_range=wire.DeleteRangeRequest(key=key)),
        t.delete_all(t.KeyRange(key, end)): wire.RequestOp(
            request_delete_range=wire.DeleteRangeRequest(**both)
        ),
        t.get(key): wire.RequestOp(request_range=read(key=key)),
        t.get_all(t.KeyRange(key, end)): wire.RequestOp(request_range=read(**both)),
        t.first_created(t.KeyRange(key, end)): wire.RequestOp(
            request_range=read(
                **both,
                limit=1,
                sort_order=read.SORT_ORDER_ASCEND,
                sort_target=read.SORT_TARGET_CREATE,
            )
        ),
        t.last_by_key(t.KeyRange(key, end)): wire.RequestOp(
            request_range=read(**both, limit=1, sort_order=read.SORT_ORDER_DESCEND)
        ),
        t.nested(inner): wire.RequestOp(request_txn=inner.message()),
    }
    assert [op.message() for op in expected] == list(expected.values())
    built = t.txn([], expected, expected)
    assert list(built.message().success) == list(built.message().failure) == list(expected.values())


def test_a_txn_is_written_as_the_generated_class_writes_it() -> None:
    built = t.txn([t.mod_is(b"a", 5), t.absent(b"b")], [t.put(b"a", b"1")], [t.get(b"a"), t.delete(b"b")])
    assert built.SerializeToString() == built.message().SerializeToString()
    assert (built.success, built.width) == ((t.put(b"a", b"1"),), 2)
