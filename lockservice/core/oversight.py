"""Which holds have become suspect by themselves, as far as one can see without asking etcd."""

from __future__ import annotations

from typing import NamedTuple

from lockservice.core import suspect
from lockservice.core.record import Holding, Record
from lockservice.core.snapshot import WorkerSeen

MAX_RUNTIME = "MAX_RUNTIME"


class Suspicion(NamedTuple):
    """A cause as in the API, and words for the record."""

    cause: str
    detail: str


def suspicion(
    record: Record, holding: Holding, worker: WorkerSeen | None, epoch: int, now_ms: int
) -> Suspicion | None:
    """Why the hold of a HELD record is to be made suspect; None while all is well. `worker` is its holder's
    key as seen now.

    A guess: the Txn checks the lease's end itself (rule 10), and the epoch; the deadline is in p, which a
    hold's token guards.
    """
    if record.epoch != epoch:
        return Suspicion(suspect.RESTORED, "the epoch was raised after a restore")
    if worker is None or worker.create != holding.worker_create:
        return Suspicion(suspect.LEASE_ENDED, f"the lease of workers/{holding.worker} ended")
    if now_ms >= holding.deadline_ms:
        limit_s = (holding.deadline_ms - holding.granted_ms) / 1000
        return Suspicion(MAX_RUNTIME, f"run {holding.run_id} took longer than its {limit_s:g} s")
    return None
