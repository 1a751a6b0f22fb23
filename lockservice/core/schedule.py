"""Whether a host takes new profiles: cordoned, draining or ready, durably and on record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from lockservice.core.decision import Decision, Refuse, Reply, Write
from lockservice.core.document import Unreadable, decode, encode
from lockservice.core.keys import Keys
from lockservice.core.stored import Schedule
from lockservice.etcd.txn import Op, exists, get, mod_is, put
from tenure.errors import NotFound
from tenure.etcdwire.v1 import etcdwire_pb2 as wire

READY, CORDONED, DRAINING = "READY", "CORDONED", "DRAINING"
STATES = frozenset({READY, CORDONED, DRAINING})
# Stands for what cannot be read: such a host is told to be in no state at all. So it gets no profiles, and
# goes on as it was.
UNKNOWN = Schedule(state="UNSPECIFIED", by="", since_ms=0)


class Seen(NamedTuple):
    """A host as one raft-ordered Txn read it; `epoch` and `mod` are revisions of the epoch and of `x`."""

    epoch: int
    alive: bool
    schedule: Schedule | None
    mod: int


def reads(keys: Keys, host: str) -> list[Op]:
    """What `seen` is made from."""
    return [get(keys.epoch), get(keys.host(host)), get(keys.schedule(host))]


def read(data: bytes) -> Schedule:
    """What was stored. Raises Unreadable, also for a state that only a newer version knows."""
    found = decode(Schedule, data)
    if found.state not in STATES:
        raise Unreadable(f"Schedule of state {found.state!r}, which this replica does not know: upgrade it")
    return found


def seen(responses: Sequence[wire.ResponseOp]) -> Seen:
    """What `reads` answered. Raises Unreadable."""
    epoch, host, schedule = (list(response.response_range.kvs) for response in responses)
    return Seen(
        epoch=epoch[0].mod_revision if epoch else 0,
        alive=bool(host),
        schedule=read(schedule[0].value) if schedule else None,
        mod=schedule[0].mod_revision if schedule else 0,
    )


def decide(keys: Keys, host: str, found: Seen, wanted: Schedule) -> Decision[Schedule]:
    """Make the schedule as wanted; one that says the same already stays, with whoever said it first.

    Only a host that is alive is cordoned: another name is most likely mistyped. A cordon is taken back from
    whatever host has one.
    """
    if found.schedule is not None and found.schedule.state == wanted.state:
        return Reply(found.schedule)
    if wanted.state == READY and found.schedule is None:
        return Reply(wanted) if found.alive else Refuse(NotFound(name=f"hosts/{host}"))
    if wanted.state != READY and not found.alive:
        return Refuse(NotFound(name=f"hosts/{host}"))
    key = keys.schedule(host)
    alive = () if wanted.state == READY else (exists(keys.host(host)),)
    return Write(
        (mod_is(keys.epoch, found.epoch), mod_is(key, found.mod), *alive),
        (put(key, encode(wanted)),),
        lambda _: wanted,
    )
