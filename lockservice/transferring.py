"""A hold that goes to a named heir, as one call that ends when etcd has agreed."""

from __future__ import annotations

import structlog

from lockservice.asking import Transfer
from lockservice.core import transfer
from lockservice.core.decision import Decision
from lockservice.core.hold import Hold
from lockservice.core.snapshot import Sight, Snapshot
from lockservice.etcd.txn import get
from lockservice.granter import now_ms
from lockservice.replica import Replica

_log = structlog.get_logger("transfer")


async def transfer_hold(replica: Replica, wanted: Transfer, by: str, deadline: float) -> Hold:
    """Hand it over; the new hold. Raises TokenSuperseded, LeaseExpired, RequestEnded, StoreUnavailable, or
    OutcomeUnknown at `deadline` (the loop's time).
    """
    await replica.committer.until_loaded(deadline)
    keys, heir = replica.keys, wanted.heir
    guess = replica.mirror.guess(Sight(keys=keys, profile=wanted.profile))
    holding = guess.record.holding if guess.record is not None else None
    sight = Sight(
        keys=keys,
        profile=wanted.profile,
        worker=heir.worker,
        request_id=heir.request_id,
        extra=(get(keys.worker(holding.worker if holding is not None else "")),),
    )

    def decide(snapshot: Snapshot) -> Decision[Hold]:
        return transfer.decide(keys, wanted.profile, snapshot, heir, token=wanted.token, now_ms=now_ms())

    hold = await replica.committer.settle(sight, decide, deadline)
    _log.info(
        "hold transferred",
        profile=str(wanted.profile),
        token=wanted.token,
        to_token=hold.token,
        to_worker=heir.worker,
        by=by,
        why=wanted.reason,
    )
    return hold
