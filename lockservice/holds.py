"""What can be done to holds, as calls that end when etcd has agreed."""

from __future__ import annotations

import dataclasses
from typing import TypeVar

from lockservice.acquires import Acquires
from lockservice.committer import Case
from lockservice.core import cancel, checkpoints, release, steps, verify
from lockservice.core.cancel import Cancelled
from lockservice.core.decision import Decision, also
from lockservice.core.document import decode
from lockservice.core.hold import Hold
from lockservice.core.record import Record, State
from lockservice.core.release import Ending, Released
from lockservice.core.snapshot import Sight, Snapshot, epoch_seen, worker_seen
from lockservice.core.stored import Step
from lockservice.etcd.txn import get
from lockservice.granter import now_ms
from lockservice.replica import Replica
from tenure.etcdwire.v1 import etcdwire_pb2 as wire
from tenure.names import ProfileName

T = TypeVar("T")


class Holds:
    """The hold operations of one replica. `deadline` is the event loop's time, and every method may raise
    StoreUnavailable (nothing was changed) or OutcomeUnknown at it.
    """

    def __init__(self, replica: Replica) -> None:
        self.acquires = Acquires(replica)
        self._replica = replica
        self._keys = replica.keys
        self._mirror = replica.mirror
        self._committer = replica.committer

    async def release(self, profile: ProfileName, ending: Ending, deadline: float) -> Released:
        """Rules 6 and 7. Raises TokenSuperseded, LeaseExpired, or DrainRequired."""
        return await self._settle(self.releasing(profile, ending), deadline)

    def releasing(self, profile: ProfileName, ending: Ending) -> Case[Released]:
        """What a release is to settle."""
        sight = Sight(keys=self._keys, profile=profile, token=ending.token)
        metrics = self._replica.metrics

        def decide(snapshot: Snapshot) -> Decision[Released]:
            return also(release.decide(self._keys, profile, snapshot, ending, now_ms()), metrics.released)

        return Case(sight, decide)

    async def cancel(
        self, profile: ProfileName, *, worker: str, tenant: str, request_id: str, deadline: float
    ) -> Cancelled:
        """Rule 8. Raises LeaseExpired."""
        sight = Sight(keys=self._keys, profile=profile, worker=worker, request_id=request_id)

        def decide(snapshot: Snapshot) -> Decision[Cancelled]:
            return cancel.decide(
                self._keys,
                profile,
                snapshot,
                worker=worker,
                tenant=tenant,
                request_id=request_id,
                now_ms=now_ms(),
            )

        return await self._committer.settle(sight, decide, deadline)

    async def start_step(
        self, profile: ProfileName, token: int, seq: int, step: Step, deadline: float
    ) -> steps.Stored:
        """Rule 9. Raises TokenSuperseded, LeaseExpired, InvalidField."""
        extra = steps.sight(self._keys, profile, token, seq)
        sight = Sight(keys=self._keys, profile=profile, extra=extra)

        def decide(snapshot: Snapshot) -> Decision[steps.Stored]:
            return steps.start(self._keys, profile, snapshot, token=token, seq=seq, step=step)

        return await self._committer.settle(sight, decide, deadline)

    async def finish_step(self, profile: ProfileName, token: int, seq: int, deadline: float) -> steps.Stored:
        """Rule 9. Raises TokenSuperseded, LeaseExpired, InvalidField."""
        extra = steps.sight(self._keys, profile, token, seq)
        sight = Sight(keys=self._keys, profile=profile, extra=extra)

        def decide(snapshot: Snapshot) -> Decision[steps.Stored]:
            return steps.finish(self._keys, profile, snapshot, token=token, seq=seq, now_ms=now_ms())

        return await self._committer.settle(sight, decide, deadline)

    async def save_checkpoint(
        self, profile: ProfileName, token: int, workflow: str, value: bytes, deadline: float
    ) -> None:
        """Rule 9. Raises TokenSuperseded, LeaseExpired, CheckpointMismatch."""
        extra = (get(self._keys.checkpoint(profile, workflow)),)
        sight = Sight(keys=self._keys, profile=profile, extra=extra)

        def decide(snapshot: Snapshot) -> Decision[None]:
            return checkpoints.save(
                self._keys, profile, snapshot, token=token, workflow=workflow, value=value
            )

        await self._committer.settle(sight, decide, deadline)

    async def verify(self, profile: ProfileName, token: int, deadline: float) -> Hold:
        """Ask, in order with all writes. Raises TokenSuperseded, LeaseExpired."""
        return verify.current(profile, await self._look_at_holder(profile, deadline), token)

    async def verify_for_host(
        self, queries: list[tuple[ProfileName, int]], host: str, deadline: float
    ) -> list[tuple[str, Record | None]]:
        """Why `host` may not serve each token ("": it may), with the records; rule 14. At most 60 queries."""
        guesses = [self._mirror.guess(Sight(keys=self._keys, profile=profile)) for profile, _ in queries]
        holders = [g.record.holding.worker if g.record and g.record.holding else "" for g in guesses]
        ops = [get(self._keys.epoch)]
        for (profile, _), holder in zip(queries, holders, strict=True):
            ops += [get(self._keys.record(profile)), get(self._keys.worker(holder))]
        rows = [_first(response) for response in await self._committer.look_up(ops, deadline)]
        answers: list[tuple[str, Record | None]] = []
        for i, (profile, token) in enumerate(queries):
            record, worker = rows[1 + 2 * i], rows[2 + 2 * i]
            snapshot = Snapshot(
                epoch=epoch_seen(rows[0]),
                record=decode(Record, record.value) if record else None,
                mod=record.mod_revision if record else 0,
                workers={holders[i]: worker_seen(worker)},
                proven=True,
            )
            if _holder(snapshot) not in ("", holders[i]):
                # The mirror was behind, and another's key was looked at.
                snapshot = await self._look_at_holder(profile, deadline)
            answers.append((verify.why_not(profile, snapshot, token, host), snapshot.record))
        return answers

    async def _settle(self, case: Case[T], deadline: float) -> T:
        return await self._committer.settle(case.sight, case.decide, deadline, look_first=case.look_first)

    async def _look_at_holder(self, profile: ProfileName, deadline: float) -> Snapshot:
        """A proven snapshot that shows whether the holder, if any, is alive."""
        sight = Sight(keys=self._keys, profile=profile)
        snapshot = self._mirror.guess(sight)
        while True:
            sight = dataclasses.replace(sight, worker=_holder(snapshot))
            snapshot = sight.snapshot(await self._committer.look_up(sight.ops(), deadline))
            if _holder(snapshot) in ("", sight.worker):
                return snapshot


def _holder(snapshot: Snapshot) -> str:
    record = snapshot.record
    if record is None or record.state is not State.HELD or record.holding is None:
        return ""
    return record.holding.worker


def _first(response: wire.ResponseOp) -> wire.KeyValue | None:
    kvs = response.response_range.kvs
    return kvs[0] if kvs else None
