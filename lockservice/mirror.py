"""A replica's picture of etcd: what one watch told it, plus what it wrote itself.

Pure: changes go in, guesses come out. A guess may be old, so nothing is decided on it but what to try first.
"""

from __future__ import annotations

import bisect
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from lockservice.core.document import Unreadable, decode
from lockservice.core.hold import Hold, hold_seen
from lockservice.core.keys import Keys
from lockservice.core.record import AT_WORK, IN_INCIDENT, Record, State
from lockservice.core.snapshot import (
    NOTHING_CONSUMED,
    Consumed,
    EpochSeen,
    KeyValue,
    Sight,
    Snapshot,
    Waiter,
    WorkerSeen,
    consumed_seen,
    epoch_seen,
    waiter_seen,
    worker_seen,
)
from lockservice.core.stored import Epoch, Schedule
from lockservice.etcd.txn import Op
from lockservice.queue_log import QueueLog
from tenure.etcdwire.v1 import etcdwire_pb2 as wire
from tenure.names import ProfileName


class Touched(NamedTuple):
    """A profile that changed; with a request id when it was that place in its queue."""

    profile: ProfileName
    request_id: str = ""


class _Seen(NamedTuple):
    record: Record
    mod: int


class Mirror:
    """Records, workers, queues, used request ids and hosts, indexed for what replicas ask."""

    def __init__(self, keys: Keys) -> None:
        self.keys = keys
        self.revision = 0
        # The highest at which this replica itself wrote what is mirrored.
        self.written = 0
        # Workers whose leases ended, or were ended, before our eyes.
        self.workers_gone = 0
        self._unreadable: dict[bytes, str] = {}
        self._queue_log = QueueLog()
        self._clear()

    # --- what goes in ------------------------------------------------------------------

    def replace(self, kvs: Iterable[KeyValue], revision: int) -> list[Touched]:
        """Forget everything and take a snapshot. Returns every profile that has a record or a queue."""
        self._clear()
        for kv in kvs:
            self._put(kv)
        self.revision = revision
        self._queue_log.begin(revision)
        return [Touched(profile) for profile in {*self._records, *self._queues}]

    def apply(self, events: Iterable[wire.Event]) -> list[Touched]:
        """Take a watch's changes, in order."""
        touched: list[Touched] = []
        for event in events:
            kv = event.kv
            self.revision = kv.mod_revision
            if event.type == wire.Event.EVENT_TYPE_DELETE:
                touched += self._delete(kv.key, kv.mod_revision)
            else:
                touched += self._put(kv)
        return touched

    def learn(self, ops: Iterable[Op], revision: int) -> list[Touched]:
        """Take what this replica itself wrote at `revision`, before the watch tells it.

        So a hold that was granted here is known here at once, and the next first guess is right. When the
        watch was faster it has told more than this: a place that was left again must not come back.
        """
        touched: list[Touched] = []
        if revision <= self.revision:
            return touched
        for op in ops:
            if op.HasField("request_put"):
                put = op.request_put
                touched += self._put(
                    # The keys whose creation matters (w, q) are put once, when they are created.
                    KeyValue(
                        key=put.key,
                        value=put.value,
                        lease=put.lease,
                        create_revision=revision,
                        mod_revision=revision,
                    )
                )
            elif op.HasField("request_delete_range"):
                touched += self._delete(op.request_delete_range.key, revision)
        if touched:
            self.written = revision
        return touched

    # --- what comes out ----------------------------------------------------------------

    def guess(self, sight: Sight) -> Snapshot:
        """What the reads of `sight` would probably show; not proven."""
        seen = self._records.get(sight.profile)
        queue = self._queues.get(sight.profile)
        return Snapshot(
            epoch=self.epoch,
            record=seen.record if seen else None,
            mod=seen.mod if seen else 0,
            workers={sight.worker: self.workers.get(sight.worker)} if sight.worker else {},
            consumed=self._consumed.get((sight.worker, sight.profile.profile), NOTHING_CONSUMED),
            place=self.place(sight.profile, sight.request_id),
            head=queue[0] if queue else None,
        )

    def hold(self, profile: ProfileName) -> Hold | None:
        """The hold that a profile has."""
        seen = self._records.get(profile)
        if seen is None:
            return None
        return hold_seen(profile, Snapshot(epoch=self.epoch, record=seen.record, mod=seen.mod))

    def holds(self, worker: str) -> list[Hold]:
        """The holds that a worker has."""
        found = (self.hold(profile) for profile in self._held.get(worker, ()))
        return [hold for hold in found if hold is not None]

    def record(self, profile: ProfileName) -> Record | None:
        """What a profile's record says."""
        seen = self._records.get(profile)
        return seen.record if seen else None

    def seen(self, profile: ProfileName) -> tuple[Record, int] | None:
        """A profile's record with its mod_revision."""
        seen = self._records.get(profile)
        return (seen.record, seen.mod) if seen else None

    def profiles(self, tenant: str) -> list[ProfileName]:
        """All of a tenant's that are stored."""
        return [profile for profile in self._records if profile.tenant == tenant]

    def changed_since(self, profile: ProfileName, revision: int) -> bool:
        """Whether a profile's record or queue changed, or may have, after `revision`."""
        seen = self._records.get(profile)
        return (seen is not None and seen.mod > revision) or self._queue_log.changed_since(profile, revision)

    def bound(self) -> list[ProfileName]:
        """Profiles that are held or have an incident at work."""
        return list(self._bound)

    def is_bound(self, profile: ProfileName) -> bool:
        """Whether a profile is one of `bound`."""
        return profile in self._bound

    def take_lost(self, worker: str) -> list[Hold]:
        """The holds that a living worker lost to incidents since this was last asked."""
        return self._lost.pop(worker, [])

    def take_unreadable(self) -> list[tuple[bytes, str]]:
        """Keys, with the problem, that could not be understood since this was last asked."""
        found, self._unreadable = list(self._unreadable.items()), {}
        return found

    def lease_keys(self, worker: str) -> int:
        """How many keys ride on the worker's lease: w, its k and its q."""
        return 1 + self._riding.get(worker, 0)

    def queue(self, profile: ProfileName) -> list[Waiter]:
        """The places in order."""
        return self._queues.get(profile, [])

    def queued(self) -> list[ProfileName]:
        """Profiles that somebody waits for."""
        return list(self._queues)

    def unheld_queues(self) -> list[ProfileName]:
        """Profiles that somebody waits for and that may be to be had."""
        found = [*(self._queues.keys() - self._bound)]
        if self.states[State.RESUME_PENDING]:
            # Bound, but to a workflow that may be waiting.
            bound = self._queues.keys() & self._bound
            found += [each for each in bound if self._records[each].record.state is State.RESUME_PENDING]
        return found

    def place(self, profile: ProfileName, request_id: str) -> Waiter | None:
        return self._places.get((profile, request_id))

    def position(self, profile: ProfileName, request_id: str) -> int:
        """Place in the queue from 1; 0 when there is none."""
        place = self.place(profile, request_id)
        return bisect.bisect_left(self.queue(profile), place[:2], key=lambda w: w[:2]) + 1 if place else 0

    # --- how it is kept ----------------------------------------------------------------

    def _clear(self) -> None:
        self.epoch = EpochSeen(0, 0)
        # The etcd cluster that the epoch is good for.
        self.cluster = ""
        # How many profiles are in each state; how many a tenant has held, and places in queues.
        self.states: Counter[State] = Counter()
        self.tenant_holds: Counter[str] = Counter()
        self.tenant_waiters: Counter[str] = Counter()
        self.workers: dict[str, WorkerSeen] = {}
        self.hosts: dict[str, KeyValue] = {}
        self.schedules: dict[str, Schedule] = {}
        self._records: dict[ProfileName, _Seen] = {}
        self._bound: set[ProfileName] = set()
        self._held: defaultdict[str, set[ProfileName]] = defaultdict(set)
        self._lost: dict[str, list[Hold]] = {}
        self._queues: dict[ProfileName, list[Waiter]] = {}
        self._places: dict[tuple[ProfileName, str], Waiter] = {}
        self._consumed: dict[tuple[str, str], Consumed] = {}
        self._riding: defaultdict[str, int] = defaultdict(int)

    def _put(self, kv: KeyValue) -> list[Touched]:
        parts = self.keys.split(kv.key)
        try:
            match parts:
                case ("p", tenant, profile):
                    return self._put_record(ProfileName(tenant, profile), kv)
                case ("q", tenant, profile, _):
                    return self._put_place(ProfileName(tenant, profile), kv)
                case ("k", worker, profile):
                    known = self._consumed.get((worker, profile))
                    if known is None:
                        self._riding[worker] += 1
                    if known is None or known.mod <= kv.mod_revision:
                        self._consumed[worker, profile] = consumed_seen(kv)
                case ("w", worker):
                    if (seen := worker_seen(kv)) is not None:
                        self.workers[worker] = seen
                case ("h", host):
                    self.hosts[host] = kv
                case ("x", host):
                    self.schedules[host] = decode(Schedule, kv.value)
                case ("epoch",):
                    self.epoch = epoch_seen(kv)
                    self.cluster = decode(Epoch, kv.value).cluster
        except Unreadable as error:
            self._unreadable[kv.key] = str(error)
        return []

    def _delete(self, key: bytes, revision: int) -> list[Touched]:
        parts = self.keys.split(key)
        match parts:
            case ("q", tenant, profile, request_id):
                return self._delete_place(ProfileName(tenant, profile), request_id, revision)
            case ("k", worker, profile):
                if self._consumed.pop((worker, profile), None) is not None:
                    self._riding[worker] -= 1
            case ("w", worker):
                if self.workers.pop(worker, None) is not None:
                    self.workers_gone += 1
                self._lost.pop(worker, None)
                self._riding.pop(worker, None)
                # What it holds has no owner now.
                return [Touched(profile) for profile in self._held.get(worker, ())]
            case ("h", host):
                self.hosts.pop(host, None)
        return []

    def _put_record(self, profile: ProfileName, kv: KeyValue) -> list[Touched]:
        before = self._records.get(profile)
        if before is not None and before.mod >= kv.mod_revision:
            return []
        held_before = self.hold(profile)
        record = decode(Record, kv.value)
        self._records[profile] = _Seen(record, kv.mod_revision)
        if before is not None:
            self.states[before.record.state] -= 1
            self.tenant_holds[profile.tenant] -= before.record.state is State.HELD
        self.states[record.state] += 1
        self.tenant_holds[profile.tenant] += record.state is State.HELD
        if record.state is State.HELD or record.state in AT_WORK:
            self._bound.add(profile)
        else:
            self._bound.discard(profile)
        if held_before is not None:
            worker = held_before.holding.worker
            self._held[worker].discard(profile)
            if not self._held[worker]:
                del self._held[worker]
            if record.state in IN_INCIDENT and worker in self.workers:
                self._lost.setdefault(worker, []).append(held_before)
        if (held := self.hold(profile)) is not None:
            self._held[held.holding.worker].add(profile)
        return [Touched(profile)]

    def _put_place(self, profile: ProfileName, kv: KeyValue) -> list[Touched]:
        waiter = waiter_seen(kv)
        if waiter is None or (profile, waiter.request_id) in self._places:
            return []
        self._places[profile, waiter.request_id] = waiter
        self._riding[waiter.ask.worker] += 1
        self.tenant_waiters[profile.tenant] += 1
        self._queue_log.note(profile, waiter.create)
        bisect.insort(self._queues.setdefault(profile, []), waiter, key=lambda w: w[:2])
        return [Touched(profile, waiter.request_id)]

    def _delete_place(self, profile: ProfileName, request_id: str, revision: int) -> list[Touched]:
        waiter = self._places.get((profile, request_id))
        if waiter is None or waiter.create > revision:
            return []
        del self._places[profile, request_id]
        self._riding[waiter.ask.worker] -= 1
        self.tenant_waiters[profile.tenant] -= 1
        self._queue_log.note(profile, revision)
        queue = self._queues[profile]
        queue.pop(bisect.bisect_left(queue, waiter[:2], key=lambda w: w[:2]))
        if not queue:
            del self._queues[profile]
        return [Touched(profile, request_id)]
