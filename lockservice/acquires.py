"""Acquires, as calls that end when there is a hold or it is known why there is none."""

from __future__ import annotations

import asyncio
import dataclasses
import random
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from lockservice import checkpoint_store
from lockservice.committer import Case
from lockservice.core import acquire, cancel
from lockservice.core.acquire import Queued
from lockservice.core.cancel import Left
from lockservice.core.decision import Decision, Refuse, also
from lockservice.core.grant import may_have
from lockservice.core.hold import Hold
from lockservice.core.record import AT_WORK, Record, State
from lockservice.core.snapshot import Sight, Snapshot
from lockservice.core.stored import Ask
from lockservice.etcd.txn import get
from lockservice.granter import now_ms
from lockservice.replica import Replica
from tenure.errors import OutcomeUnknown, ProfileDisabled, TenureError, WaitExpired
from tenure.names import IncidentName, ProfileName

# A parked call looks again so often even if nothing woke it, and no oftener: ten thousand may be parked, and
# the granter's sweep sees to it that whoever can be granted is.
RECHECK_S = 60.0

T = TypeVar("T")


Home = Callable[[str], str]
"""The home that a profile is to have, by the one that it has ("" for none). Raises why it cannot be had."""


class Acquired(NamedTuple):
    """A hold. `earlier`: not this call used its request id up, as far as it can tell; an earlier copy may
    have the hold in use, which came of that one's grant or place.
    """

    hold: Hold
    earlier: bool


class Acquires:
    """The acquires of one replica. `deadline` is the event loop's time, and every method may raise
    StoreUnavailable (nothing was changed) or OutcomeUnknown at it.
    """

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._keys = replica.keys
        self._mirror = replica.mirror
        self._committer = replica.committer

    async def acquire(
        self,
        profile: ProfileName,
        ask: Ask,
        *,
        tenant: str,
        wait_s: float,
        deadline: float,
        resume: bool,
        home: Home | None = None,
    ) -> Acquired:
        """Rule 3. Cancelled while it waits, it keeps its place. `resume`: the workflow's checkpoint is asked
        for, so one of another plan than the ask's is refused. `home` is asked before anything new is granted
        or queued, and refuses it by raising. Raises what AcquireHold documents.
        """
        earlier = True

        def begun() -> None:
            nonlocal earlier
            earlier = False

        case = self.acquiring(
            profile, ask, tenant=tenant, waits=wait_s > 0, resume=resume, home=home, begun=begun
        )
        end = asyncio.get_running_loop().time() + wait_s
        with self._replica.parking.park(profile, ask.request_id) as wake:
            outcome = await self._settle(case, deadline)
            if isinstance(outcome, Hold):
                return Acquired(outcome, earlier)
            with self._replica.metrics.wait():
                came = await self._wait(case, ask, wake, end, deadline)
                if came is None:
                    came = await self._end_wait(case.sight, ask, wait_s, deadline)
                return Acquired(came, earlier)

    def acquiring(
        self,
        profile: ProfileName,
        ask: Ask,
        *,
        tenant: str,
        waits: bool,
        resume: bool,
        lease_keys: int | None = None,
        home: Home | None = None,
        begun: Callable[[], None] = lambda: None,
    ) -> Case[Hold | Queued]:
        """What an acquire is to settle. `lease_keys`: how many keys the worker's lease has; None is as many
        as the mirror knows of. `begun` is called once its own Txn is known to have used the request id up.
        """
        sight = Sight(keys=self._keys, profile=profile, worker=ask.worker, request_id=ask.request_id)
        of_plan = resume and bool(ask.plan)
        if of_plan:
            checkpoint = get(self._keys.checkpoint(profile, ask.workflow_id))
            sight = dataclasses.replace(sight, extra=(checkpoint,))

        metrics = self._replica.metrics

        def decide(snapshot: Snapshot) -> Decision[Hold | Queued]:
            is_new, asked = snapshot.consumed.request_id < ask.request_id, ask
            if is_new and home is not None:
                try:
                    current = snapshot.record.home if snapshot.record is not None else ""
                    asked = dataclasses.replace(ask, home_hint=home(current))
                except TenureError as error:
                    return Refuse(error)
            decision = acquire.decide(
                self._keys,
                profile,
                snapshot,
                asked,
                tenant=tenant,
                waits=waits,
                lease_keys=self._mirror.lease_keys(ask.worker) if lease_keys is None else lease_keys,
                now_ms=now_ms(),
                saved_plan=checkpoint_store.plan_seen(snapshot) if of_plan else None,
                room=self._replica.room(profile),
            )
            if is_new:
                decision = also(decision, lambda _: begun())
            if snapshot.place is not None:
                return also(decision, lambda _: metrics.granted_to_head())
            return also(decision, metrics.acquired)

        return Case(sight, decide, look_first=of_plan)

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

    async def _settle(self, case: Case[T], deadline: float) -> T:
        return await self._committer.settle(case.sight, case.decide, deadline, look_first=case.look_first)

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


async def _set_before(event: asyncio.Event, end: float) -> None:
    try:
        async with asyncio.timeout_at(end):
            await event.wait()
    except TimeoutError:
        return
