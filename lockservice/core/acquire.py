"""Rule 3: an Acquire is granted, joins the queue, or hears what became of it."""

from __future__ import annotations

import dataclasses

from lockservice.core import caps
from lockservice.core.caps import Room
from lockservice.core.changes import consume, join, put_record
from lockservice.core.decision import Decision, Refuse, Reply, Write
from lockservice.core.grant import (
    fits,
    grant_place,
    granted,
    is_free,
    may_have,
    resumes,
    waited_for,
)
from lockservice.core.hold import Hold, hold_seen
from lockservice.core.keys import Keys
from lockservice.core.record import IN_INCIDENT, State
from lockservice.core.snapshot import Snapshot, Waiter, WorkerSeen
from lockservice.core.stored import Ask
from lockservice.etcd.txn import Compare, absent, created_at, empty, mod_is
from tenure import token as tokens
from tenure.errors import (
    CheckpointMismatch,
    InvalidId,
    LeaseExpired,
    ProfileBusy,
    ProfileDisabled,
    ProfileInReview,
    ProfileQuarantined,
    QuotaExceeded,
    RequestEnded,
    ResumePending,
    TenureError,
)
from tenure.names import ProfileName
from tenure.value import value

# So many keys may ride on one lease; its worker's own is one of them, and an Acquire that waits adds two.
MAX_LEASE_KEYS = 1000


@value
class Queued:
    """The Acquire has a place."""

    place: Waiter


def decide(
    keys: Keys,
    profile: ProfileName,
    snapshot: Snapshot,
    ask: Ask,
    *,
    tenant: str,
    waits: bool,
    lease_keys: int,
    now_ms: int,
    saved_plan: str | None = None,
    room: Room = caps.ALL,
) -> Decision[Hold | Queued]:
    """Decide an Acquire of `ask.request_id`. `lease_keys`: how many keys the worker's lease has, about.
    `room`: what its tenant may have; it bounds what is new, never one that was decided before or resumes.

    `saved_plan`: that of the checkpoint that is asked for, where it matters and there is one, read with the
    snapshot: only an owner writes a checkpoint, so the compare of mod(p) guards it too.
    """
    worker = snapshot.workers.get(ask.worker)
    # One of another tenant is as good as none, so that nothing is told of what exists there.
    if worker is None or worker.worker.tenant != tenant:
        return Refuse(LeaseExpired(worker=f"workers/{ask.worker}"))
    if ask.request_id < snapshot.consumed.request_id:
        return Refuse(RequestEnded(request_id=ask.request_id))
    if ask.request_id == snapshot.consumed.request_id:
        return _again(keys, profile, snapshot, ask, now_ms)
    if snapshot.place is not None and snapshot.place.ask.worker != ask.worker:
        return Refuse(_not_unique(ask))
    if (full := why_not_carried(snapshot, lease_keys, adds=2)) is not None:
        return Refuse(full)
    if resumes(snapshot.record, ask, now_ms):
        return _grant(keys, profile, snapshot, ask, worker, (), now_ms)
    if waited_for(snapshot.record, ask, now_ms) or not fits(ask, saved_plan):
        return Refuse(other_plan(profile, ask))
    if is_free(snapshot.record) and snapshot.head is None:
        if (full := room.no_hold()) is not None:
            return Refuse(full)
        return _grant(keys, profile, snapshot, ask, worker, (empty(keys.queue(profile)),), now_ms)
    if not waits or (snapshot.record is not None and snapshot.record.state is State.DISABLED):
        return Refuse(why_not(profile, snapshot, ask.as_sent or profile.profile))
    if (full := room.no_place()) is not None:
        return Refuse(full)
    return _join(keys, profile, snapshot, ask, worker, now_ms)


def other_plan(profile: ProfileName, ask: Ask) -> TenureError:
    """The workflow's checkpoint is not one of the plan that the Acquire names."""
    return CheckpointMismatch(
        profile=ask.as_sent or profile.profile,
        workflow_id=ask.workflow_id,
        problem=f"it was written under another plan than '{ask.plan}'",
    )


def own_hold(profile: ProfileName, snapshot: Snapshot, worker: str, request_id: str) -> Hold | None:
    """The hold that this very request was granted, while it lasts."""
    hold = hold_seen(profile, snapshot)
    if hold is None or (hold.holding.worker, hold.holding.request_id) != (worker, request_id):
        return None
    return hold


