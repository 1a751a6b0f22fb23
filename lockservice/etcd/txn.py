"""Builders of Txns: conditions, operations, and ranges of keys. Pure.

A Txn here is etcd's own message, so that a batch may nest it unchanged.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from tenure.etcdwire.v1 import etcdwire_pb2 as wire

Compare = wire.Compare
Op = wire.RequestOp
Txn = wire.TxnRequest


class KeyRange(NamedTuple):
    """Keys from `start` up to, not including, `end`."""

    start: bytes
    end: bytes


def prefix(start: bytes) -> KeyRange:
    """All keys that begin with `start`, which must not be empty or end in 0xff."""
    if not start or start[-1] == 0xFF:
        raise ValueError(f"{start!r} cannot be a prefix")
    return KeyRange(start, start[:-1] + bytes([start[-1] + 1]))


# --- conditions ------------------------------------------------------------------------


def mod_is(key: bytes, revision: int) -> Compare:
    """`key` was changed last at `revision`; 0: it is absent."""
    return Compare(key=key, target=Compare.COMPARE_TARGET_MOD, mod_revision=revision)


def created_at(key: bytes, revision: int) -> Compare:
    """This incarnation of `key` began at `revision`; 0: it is absent."""
    return Compare(key=key, target=Compare.COMPARE_TARGET_CREATE, create_revision=revision)


def not_created_at(key: bytes, revision: int) -> Compare:
    """`key` is absent, or another incarnation than that of `revision`."""
    return Compare(
        key=key,
        target=Compare.COMPARE_TARGET_CREATE,
        result=Compare.COMPARE_RESULT_NOT_EQUAL,
        create_revision=revision,
    )


def absent(key: bytes) -> Compare:
    """`key` does not exist."""
    return created_at(key, 0)


def exists(key: bytes) -> Compare:
    """`key` exists."""
    return not_created_at(key, 0)


def empty(keys: KeyRange) -> Compare:
    """No key of the range exists. etcd compares an empty range as one absent key, created at 0."""
    return Compare(
        key=keys.start, range_end=keys.end, target=Compare.COMPARE_TARGET_CREATE, create_revision=0
    )


def none_older(keys: KeyRange, revision: int) -> Compare:
    """Every key of the range was created at `revision` or later. False on an empty range."""
    return Compare(
        key=keys.start,
        range_end=keys.end,
        target=Compare.COMPARE_TARGET_CREATE,
        result=Compare.COMPARE_RESULT_GREATER,
        create_revision=revision - 1,
    )


def on_lease(key: bytes, lease: int) -> Compare:
    """`key` rides on `lease`."""
    return Compare(key=key, target=Compare.COMPARE_TARGET_LEASE, lease=lease)


# --- operations ------------------------------------------------------------------------


def put(key: bytes, value: bytes, lease: int = 0) -> Op:
    """Write a key. A dead lease fails the whole request, so compare a key that rides on it."""
    return Op(request_put=wire.PutRequest(key=key, value=value, lease=lease))


def delete(key: bytes) -> Op:
    """Delete a key; of an absent one it makes the Txn raft-ordered without raising the revision."""
    return Op(request_delete_range=wire.DeleteRangeRequest(key=key))


def delete_all(keys: KeyRange) -> Op:
    """Delete a range."""
    return Op(request_delete_range=wire.DeleteRangeRequest(key=keys.start, range_end=keys.end))


def get(key: bytes) -> Op:
    """Read one key."""
    return Op(request_range=wire.RangeRequest(key=key))


def get_all(keys: KeyRange) -> Op:
    """Read a range whole, by key."""
    return Op(request_range=wire.RangeRequest(key=keys.start, range_end=keys.end))


def first_created(keys: KeyRange) -> Op:
    """Read the oldest key of a range."""
    return _one(keys, wire.RangeRequest.SORT_ORDER_ASCEND, wire.RangeRequest.SORT_TARGET_CREATE)


def last_by_key(keys: KeyRange) -> Op:
    """Read the highest key of a range."""
    return _one(keys, wire.RangeRequest.SORT_ORDER_DESCEND, wire.RangeRequest.SORT_TARGET_KEY_UNSPECIFIED)


def nested(txn: Txn) -> Op:
    """A Txn within a Txn; its conditions see the state before the outer one."""
    return Op(request_txn=txn)


def txn(compares: Iterable[Compare], success: Iterable[Op], failure: Iterable[Op] = ()) -> Txn:
    """If all of `compares` hold do `success`, else `failure`. Atomic."""
    return Txn(compare=compares, success=success, failure=failure)


def _one(
    keys: KeyRange,
    order: wire.RangeRequest.SortOrder.ValueType,
    target: wire.RangeRequest.SortTarget.ValueType,
) -> Op:
    return Op(
        request_range=wire.RangeRequest(
            key=keys.start, range_end=keys.end, limit=1, sort_order=order, sort_target=target
        )
    )
