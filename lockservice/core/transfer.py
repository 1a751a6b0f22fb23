"""Rule 6 with a named heir: a hold goes to another live worker in one Txn, whoever waits in the queue."""

from __future__ import annotations

import dataclasses

from lockservice.core.acquire import own_hold, why_not_carried
from lockservice.core.changes import consume, put_record
from lockservice.core.decision import Decision, Refuse, Reply, Write
from lockservice.core.grant import granted
from lockservice.core.hold import Hold, hold_seen, owner_guards, why_not_alive
from lockservice.core.keys import Keys
from lockservice.core.snapshot import Sight, Snapshot
from lockservice.core.stored import Ask
from lockservice.etcd.txn import created_at, mod_is
from tenure import token as tokens
from tenure.errors import LeaseExpired, RequestEnded, TokenSuperseded
from tenure.names import ProfileName


def sight_of(keys: Keys, profile: ProfileName, ask: Ask) -> Sight:
    """What the decision needs: the heir by name, and the holder, whoever that turns out to be."""
    return Sight(keys=keys, profile=profile, worker=ask.worker, request_id=ask.request_id, of_holder=True)


def decide(
    keys: Keys,
    profile: ProfileName,
    snapshot: Snapshot,
    ask: Ask,
    *,
    token: int,
    lease_keys: int,
    now_ms: int,
) -> Decision[Hold]:
    """Decide to hand the hold of `token`, which is drained at its host, to `ask.worker`. Idempotent by the
    ask's request id, which is used up with it. Needs `sight_of`. `lease_keys`: how many keys the heir's lease
    has, about.

    Raises in its refusals TokenSuperseded, LeaseExpired of either worker, RequestEnded, QuotaExceeded.
    """
    heir = snapshot.workers.get(ask.worker)
    # One of another tenant is as good as none, so that nothing is told of what exists there.
    if heir is None or heir.worker.tenant != profile.tenant:
        return Refuse(LeaseExpired(worker=f"workers/{ask.worker}"))
    if (done := own_hold(profile, snapshot, ask.worker, ask.request_id)) is not None:
        return Reply(done)
    if ask.request_id <= snapshot.consumed.request_id:
        return Refuse(RequestEnded(request_id=ask.request_id))
    if (full := why_not_carried(snapshot, lease_keys, adds=1)) is not None:
        return Refuse(full)
    hold = hold_seen(profile, snapshot)
    if hold is None or not snapshot.holds(token):
        return Refuse(TokenSuperseded(profile=str(profile), token=token))
    if (refusal := why_not_alive(snapshot, hold)) is not None:
        return Refuse(refusal)
    # The same browser goes on, so it is the same proxy.
    ask = dataclasses.replace(ask, proxy_key=hold.holding.proxy_key)
    record = granted(profile, snapshot, ask, heir.create, now_ms, hold.record)
    return Write(
        (
            # The holder lives: what a dead one left behind is an incident, and nobody's to give away.
            *owner_guards(keys, snapshot, hold),
            created_at(keys.worker(ask.worker), heir.create),
            mod_is(keys.consumed(ask.worker, profile), snapshot.consumed.mod),
        ),
        (
            put_record(keys, profile, record),
            consume(keys, profile, ask.worker, ask.request_id, heir.worker.lease),
        ),
        lambda revision: Hold(profile, record, tokens.pack(record.epoch, revision)),
    )


def unwritten(decision: Decision[Hold]) -> Decision[Hold | None]:
    """What `decide` came to, without a write: its refusal; its hold, where it was handed over before; or
    None: as far as is seen it could be.
    """
    return Reply(None) if isinstance(decision, Write) else decision
