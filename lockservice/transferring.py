"""A hold that goes to a named heir, as one call that ends when etcd has agreed."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from lockservice.asking import Transfer
from lockservice.core import transfer
from lockservice.core.decision import Decision
from lockservice.core.hold import Hold
from lockservice.core.snapshot import Snapshot
from lockservice.granter import now_ms
from lockservice.replica import Replica

_log = structlog.get_logger("transfer")


async def transfer_hold(replica: Replica, wanted: Transfer, by: str, deadline: float) -> Hold:
    """Hand it over; the new hold. Raises TokenSuperseded, LeaseExpired, RequestEnded, QuotaExceeded,
    StoreUnavailable, or OutcomeUnknown at `deadline` (the loop's time).
    """
    heir = wanted.heir
    sight = transfer.sight_of(replica.keys, wanted.profile, heir)
    hold = await replica.committer.settle(sight, _deciding(replica, wanted), deadline)
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


async def look_before(replica: Replica, wanted: Transfer, deadline: float) -> Hold | None:
    """Ask, in order with all writes, whether it could be handed over, and write nothing: None, or the new
    hold when it was handed over already. Raises as `transfer_hold`, but never OutcomeUnknown.
    """
    decide = _deciding(replica, wanted)
    return await replica.committer.settle(
        transfer.sight_of(replica.keys, wanted.profile, wanted.heir),
        lambda snapshot: transfer.unwritten(decide(snapshot)),
        deadline,
    )


def _deciding(replica: Replica, wanted: Transfer) -> Callable[[Snapshot], Decision[Hold]]:
    lease_keys = replica.mirror.lease_keys(wanted.heir.worker)

    def decide(snapshot: Snapshot) -> Decision[Hold]:
        return transfer.decide(
            replica.keys,
            wanted.profile,
            snapshot,
            wanted.heir,
            token=wanted.token,
            lease_keys=lease_keys,
            now_ms=now_ms(),
        )

    return decide
