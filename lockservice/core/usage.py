"""An administrator takes a free profile out of use, or back into it."""

from __future__ import annotations

import dataclasses

from lockservice.core.changes import put_record
from lockservice.core.decision import Decision, Refuse, Reply, Write
from lockservice.core.keys import Keys
from lockservice.core.record import State
from lockservice.core.snapshot import Snapshot
from lockservice.core.states import moved
from lockservice.etcd.txn import mod_is
from tenure.errors import InvalidField, NotFound
from tenure.names import ProfileName

SWITCHED = frozenset({State.AVAILABLE, State.DISABLED})


def decide(
    keys: Keys, profile: ProfileName, snapshot: Snapshot, *, revision: int, wanted: State, now_ms: int
) -> Decision[State]:
    """AVAILABLE to DISABLED or back, guarded by mod(p) = `revision`, which the person had read.

    Idempotent: a profile that is as wanted is answered, whatever revision it has.
    """
    before = snapshot.record
    if before is None:
        return Refuse(NotFound(name=str(profile)))
    if before.state is wanted:
        return Reply(wanted)
    if before.state not in SWITCHED:
        return Refuse(
            InvalidField(
                field="profile.state",
                value=wanted.value,
                problem=f"cannot follow {before.state.value}",
                remedy="wait until it is AVAILABLE; one in review is disabled by the verdict on its incident",
            )
        )
    if snapshot.mod != revision:
        return Refuse(
            InvalidField(
                field="profile.etag",
                value=str(revision),
                problem="is not that of the profile as it is now",
                remedy="read the profile again, and send the etag that it says then",
            )
        )
    after = moved(
        before,
        dataclasses.replace(before, state=wanted, epoch=snapshot.epoch.number, since_ms=now_ms),
    )
    record = keys.record(profile)
    return Write(
        (mod_is(keys.epoch, snapshot.epoch.mod), mod_is(record, revision)),
        (put_record(keys, profile, after),),
        lambda _: wanted,
    )
