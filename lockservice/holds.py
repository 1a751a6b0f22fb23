"""What can be done to holds, as calls that end when etcd has agreed."""

from __future__ import annotations

import asyncio
import dataclasses
import random
from typing import TypeVar

from lockservice import checkpoint_store
from lockservice.committer import Case
from lockservice.core import acquire, cancel, checkpoints, release, steps, verify
from lockservice.core.acquire import Queued
from lockservice.core.cancel import Cancelled, Left
from lockservice.core.decision import Decision, also
from lockservice.core.document import decode
from lockservice.core.grant import may_have
from lockservice.core.hold import Hold
from lockservice.core.record import AT_WORK, Record, State
from lockservice.core.release import Ending, Released
from lockservice.core.snapshot import Sight, Snapshot, epoch_seen, worker_seen
from lockservice.core.stored import Ask, Step
from lockservice.etcd.txn import get
from lockservice.granter import now_ms
from lockservice.replica import Replica
from tenure.errors import OutcomeUnknown, ProfileDisabled, TenureError, WaitExpired
from tenure.etcdwire.v1 import etcdwire_pb2 as wire
from tenure.names import IncidentName, ProfileName

# A parked call looks again so often even if nothing woke it, and no oftener: ten thousand may be parked, and
# the granter's sweep sees to it that whoever can be granted is.
RECHECK_S = 60.0

T = TypeVar("T")


