"""A world of one profile in memory: applies Txns as etcd does, so decisions can be tried without I/O."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field

from lockservice.core.decision import Write
from lockservice.core.document import decode, encode
from lockservice.core.keys import Keys
from lockservice.core.record import Record
from lockservice.core.snapshot import KeyValue, Sight, Snapshot
from lockservice.core.stored import Epoch, Worker
from lockservice.etcd.txn import Compare, Txn, txn
from tenure.etcdwire.v1 import etcdwire_pb2 as wire
from tenure.names import ProfileName

KEYS = Keys("/t/")
PROFILE = ProfileName("default", "alice")
NOW = 1_700_000_000_000


@dataclass
class World:
    """etcd's rules for compares, puts, deletes, ranges and leases; nothing else of it."""

    revision: int = 0
    # A mutant: conditions on keys with one of these fragments count as met.
    ignored: tuple[bytes, ...] = ()
    kvs: dict[bytes, KeyValue] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.put(KEYS.epoch, encode(Epoch(number=0, cluster="c")))

    def put(self, key: bytes, value: bytes, lease: int = 0) -> None:
        self.revision += 1
        self._put(key, value, lease)

    def register(self, worker: str) -> None:
        lease = self.revision + 1
        stored = Worker(tenant="default", lease=lease, ttl_s=15, registered_ms=NOW)
        self.put(KEYS.worker(worker), encode(stored), lease)

    def expire(self, worker: str) -> None:
        """End the worker's lease, with all keys on it."""
        kv = self.kvs.get(KEYS.worker(worker))
        if kv is not None:
            self.revision += 1
            self.kvs = {key: other for key, other in self.kvs.items() if other.lease != kv.lease}

    def see(self, sight: Sight) -> Snapshot:
        responses = [
            wire.ResponseOp(response_range=wire.RangeResponse(kvs=self._range(op.message())))
            for op in sight.ops()
        ]
        return sight.snapshot(responses)

    def apply(self, write: Write[object]) -> bool:
        """Apply a Write if its compares hold."""
        request = sent(write)
        if not all(self._holds(compare) for compare in request.compare):
            return False
        self.revision += 1
        # Conditions of Txns within the Txn see the state before it.
        inner = [op for op in request.success if op.HasField("request_txn")]
        for op in inner:
            if all(self._holds(compare) for compare in op.request_txn.compare):
                self._do(op.request_txn.success)
        self._do(op for op in request.success if not op.HasField("request_txn"))
        return True

    def _do(self, ops: Iterable[wire.RequestOp]) -> None:
        for op in ops:
            if op.HasField("request_put"):
                self._put(op.request_put.key, op.request_put.value, op.request_put.lease)
            elif end := op.request_delete_range.range_end:
                start = op.request_delete_range.key
                self.kvs = {key: kv for key, kv in self.kvs.items() if not start <= key < end}
            else:
                self.kvs.pop(op.request_delete_range.key, None)

    def record(self) -> Record | None:
        kv = self.kvs.get(KEYS.record(PROFILE))
        return decode(Record, kv.value) if kv else None

    def change_record(self, **changes: object) -> None:
        """Write the record past all rules."""
        record = self.record()
        assert record is not None
        changed = dataclasses.replace(record, **changes)  # type: ignore[arg-type]
        self.put(KEYS.record(PROFILE), encode(changed))

    def _put(self, key: bytes, value: bytes, lease: int) -> None:
        before = self.kvs.get(key)
        self.kvs[key] = KeyValue(
            key=key,
            value=value,
            lease=lease,
            create_revision=before.create_revision if before else self.revision,
            mod_revision=self.revision,
        )

    def _holds(self, compare: wire.Compare) -> bool:
        if any(fragment in compare.key for fragment in self.ignored):
            return True
        found = [
            kv
            for key, kv in self.kvs.items()
            if (key == compare.key if not compare.range_end else compare.key <= key < compare.range_end)
        ]
        return all(_compares(compare, kv) for kv in found or [KeyValue()])

    def _range(self, op: wire.RequestOp) -> list[KeyValue]:
        wanted = op.request_range
        if not wanted.range_end:
            return [self.kvs[wanted.key]] if wanted.key in self.kvs else []
        found = [kv for key, kv in self.kvs.items() if wanted.key <= key < wanted.range_end]
        if wanted.sort_target == wire.RangeRequest.SORT_TARGET_CREATE:
            found.sort(key=lambda kv: (kv.create_revision, kv.key))
        else:
            found.sort(key=lambda kv: kv.key)
        if wanted.sort_order == wire.RangeRequest.SORT_ORDER_DESCEND:
            found.reverse()
        return found[: wanted.limit or None]


def sent(write: Write[object]) -> wire.TxnRequest:
    """A Write as etcd reads it."""
    return txn(write.compares, write.ops).message()


def written(request: Txn) -> Write[object]:
    """A Txn as if it had been decided."""
    compares = wire.TxnRequest(compare=request.message().compare).SerializeToString()
    return Write((Compare(compares),), request.success, lambda _: None)


def _compares(compare: wire.Compare, kv: KeyValue) -> bool:
    if compare.target == wire.Compare.COMPARE_TARGET_MOD:
        stored, given = kv.mod_revision, compare.mod_revision
    else:
        assert compare.target == wire.Compare.COMPARE_TARGET_CREATE
        stored, given = kv.create_revision, compare.create_revision
    match compare.result:
        case wire.Compare.COMPARE_RESULT_GREATER:
            return stored > given
        case wire.Compare.COMPARE_RESULT_NOT_EQUAL:
            return stored != given
        case _:
            return stored == given