def why_not_carried(snapshot: Snapshot, lease_keys: int, *, adds: int) -> TenureError | None:
    """Why a worker's lease, which has about so many keys, cannot carry what a profile `adds`; None when it
    can, or has it already.
    """
    if snapshot.consumed.mod or lease_keys + adds <= MAX_LEASE_KEYS:
        return None
    return QuotaExceeded(
        "This worker has used as many profiles as one lease can carry (about 1,000). "
        "Register another worker for more.",
        limit="profiles a worker",
        value=MAX_LEASE_KEYS,
    )


def why_not(profile: ProfileName, snapshot: Snapshot, as_sent: str) -> TenureError:
    """Say why a profile is not to be had at once."""
    record = snapshot.record
    state = record.state.value if record else ""
    incident = f"{profile}/incidents/{record.incident}" if record and record.incident else ""
    if record is not None and record.state in IN_INCIDENT:
        return ProfileQuarantined(profile=as_sent, state=state, incident=incident)
    if record is not None and record.state is State.MANUAL_REVIEW:
        return ProfileInReview(profile=as_sent, incident=incident)
    if record is not None and record.state is State.DISABLED:
        return ProfileDisabled(profile=as_sent)
    if record is not None and record.state is State.RESUME_PENDING:
        workflow = record.holding.workflow_id if record.holding else ""
        return ResumePending(profile=as_sent, workflow_id=workflow)
    holder = record.holding.run_id if record and record.holding else ""
    if is_free(record) and snapshot.head is not None:
        # Between two holders: the next one is known.
        holder = snapshot.head.ask.run_id
    return ProfileBusy(profile=as_sent, holder_run_id=holder, state=state, retry_after_s=1.0)


def _again(
    keys: Keys, profile: ProfileName, snapshot: Snapshot, ask: Ask, now_ms: int
) -> Decision[Hold | Queued]:
    """n = k: its hold, its place, or ENDED."""
    if (hold := own_hold(profile, snapshot, ask.worker, ask.request_id)) is not None:
        return Reply(hold)
    place = snapshot.place
    if place is None or place.ask.worker != ask.worker:
        return Refuse(RequestEnded(request_id=ask.request_id))
    if may_have(snapshot, place, now_ms):
        return grant_place(keys, profile, snapshot, place, now_ms)
    return Reply(Queued(place))


def _grant(
    keys: Keys,
    profile: ProfileName,
    snapshot: Snapshot,
    ask: Ask,
    worker: WorkerSeen,
    ordered: tuple[Compare, ...],
    now_ms: int,
) -> Write[Hold | Queued]:
    record = granted(profile, snapshot, ask, worker.create, now_ms, snapshot.record)
    return Write(
        (*_guards(keys, profile, snapshot, ask, worker), *ordered),
        (
            put_record(keys, profile, record),
            consume(keys, profile, ask.worker, ask.request_id, worker.worker.lease),
        ),
        lambda revision: Hold(profile, record, tokens.pack(record.epoch, revision)),
    )


def _join(
    keys: Keys, profile: ProfileName, snapshot: Snapshot, ask: Ask, worker: WorkerSeen, now_ms: int
) -> Write[Hold | Queued]:
    ask = dataclasses.replace(ask, worker_create=worker.create, joined_ms=now_ms)
    place = keys.place(profile, ask.request_id)
    lease = worker.worker.lease
    head: tuple[Compare, ...] = ()
    if is_free(snapshot.record) and snapshot.head is not None:
        # Only the head keeps it from being granted at once; and the head may be gone, which p does not tell.
        head = (created_at(keys.place(profile, snapshot.head.request_id), snapshot.head.create),)
    return Write(
        # mod(p) as seen: a JOIN decided on a profile that was busy must not apply once it was released to
        # nobody.
        (*_guards(keys, profile, snapshot, ask, worker), absent(place), *head),
        (join(keys, profile, ask, lease), consume(keys, profile, ask.worker, ask.request_id, lease)),
        lambda revision: Queued(Waiter(revision, ask.request_id, ask)),
    )


def _guards(
    keys: Keys, profile: ProfileName, snapshot: Snapshot, ask: Ask, worker: WorkerSeen
) -> tuple[Compare, ...]:
    """The epoch, p as seen, w alive, and k as seen: below n, so that n is used up once."""
    return (
        mod_is(keys.epoch, snapshot.epoch.mod),
        mod_is(keys.record(profile), snapshot.mod),
        created_at(keys.worker(ask.worker), worker.create),
        mod_is(keys.consumed(ask.worker, profile), snapshot.consumed.mod),
    )


def _not_unique(ask: Ask) -> TenureError:
    return InvalidId(
        field="request_id",
        value=ask.request_id,
        problem="is another worker's",
        remedy="mint an id for each request, as a ULID or UUIDv7",
    )
