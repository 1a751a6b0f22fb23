"""What transitions change of that which replicas mirror: as operations, which say what they mean.

So the replica that wrote it knows it at once, and need not read what it has just made.
"""

from __future__ import annotations

from lockservice.core.document import encode
from lockservice.core.keys import Keys
from lockservice.core.record import Record
from lockservice.core.record_text import encode_record
from lockservice.core.stored import Ask
from lockservice.etcd.txn import Op, delete, put
from tenure.names import ProfileName
from tenure.value import value


@value
class Recorded:
    """A profile's record; `stored` is how it is written."""

    profile: ProfileName
    record: Record
    stored: bytes


@value
class Consumed:
    """A request id is used up, by a worker for a profile of its tenant."""

    worker: str
    profile: str
    request_id: str


@value
class Joined:
    """A place in a profile's queue was made."""

    profile: ProfileName
    ask: Ask


@value
class Left:
    """A place in a profile's queue is gone."""

    profile: ProfileName
    request_id: str


def put_record(keys: Keys, profile: ProfileName, record: Record) -> Op:
    """Write a profile's record."""
    stored = encode_record(record)
    return put(keys.record(profile), stored, means=Recorded(profile, record, stored))


def consume(keys: Keys, profile: ProfileName, worker: str, request_id: str, lease: int) -> Op:
    """Mark a request id as used up, on its worker's lease."""
    means = Consumed(worker, profile.profile, request_id)
    return put(keys.consumed(worker, profile), request_id.encode(), lease, means)


def join(keys: Keys, profile: ProfileName, ask: Ask, lease: int) -> Op:
    """Make a place in the queue, on its worker's lease."""
    return put(keys.place(profile, ask.request_id), encode(ask), lease, Joined(profile, ask))


def leave(keys: Keys, profile: ProfileName, request_id: str) -> Op:
    """Give a place in the queue up."""
    return delete(keys.place(profile, request_id), Left(profile, request_id))
