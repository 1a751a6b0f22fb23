"""Granting: to one who asks, to the head of the queue (rule 4), to the workflow that resumes (rule 5)."""

from __future__ import annotations

from lockservice.core.changes import leave, put_record
from lockservice.core.decision import Decision, Reply, Write
from lockservice.core.hold import Hold
from lockservice.core.keys import Keys
from lockservice.core.record import FREE, Holding, Origin, Record, State
from lockservice.core.snapshot import Snapshot, Waiter
from lockservice.core.states import moved
from lockservice.core.stored import Ask
from lockservice.etcd.txn import Compare, created_at, empty, mod_is, none_older
from tenure import token as tokens
from tenure.names import ProfileName


def is_free(record: Record | None) -> bool:
    """Grantable to anybody, in the queue's order."""
    return record is None or record.state in FREE


def resumes(record: Record | None, ask: Ask, now_ms: int) -> bool:
    """Grantable to this one whatever the queue says: it is waited for, and the checkpoint fits its plan."""
    return waited_for(record, ask, now_ms) and record is not None and fits(ask, record.resume_plan)


def fits(ask: Ask, plan: str | None) -> bool:
    """Whether a checkpoint of `plan` (None: there is no checkpoint) is one of the plan that was named, if
    any was.
    """
    return not ask.plan or plan in (None, ask.plan)


def waited_for(record: Record | None, ask: Ask, now_ms: int) -> bool:
    """RESUME_PENDING, its workflow, its proxy, in time."""
    return (
        record is not None
        and record.state is State.RESUME_PENDING
        and record.holding is not None
        and now_ms < record.resume_until_ms
        and (record.holding.workflow_id, record.holding.proxy_key) == (ask.workflow_id, ask.proxy_key)
    )


def granted(
    profile: ProfileName,
    snapshot: Snapshot,
    ask: Ask,
    worker_create: int,
    now_ms: int,
    before: Record | None,
) -> Record:
    """The HELD record that grants `ask` to its worker as created at `worker_create`; `before` is the record
    with what a release adds to it.
    """
    failed = before.failed_attempts if before else 0
    origin = Origin.NEW
    if before is not None and before.state is State.RESUME_PENDING:
        origin = Origin.RESUMED
    elif before is not None and before.state is State.RETRY:
        origin = Origin.RETRY
    after = Record(
        state=State.HELD,
        epoch=snapshot.epoch.number,
        since_ms=now_ms,
        as_sent=before.as_sent if before else ask.as_sent or profile.profile,
        home=(before.home if before else "") or ask.home_hint,
        used=before.used if before else False,
        flushed_ms=before.flushed_ms if before else 0,
        failed_attempts=failed,
        holding=Holding(
            worker=ask.worker,
            worker_create=worker_create,
            request_id=ask.request_id,
            run_id=ask.run_id,
            as_sent=ask.as_sent,
            workflow_id=ask.workflow_id,
            proxy_key=ask.proxy_key,
            granted_ms=now_ms,
            deadline_ms=now_ms + ask.max_runtime_ms,
            origin=origin,
            attempt=failed + 1,
            plan=ask.plan,
            restartable=ask.restartable,
        ),
    )
    return moved(before, after)


def head_guards(keys: Keys, profile: ProfileName, head: Waiter | None) -> tuple[Compare, ...]:
    """The queue's head is as seen (rules 4 and 6), and its worker alive; or the queue is empty."""
    queue = keys.queue(profile)
    if head is None:
        return (empty(queue),)
    return (
        none_older(queue, head.create),
        created_at(keys.place(profile, head.request_id), head.create),
        created_at(keys.worker(head.ask.worker), head.ask.worker_create),
    )


def grant_place(
    keys: Keys, profile: ProfileName, snapshot: Snapshot, place: Waiter, now_ms: int
) -> Write[Hold]:
    """Grant to a place in the queue: the head of a free profile, or whoever resumes."""
    record = granted(profile, snapshot, place.ask, place.ask.worker_create, now_ms, snapshot.record)
    if resumes(snapshot.record, place.ask, now_ms):
        ordered: tuple[Compare, ...] = (
            created_at(keys.place(profile, place.request_id), place.create),
            created_at(keys.worker(place.ask.worker), place.ask.worker_create),
        )
    else:
        ordered = head_guards(keys, profile, place)
    return Write(
        (mod_is(keys.epoch, snapshot.epoch.mod), mod_is(keys.record(profile), snapshot.mod), *ordered),
        (put_record(keys, profile, record), leave(keys, profile, place.request_id)),
        lambda revision: Hold(profile, record, tokens.pack(record.epoch, revision)),
    )


def may_have(snapshot: Snapshot, place: Waiter, now_ms: int) -> bool:
    """Whether a place is to be granted now."""
    if resumes(snapshot.record, place.ask, now_ms):
        return True
    is_head = snapshot.head is not None and snapshot.head.request_id == place.request_id
    return is_head and is_free(snapshot.record)


def decide(keys: Keys, profile: ProfileName, snapshot: Snapshot, now_ms: int) -> Decision[Hold | None]:
    """Rules 4 and 5 as anybody may apply them: to the place looked at if it resumes, else to the head."""
    for place in (snapshot.place, snapshot.head):
        if place is not None and may_have(snapshot, place, now_ms):
            return grant_place(keys, profile, snapshot, place, now_ms)
    return Reply(None)
