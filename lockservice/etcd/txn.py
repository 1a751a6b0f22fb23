"""Builders of Txns: conditions, operations, and ranges of keys. Pure.

What every transition is made of is written as bytes at once: it makes some ten messages, and one that is put
into another is copied, so that as objects they would cost more than to decide does.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, NewType

from lockservice.etcd.wire_format import number, sized, tag
from tenure.etcdwire.v1 import etcdwire_pb2 as wire

# A condition, as the field of a TxnRequest that it will be.
Compare = NewType("Compare", bytes)


# What a read means.
NOTHING = object()


class Op(NamedTuple):
    """An operation: a RequestOp, `sized`. `means`: what it changes, as whoever made it would tell a mirror of
    the store, NOTHING for a read; None: that can only be read off the operation.
    """

    data: bytes
    means: object = None

    def message(self) -> wire.RequestOp:
        """To be read, not to be sent."""
        return wire.TxnRequest.FromString(_SUCCESS + self.data).success[0]


class Txn:
    """A Txn on its way: a TxnRequest's `data`. `success`: what it does if its conditions hold; `width`: how
    many operations, or conditions, its widest part has.
    """

    __slots__ = ("data", "success", "width")

    def __init__(self, data: bytes, success: tuple[Op, ...], width: int) -> None:
        self.data = data
        self.success = success
        self.width = width

    def SerializeToString(self) -> bytes:
        """Like a generated message."""
        return self.data

    def message(self) -> wire.TxnRequest:
        """To be read, not to be sent."""
        return wire.TxnRequest.FromString(self.data)


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

_COMPARE, _SUCCESS, _FAILURE = (tag(wire.TxnRequest, name) for name in ("compare", "success", "failure"))
_RANGE_END = tag(wire.Compare, "range_end")


def _begun(compare: wire.Compare) -> bytes:
    """All that comes before the key."""
    return compare.SerializeToString() + tag(wire.Compare, "key")


_BY_MOD, _BY_CREATION = wire.Compare.COMPARE_TARGET_MOD, wire.Compare.COMPARE_TARGET_CREATE
_MOD_IS = _begun(wire.Compare(target=_BY_MOD))
_CREATED_AT = _begun(wire.Compare(target=_BY_CREATION))
_NOT_CREATED_AT = _begun(wire.Compare(target=_BY_CREATION, result=wire.Compare.COMPARE_RESULT_NOT_EQUAL))
_CREATED_AFTER = _begun(wire.Compare(target=_BY_CREATION, result=wire.Compare.COMPARE_RESULT_GREATER))
_LEASE_IS = _begun(wire.Compare(target=wire.Compare.COMPARE_TARGET_LEASE))
_MOD, _CREATE, _LEASE = (tag(wire.Compare, name) for name in ("mod_revision", "create_revision", "lease"))


def _compare(begun: bytes, key: bytes, value: bytes, given: int, end: bytes = b"") -> Compare:
    data = b"".join((begun, number(len(key)), key, value, number(given)))
    if end:
        data += _RANGE_END + sized(end)
    return Compare(b"".join((_COMPARE, number(len(data)), data)))


def mod_is(key: bytes, revision: int) -> Compare:
    """`key` was changed last at `revision`; 0: it is absent."""
    return _compare(_MOD_IS, key, _MOD, revision)


def created_at(key: bytes, revision: int) -> Compare:
    """This incarnation of `key` began at `revision`; 0: it is absent."""
    return _compare(_CREATED_AT, key, _CREATE, revision)


def not_created_at(key: bytes, revision: int) -> Compare:
    """`key` is absent, or another incarnation than that of `revision`."""
    return _compare(_NOT_CREATED_AT, key, _CREATE, revision)


def absent(key: bytes) -> Compare:
    """`key` does not exist."""
    return created_at(key, 0)


def exists(key: bytes) -> Compare:
    """`key` exists."""
    return not_created_at(key, 0)


def empty(keys: KeyRange) -> Compare:
    """No key of the range exists. etcd compares an empty range as one absent key, created at 0."""
    return _compare(_CREATED_AT, keys.start, _CREATE, 0, keys.end)


def none_older(keys: KeyRange, revision: int) -> Compare:
    """Every key of the range was created at `revision` or later. False on an empty range."""
    return _compare(_CREATED_AFTER, keys.start, _CREATE, revision - 1, keys.end)


def on_lease(key: bytes, lease: int) -> Compare:
    """`key` rides on `lease`."""
    return _compare(_LEASE_IS, key, _LEASE, lease)


# --- operations ------------------------------------------------------------------------

_RANGE, _PUT, _DELETE, _NESTED = (
    tag(wire.RequestOp, f"request_{name}") for name in ("range", "put", "delete_range", "txn")
)
_KEY, _VALUE, _ON = (tag(wire.PutRequest, name) for name in ("key", "value", "lease"))
_DELETED = tag(wire.DeleteRangeRequest, "key")


def put(key: bytes, value: bytes, lease: int = 0, means: object = None) -> Op:
    """Write a key. A dead lease fails the whole request, so compare a key that rides on it."""
    data = b"".join((_KEY, number(len(key)), key, _VALUE, number(len(value)), value))
    if lease:
        data += _ON + number(lease)
    return Op(sized(b"".join((_PUT, number(len(data)), data))), means)


def delete(key: bytes, means: object = None) -> Op:
    """Delete a key; of an absent one it makes the Txn raft-ordered without raising the revision."""
    return Op(sized(_DELETE + sized(_DELETED + sized(key))), means)


def delete_all(keys: KeyRange) -> Op:
    """Delete a range."""
    message = wire.DeleteRangeRequest(key=keys.start, range_end=keys.end)
    return Op(sized(_DELETE + sized(message.SerializeToString())))


def get(key: bytes) -> Op:
    """Read one key."""
    return _read(wire.RangeRequest(key=key))


def get_all(keys: KeyRange) -> Op:
    """Read a range whole, by key."""
    return _read(wire.RangeRequest(key=keys.start, range_end=keys.end))


def first_created(keys: KeyRange) -> Op:
    """Read the oldest key of a range."""
    return _one(keys, wire.RangeRequest.SORT_ORDER_ASCEND, wire.RangeRequest.SORT_TARGET_CREATE)


def last_by_key(keys: KeyRange) -> Op:
    """Read the highest key of a range."""
    return _one(keys, wire.RangeRequest.SORT_ORDER_DESCEND, wire.RangeRequest.SORT_TARGET_KEY_UNSPECIFIED)


def nested(txn: Txn) -> Op:
    """A Txn within a Txn; its conditions see the state before the outer one."""
    return Op(sized(_NESTED + sized(txn.data)))


def txn(compares: Iterable[Compare], success: Iterable[Op], failure: Iterable[Op] = ()) -> Txn:
    """If all of `compares` hold do `success`, else `failure`. Atomic."""
    parts: list[bytes] = [*compares]
    done, else_done = tuple(success), tuple(failure)
    width = max(len(parts), len(done), len(else_done))
    for op in done:
        parts += (_SUCCESS, op.data)
    for op in else_done:
        parts += (_FAILURE, op.data)
    return Txn(b"".join(parts), done, width)


def _read(message: wire.RangeRequest) -> Op:
    return Op(sized(_RANGE + sized(message.SerializeToString())), NOTHING)


def _one(
    keys: KeyRange,
    order: wire.RangeRequest.SortOrder.ValueType,
    target: wire.RangeRequest.SortTarget.ValueType,
) -> Op:
    return _read(
        wire.RangeRequest(key=keys.start, range_end=keys.end, limit=1, sort_order=order, sort_target=target)
    )
