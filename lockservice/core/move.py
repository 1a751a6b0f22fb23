"""Rule 20: a profile's home changes only while it is free, and the old one can serve it no more."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from lockservice.core.acquire import why_not
from lockservice.core.changes import put_record
from lockservice.core.decision import Decision, Refuse, Reply, Write
from lockservice.core.document import encode
from lockservice.core.keys import Keys
from lockservice.core.record import FREE, Record
from lockservice.core.snapshot import Sight, Snapshot
from lockservice.core.stored import Move
from lockservice.etcd.txn import Compare, absent, exists, get, mod_is, put
from tenure.errors import HostUnreachable, InvalidField, NotFound, TenureError
from tenure.names import ProfileName


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A move that is asked for, begun on mod(p) = `revision`.

    `digest` is that of the directory that the old home retired and the new one has verified; "" when there
    was none. `attested`: `by` vouches that the old home is destroyed.
    """

    revision: int
    to: str
    reason: str
    by: str
    digest: str = ""
    attested: bool = False


def sight(keys: Keys, profile: ProfileName, wanted: Wanted, home: str) -> Sight:
    """What `decide` looks at, and a guess never has. `home` is the old one, as a proven read showed it."""
    return Sight(
        keys=keys, profile=profile, extra=(get(keys.host(wanted.to)), get(keys.host(home or wanted.to)))
    )


def decide(
    keys: Keys, profile: ProfileName, snapshot: Snapshot, wanted: Wanted, now_ms: int
) -> Decision[int]:
    """Give a free profile its new home; answers mod(p). Idempotent: one that is at home there is answered.

    Nothing was granted since `revision`, because the Txn compares it. So whoever was let in last was let in
    below the floor that the old home raised above `revision` when it was retired, and whoever is let in next
    will be told the new home.
    """
    before = snapshot.record
    if before is None:
        return Refuse(NotFound(name=str(profile)))
    if before.home == wanted.to:
        return Reply(snapshot.mod)
    problem = _problem(profile, snapshot, before, wanted)
    if problem is not None:
        return Refuse(problem)
    gone: tuple[Compare, ...] = ()
    if wanted.attested and before.home:
        # A host that renews its lease is not destroyed, whoever says so.
        gone = (absent(keys.host(before.home)),)
    # The state goes on, and since when: only its place is another. `used` stays, so that a directory that did
    # not come along is missing, and never a fresh start.
    after = dataclasses.replace(before, home=wanted.to)
    move = Move(
        source=before.home,
        to=wanted.to,
        reason=wanted.reason,
        by=wanted.by,
        move_ms=now_ms,
        digest=wanted.digest,
        attested=wanted.attested,
    )
    record, on_record = keys.record(profile), keys.move(profile, wanted.revision)
    return Write(
        (
            mod_is(keys.epoch, snapshot.epoch.mod),
            mod_is(record, wanted.revision),
            exists(keys.host(wanted.to)),
            absent(on_record),
            *gone,
        ),
        (put_record(keys, profile, after), put(on_record, encode(move))),
        lambda revision: revision,
    )


def _problem(profile: ProfileName, snapshot: Snapshot, before: Record, wanted: Wanted) -> TenureError | None:
    if before.state not in FREE:
        return why_not(profile, snapshot, before.as_sent)
    if snapshot.mod != wanted.revision:
        return InvalidField(
            field="revision",
            value=str(wanted.revision),
            problem="is not that of the profile as it is now",
            remedy="begin the move anew",
        )
    if snapshot.found(0) is None:
        return HostUnreachable(host=f"hosts/{wanted.to}")
    if wanted.attested and before.home and snapshot.found(1) is not None:
        return InvalidField(
            field="attest_destroyed",
            value="true",
            problem=f"cannot be: hosts/{before.home} is alive",
            remedy="move without it; or end that host for good, and wait until its lease has ended",
        )
    if before.used and before.home and not wanted.digest and not wanted.attested:
        return InvalidField(
            field="digest",
            value="",
            problem="is missing: the profile was used, so there is a directory to take along",
            remedy="send that of the directory which its home has retired",
        )
    return None
