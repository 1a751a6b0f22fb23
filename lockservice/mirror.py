"""A replica's picture of etcd: what one watch told it, plus what it wrote itself.

Pure: changes go in, guesses come out. A guess may be old, so nothing is decided on it but what to try first.
"""

from __future__ import annotations

import bisect
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from lockservice.core import changes, schedule
from lockservice.core.document import Unreadable, decode
from lockservice.core.hold import Hold
from lockservice.core.keys import Keys
from lockservice.core.record import IN_INCIDENT, Record, State
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
from lockservice.core.stored import Epoch, Schedule, Settings
from lockservice.etcd.txn import NOTHING, Op
from lockservice.queue_log import QueueLog
from lockservice.records import Records, Seen
from tenure import token as tokens
from tenure.etcdwire.v1 import etcdwire_pb2 as wire
from tenure.names import ProfileName


class Touched(NamedTuple):
    """A profile that changed; with a request id when it was that place in its queue."""

    profile: ProfileName
    request_id: str = ""


# What a mirror does not adopt of another: how it came to know what it knows.
_KEPT = frozenset({"keys", "revision", "written", "workers_gone", "_unreadable", "_queue_log", "_own"})


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
        # Revisions at which this replica wrote, and knows all that was written, that the watch has yet to
        # tell: one revision is one Txn.
        self._own: set[int] = set()
        self.epoch = EpochSeen(0, 0)
        # The etcd cluster that the epoch is good for.
        self.cluster = ""
        # How many places in queues a tenant has.
        self.tenant_waiters: Counter[str] = Counter()
        self.workers: dict[str, WorkerSeen] = {}
        self.hosts: dict[str, KeyValue] = {}
        self.schedules: dict[str, Schedule] = {}
        # Few profiles have any.
        self._settings: dict[ProfileName, tuple[Settings, int]] = {}
        self._records = Records()
        self._lost: dict[str, list[Hold]] = {}
        self._queues: dict[ProfileName, list[Waiter]] = {}
        self._places: dict[tuple[ProfileName, str], Waiter] = {}
        self._consumed: dict[tuple[str, str], Consumed] = {}
        self._riding: defaultdict[str, int] = defaultdict(int)

    # --- what goes in ------------------------------------------------------------------

    def fill(self, kvs: Iterable[KeyValue]) -> None:
        """Take a part of all there is, before anybody asks."""
        for kv in kvs:
            self._put(kv)

    def adopt(self, filled: Mirror, revision: int) -> list[Touched]:
        """Forget everything, and know what `filled` was told of `revision`. Returns every profile that is
        bound or has a queue.
        """
        for name, value in vars(filled).items():
            if name not in _KEPT:
                setattr(self, name, value)
        self._unreadable.update(filled.take_unreadable())
        self.revision = revision
        # What it wrote beyond that the watch tells anew, or it was written to a store that has gone back.
        self.written = min(self.written, revision)
        self._own.clear()
        self._queue_log.begin(revision)
        return [Touched(profile) for profile in {*self._records.bound, *self._queues}]

    def replace(self, kvs: Iterable[KeyValue], revision: int) -> list[Touched]:
        """Forget everything, and take all there is at once. Returns as `adopt`."""
        filled = Mirror(self.keys)
        filled.fill(kvs)
        return self.adopt(filled, revision)

    def apply(self, events: Iterable[wire.Event]) -> list[Touched]:
        """Take a watch's changes, in order."""
        touched: list[Touched] = []
        for event in events:
            kv = event.kv
            self.revision = revision = kv.mod_revision
            if revision in self._own:
                continue
            if event.type == wire.Event.EVENT_TYPE_DELETE:
                touched += self._delete(kv.key, revision)
            else:
                touched += self._put(kv)
        self._own = {revision for revision in self._own if revision > self.revision}
        return touched

    def learn(self, ops: Iterable[Op], revision: int) -> list[Touched]:
        """Take what this replica itself wrote at `revision`, all of it, before the watch tells it.

        So a hold that was granted here is known here at once, and the next first guess is right. When the
        watch was faster it has told more than this: a place that was left again must not come back.
        """
        touched: list[Touched] = []
        if revision <= self.revision:
            return touched
        known = True
        for op in ops:
            change = op.means
            if change is NOTHING:
                continue
            if isinstance(change, changes.Recorded):
                touched += self._put_record(change.profile, change.stored, revision, change.record)
            elif isinstance(change, changes.Consumed):
                self._put_consumed(change.worker, change.profile, Consumed(change.request_id, revision))
            elif isinstance(change, changes.Joined):
                place = Waiter(revision, change.ask.request_id, change.ask)
                touched += self._put_place(change.profile, place)
            elif isinstance(change, changes.Left):
                gone = self._delete_place(change.profile, change.request_id, revision)
                # A place that the watch has yet to tell of: its end must be heard after it.
                known = known and bool(gone)
                touched += gone
            else:
                # Of other keys the watch may have older news to tell.
                known = False
                touched += self._read_off(op, revision)
        if touched:
            self.written = revision
            if known:
                self._own.add(revision)
        return touched

    def _read_off(self, op: Op, revision: int) -> list[Touched]:
        """Take an operation that does not say what it means."""
        message = op.message()
        if message.HasField("request_delete_range"):
            return self._delete(message.request_delete_range.key, revision)
        put = message.request_put
        # The keys whose creation matters (w, q) are put once, when they are created.
        return self._put(
            KeyValue(
                key=put.key,
                value=put.value,
                lease=put.lease,
                create_revision=revision,
                mod_revision=revision,
            )
        )

    # --- what comes out ----------------------------------------------------------------

    def guess(self, sight: Sight) -> Snapshot:
        """What the reads of `sight` would probably show; not proven."""
        profile, worker = sight.profile, sight.worker
        seen = self._records.get(profile)
        # Nearly always nobody waits.
        queue = self._queues.get(profile)
        return Snapshot(
            epoch=self.epoch,
            record=seen.record if seen else None,
            mod=seen.mod if seen else 0,
            workers={worker: self.workers.get(worker)} if worker else {},
            consumed=self._consumed.get((worker, profile.profile), NOTHING_CONSUMED),
            place=self.place(profile, sight.request_id) if queue else None,
            head=queue[0] if queue else None,
        )

    def hold(self, profile: ProfileName) -> Hold | None:
        """The hold that a profile has."""
        return _hold(profile, self._records.get(profile)) if profile in self._records.bound else None

    def holds(self, worker: str) -> list[Hold]:
        """The holds that a worker has."""
        found = (self.hold(profile) for profile in self._records.holders.get(worker, ()))
        return [hold for hold in found if hold is not None]

    def record(self, profile: ProfileName) -> Record | None:
        """What a profile's record says."""
        seen = self._records.get(profile)
        return seen.record if seen else None

    def seen(self, profile: ProfileName) -> Seen | None:
        """A profile's record with its mod_revision."""
        return self._records.get(profile)

    def settings(self, profile: ProfileName) -> Settings | None:
        """How a profile's browser looks, and its labels; None when nobody said."""
        found = self._settings.get(profile)
        return found[0] if found else None

    def profiles(self, tenant: str) -> list[ProfileName]:
        """All of a tenant's that are stored."""
        return self._records.of(tenant)

    def everything(self) -> list[Touched]:
        """Every profile that has a record or a queue."""
        return [Touched(profile) for profile in {*self._records, *self._queues}]

    def changed_since(self, profile: ProfileName, revision: int) -> bool:
        """Whether a profile's record or queue changed, or may have, after `revision`."""
        return self._records.mod(profile) > revision or self._queue_log.changed_since(profile, revision)

    @property
    def states(self) -> Counter[State]:
        """How many profiles are in each state."""
        return self._records.states

    @property
    def tenant_holds(self) -> Counter[str]:
        """How many profiles of a tenant are held."""
        return self._records.held

    def bound(self) -> list[ProfileName]:
        """Profiles that are held or have an incident at work."""
        return list(self._records.bound)

    def is_bound(self, profile: ProfileName) -> bool:
        """Whether a profile is one of `bound`."""
        return profile in self._records.bound

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
        all_bound = self._records.bound
        found = [*(self._queues.keys() - all_bound)]
        if self.states[State.RESUME_PENDING]:
            # Bound, but to a workflow that may be waiting.
            bound = self._queues.keys() & all_bound
            found += [each for each in bound if self._in(each, State.RESUME_PENDING)]
        return found

    def place(self, profile: ProfileName, request_id: str) -> Waiter | None:
        return self._places.get((profile, request_id))

    def position(self, profile: ProfileName, request_id: str) -> int:
        """Place in the queue from 1; 0 when there is none."""
        place = self.place(profile, request_id)
        return bisect.bisect_left(self.queue(profile), place[:2], key=lambda w: w[:2]) + 1 if place else 0

    # --- how it is kept ----------------------------------------------------------------

    def _put(self, kv: KeyValue) -> list[Touched]:
        parts = self.keys.split(kv.key)
        try:
            match parts:
                case ("p", tenant, profile):
                    return self._put_record(ProfileName(tenant, profile), kv.value, kv.mod_revision)
                case ("q", tenant, profile, _):
                    return self._put_place(ProfileName(tenant, profile), waiter_seen(kv))
                case ("k", worker, profile):
                    self._put_consumed(worker, profile, consumed_seen(kv))
                case ("w", worker):
                    if (seen := worker_seen(kv)) is not None:
                        self.workers[worker] = seen
                case ("h", host):
                    self.hosts[host] = kv
                case ("s", tenant, profile):
                    return self._put_settings(ProfileName(tenant, profile), kv)
                case ("x", host):
                    self.schedules[host] = schedule.UNKNOWN
                    self.schedules[host] = schedule.read(kv.value)
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
                return [Touched(profile) for profile in self._records.holders.get(worker, ())]
            case ("h", host):
                self.hosts.pop(host, None)
        return []

    def _put_record(
        self, profile: ProfileName, value: bytes, revision: int, record: Record | None = None
    ) -> list[Touched]:
        changed = self._records.put(profile, value, revision, record)
        if changed is None:
            return []
        before, now = changed
        if now is None or now.record.state not in IN_INCIDENT:
            return [Touched(profile)]
        lost = _hold(profile, before)
        if lost is not None and lost.holding.worker in self.workers:
            self._lost.setdefault(lost.holding.worker, []).append(lost)
        return [Touched(profile)]

    def _put_settings(self, profile: ProfileName, kv: KeyValue) -> list[Touched]:
        known = self._settings.get(profile)
        if known is None or known[1] < kv.mod_revision:
            self._settings[profile] = (decode(Settings, kv.value), kv.mod_revision)
        return []

    def _put_consumed(self, worker: str, profile: str, consumed: Consumed) -> None:
        known = self._consumed.get((worker, profile))
        if known is None:
            self._riding[worker] += 1
        if known is None or known.mod <= consumed.mod:
            self._consumed[worker, profile] = consumed

    def _put_place(self, profile: ProfileName, waiter: Waiter | None) -> list[Touched]:
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

    def _in(self, profile: ProfileName, state: State) -> bool:
        seen = self._records.get(profile)
        return seen is not None and seen.record.state is state


def _hold(profile: ProfileName, seen: Seen | None) -> Hold | None:
    if seen is None or seen.record.state is not State.HELD:
        return None
    return Hold(profile, seen.record, tokens.pack(seen.record.epoch, seen.mod))
