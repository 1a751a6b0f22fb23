"""Rule 5, its end: the workflow did not come, so a person must decide."""

from __future__ import annotations

from lockservice.core.changes import put_record
from lockservice.core.decision import Decision, Reply, Write
from lockservice.core.keys import Keys
from lockservice.core.outcome import Choice, Outcome, entered
from lockservice.core.record import Record, State
from lockservice.core.snapshot import Snapshot
from lockservice.etcd.txn import mod_is
from tenure.names import ProfileName

_REVIEW = Choice(outcome=Outcome.MANUAL_REVIEW, reason="")


def is_late(record: Record, now_ms: int) -> bool:
    """Whether the workflow that is waited for may not have the profile any more."""
    return record.state is State.RESUME_PENDING and now_ms >= record.resume_until_ms


def decide(keys: Keys, profile: ProfileName, snapshot: Snapshot, now_ms: int) -> Decision[bool]:
    """RESUME_PENDING past its time to MANUAL_REVIEW; answers whether this did it."""
    before = snapshot.record
    if before is None or not is_late(before, now_ms):
        return Reply(False)
    after = entered(before, _REVIEW, snapshot.epoch.number, now_ms)
    record = keys.record(profile)
    return Write(
        (mod_is(keys.epoch, snapshot.epoch.mod), mod_is(record, snapshot.mod)),
        (put_record(keys, profile, after),),
        lambda _: True,
    )
