"""What a decision sees of a profile, and the reads that show it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import NamedTuple

from lockservice.core.document import decode
from lockservice.core.keys import Keys
from lockservice.core.record import Record, State
from lockservice.core.stored import Ask, Epoch, Incident, Worker
from lockservice.etcd.txn import Op, first_created, get
from tenure import token as tokens
from tenure.etcdwire.v1 import etcdwire_pb2 as wire
from tenure.names import ProfileName
from tenure.value import named_value

KeyValue = wire.KeyValue


class EpochSeen(NamedTuple):
    """The epoch with its mod_revision, which every Txn compares."""

    number: int
    mod: int


class WorkerSeen(NamedTuple):
    """A worker with the create revision of its key."""

    worker: Worker
    create: int


class Waiter(NamedTuple):
    """A place in the queue; tuples of (create, request_id) order as the queue does."""

    create: int
    request_id: str
    ask: Ask


class Consumed(NamedTuple):
    """The highest request id that a worker used for a profile ("" for none), with its mod_revision."""

    request_id: str
    mod: int


NOTHING_CONSUMED = Consumed("", 0)


@named_value
class Snapshot:
    """A profile and its surroundings at one revision.

    `proven` when a raft-ordered Txn read it; otherwise it is a guess, good enough to try a guarded Txn on but
    never to answer from. `workers` has those that were looked up, None for absent ones. `extra` holds what
    else was asked for.
    """

    epoch: EpochSeen
    record: Record | None = None
    mod: int = 0
    workers: Mapping[str, WorkerSeen | None] = field(default_factory=dict)
    consumed: Consumed = NOTHING_CONSUMED
    place: Waiter | None = None
    head: Waiter | None = None
    incident: Incident | None = None
    extra: tuple[tuple[KeyValue, ...], ...] = ()
    proven: bool = False

    def alive(self, worker: str, create: int) -> bool:
        """False only when it was seen that the worker is gone, or is another than the one of `create`."""
        if worker not in self.workers:
            return True
        seen = self.workers[worker]
        return seen is not None and seen.create == create

    def holds(self, token: int) -> bool:
        """Whether `token` is the current hold's: HELD, mod(p) = token, in this epoch."""
        epoch, revision = tokens.unpack(token)
        return (
            self.record is not None
            and self.record.state is State.HELD
            and self.record.epoch == epoch == self.epoch.number
            and self.mod == revision
        )

    def at_work(self, incident: int) -> Record | None:
        """The record, while it names this incident."""
        return self.record if self.record is not None and self.record.incident == incident else None

    def found(self, index: int) -> KeyValue | None:
        """The first key of an extra read; a guess has read nothing."""
        return self.extra[index][0] if index < len(self.extra) and self.extra[index] else None

    def token(self) -> int:
        """The record's revision as a token."""
        return tokens.pack(self.record.epoch if self.record else 0, self.mod)


@named_value
class Sight:
    """Which keys a decision needs: always the epoch, the record and the queue's head; the others where they
    are named. `of_holder`: the holder's key too, beside that of `worker`; `holder` is who that was when last
    seen.
    """

    keys: Keys
    profile: ProfileName
    worker: str = ""
    request_id: str = ""
    token: int = 0
    extra: tuple[Op, ...] = ()
    of_holder: bool = False
    holder: str = ""

    def ops(self) -> list[Op]:
        """The reads, for a Txn's branch."""
        keys, profile = self.keys, self.profile
        ops = [get(keys.epoch), get(keys.record(profile)), first_created(keys.queue(profile))]
        if self.worker:
            ops += [get(keys.worker(self.worker)), get(keys.consumed(self.worker, profile))]
        if self.holder:
            ops.append(get(keys.worker(self.holder)))
        if self.request_id:
            ops.append(get(keys.place(profile, self.request_id)))
        if self.token:
            ops.append(get(keys.incident(profile, self.token)))
        return [*ops, *self.extra]

    def snapshot(self, responses: Sequence[wire.ResponseOp]) -> Snapshot:
        """What `ops` answered. Raises Unreadable."""
        rows = [tuple(response.response_range.kvs) for response in responses]
        epoch, record, head = (_first(row) for row in rows[:3])
        rest = rows[3:]
        workers: dict[str, WorkerSeen | None] = {}
        consumed = NOTHING_CONSUMED
        if self.worker:
            workers[self.worker] = worker_seen(_first(rest.pop(0)))
            consumed = consumed_seen(_first(rest.pop(0)))
        if self.holder:
            workers[self.holder] = worker_seen(_first(rest.pop(0)))
        place = waiter_seen(_first(rest.pop(0))) if self.request_id else None
        incident = _first(rest.pop(0)) if self.token else None
        return Snapshot(
            epoch=epoch_seen(epoch),
            record=decode(Record, record.value) if record else None,
            mod=record.mod_revision if record else 0,
            workers=workers,
            consumed=consumed,
            place=place,
            head=waiter_seen(head),
            incident=decode(Incident, incident.value) if incident else None,
            extra=tuple(rest),
            proven=True,
        )

    def following(self, snapshot: Snapshot) -> Sight:
        """Look at the holder too, once it is known who that is."""
        if snapshot.record is None or snapshot.record.holding is None:
            return self
        if not self.worker:
            return dataclasses.replace(self, worker=snapshot.record.holding.worker)
        return dataclasses.replace(self, holder=snapshot.record.holding.worker) if self.of_holder else self


def epoch_seen(kv: KeyValue | None) -> EpochSeen:
    """Read `epoch`; absent counts as epoch 0, which no Txn's compare will let pass once there is one."""
    return EpochSeen(decode(Epoch, kv.value).number, kv.mod_revision) if kv else EpochSeen(0, 0)


def worker_seen(kv: KeyValue | None) -> WorkerSeen | None:
    return WorkerSeen(decode(Worker, kv.value), kv.create_revision) if kv else None


def waiter_seen(kv: KeyValue | None) -> Waiter | None:
    if kv is None:
        return None
    ask = decode(Ask, kv.value)
    return Waiter(kv.create_revision, ask.request_id, ask)


def consumed_seen(kv: KeyValue | None) -> Consumed:
    return Consumed(kv.value.decode(), kv.mod_revision) if kv else NOTHING_CONSUMED


def _first(row: tuple[KeyValue, ...]) -> KeyValue | None:
    return row[0] if row else None
