"""A hold as the callers know it: record and token; and who may act under one."""

from __future__ import annotations

from lockservice.core.keys import Keys
from lockservice.core.record import Holding, Record, State
from lockservice.core.snapshot import Snapshot
from lockservice.etcd.txn import Compare, created_at, mod_is
from tenure import token as tokens
from tenure.errors import LeaseExpired, TenureError, TokenSuperseded
from tenure.names import ProfileName
from tenure.value import value


@value
class Hold:
    """A HELD record with its token."""

    profile: ProfileName
    record: Record
    token: int

    @property
    def holding(self) -> Holding:
        assert self.record.holding is not None, "a HELD record says who holds it"
        return self.record.holding

    @property
    def as_sent(self) -> str:
        """The id as the holder spelt it, or as it was spelt first."""
        return self.holding.as_sent or self.record.as_sent


def hold_seen(profile: ProfileName, snapshot: Snapshot) -> Hold | None:
    """The hold that a snapshot shows, if any."""
    if snapshot.record is None or snapshot.record.state is not State.HELD:
        return None
    return Hold(profile, snapshot.record, snapshot.token())


def why_not_owner(snapshot: Snapshot, profile: ProfileName, token: int) -> TenureError | None:
    """Why the bearer of `token` may not act (rules 2 and 9); None when, as far as is seen, it may."""
    hold = hold_seen(profile, snapshot)
    if hold is None or not snapshot.holds(token):
        return TokenSuperseded(profile=str(profile), token=token)
    return why_not_alive(snapshot, hold)


def why_not_alive(snapshot: Snapshot, hold: Hold) -> LeaseExpired | None:
    """Why the holder may not act, though it holds; None when, as far as is seen, it is alive (rule 2)."""
    holding = hold.holding
    if snapshot.alive(holding.worker, holding.worker_create):
        return None
    return LeaseExpired(worker=f"workers/{holding.worker}")


def owner_guards(keys: Keys, snapshot: Snapshot, hold: Hold) -> tuple[Compare, ...]:
    """The conditions of everything that an owner writes: the epoch, mod(p) = t, w alive."""
    return (
        mod_is(keys.epoch, snapshot.epoch.mod),
        mod_is(keys.record(hold.profile), tokens.revision(hold.token)),
        created_at(keys.worker(hold.holding.worker), hold.holding.worker_create),
    )
