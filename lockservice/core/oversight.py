"""Which holds have become suspect by themselves, as far as one can see without asking etcd."""

from __future__ import annotations

from typing import NamedTuple

from lockservice.core import suspect
from lockservice.core.hold import Hold
from lockservice.core.snapshot import WorkerSeen

MAX_RUNTIME = "MAX_RUNTIME"


class Suspicion(NamedTuple):
    """A cause as in the API, and words for the record."""

    cause: str
    detail: str


def suspicion(hold: Hold, worker: WorkerSeen | None, epoch: int, now_ms: int) -> Suspicion | None:
    """Why a hold is to be made suspect; None while all is well. `worker` is its holder's key as seen now.

    A guess: the Txn checks the lease's end itself (rule 10), and the epoch; the deadline is in p, which a
    hold's token guards.
    """
    if hold.record.epoch != epoch:
        return Suspicion(suspect.RESTORED, "the epoch was raised after a restore")
    if worker is None or worker.create != hold.holding.worker_create:
        return Suspicion(suspect.LEASE_ENDED, f"the lease of workers/{hold.holding.worker} ended")
    if now_ms >= hold.holding.deadline_ms:
        limit_s = (hold.holding.deadline_ms - hold.holding.granted_ms) / 1000
        return Suspicion(MAX_RUNTIME, f"run {hold.holding.run_id} took longer than its {limit_s:g} s")
    return None
