"""Checkpoints as stored: the API's own message, because its payload is bytes."""

from __future__ import annotations

import asyncio

from lockservice.core.snapshot import Snapshot
from lockservice.replica import Replica
from tenure.names import ProfileName
from tenure.v1.hold_pb2 import Checkpoint


async def load(replica: Replica, profile: ProfileName, workflow: str, deadline: float) -> Checkpoint | None:
    """Read a workflow's checkpoint. Raises StoreUnavailable."""
    left = max(deadline - asyncio.get_running_loop().time(), 0.001)
    key = replica.keys.checkpoint(profile, workflow)
    found = await replica.committer.read(replica.etcd.kv.get(key, left))
    return Checkpoint.FromString(found.value) if found else None


def plan_seen(snapshot: Snapshot) -> str | None:
    """The plan of the checkpoint that is a snapshot's first extra read; None when there is none."""
    found = snapshot.found(0)
    return Checkpoint.FromString(found.value).plan if found else None