class Holds:
    """The hold operations of one replica. `deadline` is the event loop's time, and every method may raise
    StoreUnavailable (nothing was changed) or OutcomeUnknown at it.
    """

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._keys = replica.keys
        self._mirror = replica.mirror
        self._committer = replica.committer

    async def acquire(
        self, profile: ProfileName, ask: Ask, *, tenant: str, wait_s: float, deadline: float, resume: bool
    ) -> Hold:
        """Rule 3. Cancelled while it waits, it keeps its place. `resume`: the workflow's checkpoint is asked
        for, so one of another plan than the ask's is refused. Raises what AcquireHold documents.
        """
        case = self.acquiring(profile, ask, tenant=tenant, waits=wait_s > 0, resume=resume)
        end = asyncio.get_running_loop().time() + wait_s
        with self._replica.parking.park(profile, ask.request_id) as wake:
            outcome = await self._settle(case, deadline)
            if isinstance(outcome, Hold):
                return outcome
            with self._replica.metrics.wait():
                came = await self._wait(case, ask, wake, end, deadline)
                if came is not None:
                    return came
                return await self._end_wait(case.sight, ask, wait_s, deadline)

    async def release(self, profile: ProfileName, ending: Ending, deadline: float) -> Released:
        """Rules 6 and 7. Raises TokenSuperseded, LeaseExpired, or DrainRequired."""
        return await self._settle(self.releasing(profile, ending), deadline)

    def acquiring(
        self,
        profile: ProfileName,
        ask: Ask,
        *,
        tenant: str,
        waits: bool,
        resume: bool,
        lease_keys: int | None = None,
    ) -> Case[Hold | Queued]:
        """What an acquire is to settle. `lease_keys`: how many keys the worker's lease has; None is as many
        as the mirror knows of.
        """
        sight = Sight(keys=self._keys, profile=profile, worker=ask.worker, request_id=ask.request_id)
        of_plan = resume and bool(ask.plan)
        if of_plan:
            checkpoint = get(self._keys.checkpoint(profile, ask.workflow_id))
            sight = dataclasses.replace(sight, extra=(checkpoint,))

        metrics = self._replica.metrics

        def decide(snapshot: Snapshot) -> Decision[Hold | Queued]:
            decision = acquire.decide(
                self._keys,
                profile,
                snapshot,
                ask,
                tenant=tenant,
                waits=waits,
                lease_keys=self._mirror.lease_keys(ask.worker) if lease_keys is None else lease_keys,
                now_ms=now_ms(),
                saved_plan=checkpoint_store.plan_seen(snapshot) if of_plan else None,
                room=self._replica.room(profile),
            )
            if snapshot.place is not None:
                return also(decision, lambda _: metrics.granted_to_head())
            return also(decision, metrics.acquired)

        return Case(sight, decide, look_first=of_plan)

    def releasing(self, profile: ProfileName, ending: Ending) -> Case[Released]:
        """What a release is to settle."""
        sight = Sight(keys=self._keys, profile=profile, token=ending.token)
        metrics = self._replica.metrics

        def decide(snapshot: Snapshot) -> Decision[Released]:
            return also(release.decide(self._keys, profile, snapshot, ending, now_ms()), metrics.released)

        return Case(sight, decide)

    async def _wait(
        self, case: Case[Hold | Queued], ask: Ask, wake: asyncio.Event, end: float, deadline: float
    ) -> Hold | None:
        """Until the place is granted; None at `end`. Raises ProfileDisabled when it waits in vain."""
        sight = case.sight
        loop = asyncio.get_running_loop()
        while loop.time() < end:
            wake.clear()
            guess = self._mirror.guess(sight)
            # What the watch showed needs no proof: the token is checked wherever it is used.
            if (hold := acquire.own_hold(sight.profile, guess, ask.worker, ask.request_id)) is not None:
                return hold
            if (
                guess.record is not None
                and guess.record.state is State.DISABLED
                and (hold := await self._unless_disabled(sight, ask, deadline)) is not None
            ):
                return hold
            if self._replica.parking.closed:
                raise OutcomeUnknown(
                    "The lock service stops. The place in the queue is kept: call again, with the same "
                    "request_id.",
                    request_id=ask.request_id,
                    retry_after_s=0.1,
                )
            if guess.place is None or may_have(guess, guess.place, now_ms()):
                outcome = await self._settle(case, deadline)
                if isinstance(outcome, Hold):
                    return outcome
            await _set_before(wake, min(end, loop.time() + RECHECK_S * random.uniform(0.5, 1)))
        return None

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

    async def _unless_disabled(self, sight: Sight, ask: Ask, deadline: float) -> Hold | None:
        """Leave the queue of a profile that is disabled. Raises ProfileDisabled then. It may be in use again,
        which a mirror that is behind has missed: returns what was granted meanwhile, or None.
        """
        profile = sight.profile

        def decide(snapshot: Snapshot) -> Decision[Hold | Left | None]:
            return cancel.decide_out_of_use(
                self._keys, profile, snapshot, worker=ask.worker, request_id=ask.request_id
            )

        outcome = await self._committer.settle(sight, decide, deadline)
        if isinstance(outcome, Left):
            raise ProfileDisabled(profile=ask.as_sent or profile.profile)
        return outcome

    async def _end_wait(self, sight: Sight, ask: Ask, wait_s: float, deadline: float) -> Hold:
        """Leave the queue for good, or take what was granted meanwhile."""
        profile = sight.profile
        position = self._mirror.position(profile, ask.request_id)

        def decide(snapshot: Snapshot) -> Decision[Hold | Left]:
            return cancel.decide_wait_end(
                self._keys, profile, snapshot, worker=ask.worker, request_id=ask.request_id
            )

        outcome = await self._committer.settle(sight, decide, deadline)
        if isinstance(outcome, Hold):
            return outcome
        raise _not_in_time(profile, self._mirror.record(profile), ask, wait_s, position)


def _not_in_time(
    profile: ProfileName, record: Record | None, ask: Ask, wait_s: float, position: int
) -> TenureError:
    """What to tell one whose wait ended: who holds the profile, or in which state it waits for somebody."""
    shown = ask.as_sent or profile.profile
    expired = WaitExpired(
        profile=shown, wait_s=wait_s, state=record.state.value if record else "", position=position
    )
    if record is not None and record.state in AT_WORK:
        expired.metadata = {"incident": str(IncidentName(profile, record.incident))}
        expired.message = (
            f"profile_id '{shown}' was not free within {wait_s:g} s; nobody holds it, it is in "
            f"{record.state.value}. Wait longer, with a new request_id, or use a different profile_id."
        )
    elif record is not None and record.holding is not None:
        expired.holder_run_id = record.holding.run_id
    return expired


def _holder(snapshot: Snapshot) -> str:
    record = snapshot.record
    if record is None or record.state is not State.HELD or record.holding is None:
        return ""
    return record.holding.worker


def _first(response: wire.ResponseOp) -> wire.KeyValue | None:
    kvs = response.response_range.kvs
    return kvs[0] if kvs else None


async def _set_before(event: asyncio.Event, end: float) -> None:
    try:
        async with asyncio.timeout_at(end):
            await event.wait()
    except TimeoutError:
        return
