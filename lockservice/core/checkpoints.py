"""Rule 9, checkpoints: a workflow's last one, stamped with the token that wrote it."""

from __future__ import annotations

from lockservice.core.decision import Decision, Refuse, Write
from lockservice.core.hold import hold_seen, owner_guards, why_not_owner
from lockservice.core.keys import Keys
from lockservice.core.snapshot import Snapshot
from lockservice.etcd.txn import mod_is, put
from tenure.errors import CheckpointMismatch
from tenure.names import ProfileName


def save(
    keys: Keys, profile: ProfileName, snapshot: Snapshot, *, token: int, workflow: str, value: bytes
) -> Decision[None]:
    """Replace the workflow's checkpoint by `value`. Wants a read of it as the snapshot's `extra`.

    Guarded by the one before too, so that a late copy of an older save cannot hide a newer one.
    """
    if (refusal := why_not_owner(snapshot, profile, token)) is not None:
        return Refuse(refusal)
    hold = hold_seen(profile, snapshot)
    assert hold is not None, "an owner has a hold"
    if hold.holding.workflow_id != workflow:
        held_for = f"workflow_id '{hold.holding.workflow_id}'" if hold.holding.workflow_id else "no workflow"
        return Refuse(
            CheckpointMismatch(
                f"The hold was acquired for {held_for}; only that one's checkpoint can be saved under it.",
                profile=str(profile),
                workflow_id=workflow,
            )
        )
    stored = snapshot.found(0)
    before = stored.mod_revision if stored is not None else 0
    key = keys.checkpoint(profile, workflow)
    return Write(
        (*owner_guards(keys, snapshot, hold), mod_is(key, before)), (put(key, value),), lambda _: None
    )
