"""Rule 8: giving up an Acquire, wherever it is by now; and the end of a wait."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from lockservice.core import release
from lockservice.core.acquire import own_hold
from lockservice.core.changes import consume, leave
from lockservice.core.decision import Decision, Refuse, Reply, Write, mapped
from lockservice.core.hold import Hold
from lockservice.core.keys import Keys
from lockservice.core.record import State
from lockservice.core.snapshot import Snapshot
from lockservice.etcd.txn import created_at, mod_is
from tenure.errors import LeaseExpired, RequestEnded
from tenure.names import ProfileName


class Cancelled(enum.Enum):
    """What a cancellation found and did; numbers as in the API."""

    LEFT_QUEUE = 1
    BURNT = 2
    RELEASED = 3
    ALREADY_ENDED = 4


@dataclass(frozen=True, slots=True)
class Left:
    """The wait is over and the place is gone."""


def decide(
    keys: Keys,
    profile: ProfileName,
    snapshot: Snapshot,
    *,
    worker: str,
    tenant: str,
    request_id: str,
    now_ms: int,
) -> Decision[Cancelled]:
    """Leave the queue, or burn the id, or release what was granted meanwhile."""
    seen = snapshot.workers.get(worker)
    if seen is None or seen.worker.tenant != tenant:
        return Refuse(LeaseExpired(worker=f"workers/{worker}"))
    if (leaving := _leave(keys, profile, snapshot, worker)) is not None:
        return mapped(leaving, lambda _: Cancelled.LEFT_QUEUE)
    if (hold := own_hold(profile, snapshot, worker, request_id)) is not None:
        ending = release.Ending(token=hold.token)
        released = release.decide(keys, profile, snapshot, ending, now_ms)
        return mapped(released, lambda _: Cancelled.RELEASED)
    if snapshot.consumed.request_id < request_id:
        consumed = keys.consumed(worker, profile)
        return Write(
            (
                mod_is(keys.epoch, snapshot.epoch.mod),
                created_at(keys.worker(worker), seen.create),
                mod_is(consumed, snapshot.consumed.mod),
            ),
            (consume(keys, profile, worker, request_id, seen.worker.lease),),
            lambda _: Cancelled.BURNT,
        )
    return Reply(Cancelled.ALREADY_ENDED)


def decide_wait_end(
    keys: Keys, profile: ProfileName, snapshot: Snapshot, *, worker: str, request_id: str
) -> Decision[Hold | Left]:
    """The wait ran out: leave the queue, or take what was granted meanwhile."""
    if (hold := own_hold(profile, snapshot, worker, request_id)) is not None:
        return Reply(hold)
    if (leaving := _leave(keys, profile, snapshot, worker)) is not None:
        return mapped(leaving, lambda left: left)
    if snapshot.workers.get(worker) is None:
        return Refuse(LeaseExpired(worker=f"workers/{worker}"))
    return Refuse(RequestEnded(request_id=request_id))


def decide_out_of_use(
    keys: Keys, profile: ProfileName, snapshot: Snapshot, *, worker: str, request_id: str
) -> Decision[Hold | Left | None]:
    """The profile seems to be disabled: leave the queue while it is. None: it is not, so the wait goes on."""
    record = snapshot.record
    if record is None or record.state is not State.DISABLED:
        return Reply(own_hold(profile, snapshot, worker, request_id))
    ending = decide_wait_end(keys, profile, snapshot, worker=worker, request_id=request_id)
    if not isinstance(ending, Write):
        return ending
    # Should it be enabled meanwhile, whoever waits may be granted.
    return Write((*ending.compares, mod_is(keys.record(profile), snapshot.mod)), ending.ops, ending.then)


def _leave(keys: Keys, profile: ProfileName, snapshot: Snapshot, worker: str) -> Write[Left] | None:
    place = snapshot.place
    if place is None or place.ask.worker != worker:
        return None
    still_there = created_at(keys.place(profile, place.request_id), place.create)
    return Write(
        (mod_is(keys.epoch, snapshot.epoch.mod), still_there),
        (leave(keys, profile, place.request_id),),
        lambda _: Left(),
    )
