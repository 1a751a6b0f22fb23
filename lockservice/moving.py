"""A move of a profile to another home, as a call that ends when etcd has agreed."""

from __future__ import annotations

import structlog

from lockservice.core import move
from lockservice.core.decision import Decision
from lockservice.core.document import decode
from lockservice.core.move import Wanted
from lockservice.core.record import Record
from lockservice.core.snapshot import Snapshot
from lockservice.etcd.txn import get
from lockservice.granter import now_ms
from lockservice.replica import Replica
from tenure.errors import NotFound
from tenure.names import ProfileName

_log = structlog.get_logger("moving")


async def move_home(replica: Replica, profile: ProfileName, wanted: Wanted, deadline: float) -> int:
    """Change a free profile's home; returns mod(p). `deadline` is the loop's time.

    Raises what MoveHome documents.
    """
    await replica.committer.until_loaded(deadline)
    [found] = await replica.committer.look_up([get(replica.keys.record(profile))], deadline)
    if not found.response_range.kvs:
        raise NotFound(name=str(profile))
    # Whose lease must have ended where that is attested. Should the home change from here on, so does mod(p).
    home = decode(Record, found.response_range.kvs[0].value).home

    def decide(snapshot: Snapshot) -> Decision[int]:
        return move.decide(replica.keys, profile, snapshot, wanted, now_ms())

    sight = move.sight(replica.keys, profile, wanted, home)
    revision = await replica.committer.settle(sight, decide, deadline, look_first=True)
    _log.info(
        "profile moved",
        profile=str(profile),
        home=home,
        to=wanted.to,
        by=wanted.by,
        attested=wanted.attested,
        reason=wanted.reason,
    )
    return revision
