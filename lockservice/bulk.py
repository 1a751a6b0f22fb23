"""Many acquires or releases in one call: checked as a whole, and then each answered for itself."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

from lockservice.asking import Acquire, Release
from lockservice.core import acquire, release
from lockservice.core.acquire import Queued
from lockservice.core.decision import Decision
from lockservice.core.hold import Hold
from lockservice.core.release import Released
from lockservice.core.snapshot import NOTHING_CONSUMED, Sight, Snapshot
from lockservice.granter import now_ms
from lockservice.holds import Holds
from lockservice.replica import Replica
from tenure.errors import InvalidField, TenureError
from tenure.names import ProfileName

MAX_ITEMS = 1000
# So many items are read, or answered, before other calls get their turn.
SLICE = 64

Request = TypeVar("Request")
Item = TypeVar("Item", Acquire, Release)
Answer = TypeVar("Answer")


async def answered(
    requests: Sequence[Request],
    read: Callable[[Request], Item],
    settle: Callable[[list[Item]], Awaitable[list[Answer | TenureError]]],
) -> list[Answer | TenureError]:
    """What `settle` answers to each request that `read` finds good, in their order; for others why not.

    Raises InvalidField, and settles nothing, when there are too many, or when two are of one profile: they
    would get in each other's way.
    """
    if len(requests) > MAX_ITEMS:
        raise InvalidField(
            field="requests",
            value=str(len(requests)),
            problem="are too many",
            remedy=f"send at most {MAX_ITEMS} a call",
        )
    items: list[Item | TenureError] = []
    for number, request in enumerate(requests, 1):
        try:
            items.append(read(request))
        except TenureError as error:
            items.append(error)
        if number % SLICE == 0:
            await asyncio.sleep(0)
    good = [item for item in items if not isinstance(item, TenureError)]
    if len({item.profile for item in good}) < len(good):
        raise _twice(items)
    answers = iter(await settle(good))
    return [item if isinstance(item, TenureError) else next(answers) for item in items]


class Bulk:
    """What many calls at once are to one replica. The profiles of a call are distinct, `deadline` is the
    loop's time, and an answer that is an error is what the call for that one alone would have raised.
    """

    def __init__(self, replica: Replica, holds: Holds) -> None:
        self._keys = replica.keys
        self._mirror = replica.mirror
        self._committer = replica.committer
        self._holds = holds

    async def acquire(self, wanted: Sequence[Acquire], deadline: float) -> list[Hold | TenureError]:
        """Rule 3 for each; nobody waits. Not atomic as a whole."""
        # Whose checkpoint is asked for has more to look at first.
        plain = [item for item in wanted if not item.resume_state]
        settled = await self._settle_many(self._acquiring(plain), deadline)
        found = {
            item.profile: outcome
            for item, outcome in zip(plain, settled, strict=True)
            # Queued: an earlier call of this id waited. Its place is given up, as nobody waits now.
            if not isinstance(outcome, Queued)
        }
        others = [item for item in wanted if item.profile not in found]
        outcomes = await asyncio.gather(*(_outcome(self._one(item, deadline)) for item in others))
        found |= {item.profile: outcome for item, outcome in zip(others, outcomes, strict=True)}
        return [found[item.profile] for item in wanted]

    async def release(self, wanted: Sequence[Release], deadline: float) -> list[Released | TenureError]:
        """Rules 6 and 7 for each. Not atomic as a whole."""
        return await self._settle_many([self._releasing(item) for item in wanted], deadline)

    async def _settle_many(
        self, wanted: Iterable[tuple[Sight, Callable[[Snapshot], Decision[Answer]]]], deadline: float
    ) -> list[Answer | TenureError]:
        return await asyncio.gather(*(_outcome(self._committer.settle(s, d, deadline)) for s, d in wanted))

    def _acquiring(
        self, wanted: Iterable[Acquire]
    ) -> list[tuple[Sight, Callable[[Snapshot], Decision[Hold | Queued]]]]:
        # The keys that this very call adds to a lease count, though the mirror has them later.
        adding: Counter[str] = Counter()
        made = []
        for item in wanted:
            worker = item.ask.worker
            sight = Sight(
                keys=self._keys, profile=item.profile, worker=worker, request_id=item.ask.request_id
            )
            lease_keys = self._mirror.lease_keys(worker) + adding[worker]
            made.append((sight, self._acquire_decision(item, lease_keys)))
            adding[worker] += self._mirror.guess(sight).consumed == NOTHING_CONSUMED
        return made

    def _acquire_decision(
        self, item: Acquire, lease_keys: int
    ) -> Callable[[Snapshot], Decision[Hold | Queued]]:
        return lambda snapshot: acquire.decide(
            self._keys,
            item.profile,
            snapshot,
            item.ask,
            tenant=item.profile.tenant,
            waits=False,
            lease_keys=lease_keys,
            now_ms=now_ms(),
        )

    def _releasing(self, item: Release) -> tuple[Sight, Callable[[Snapshot], Decision[Released]]]:
        sight = Sight(keys=self._keys, profile=item.profile, token=item.ending.token)
        return sight, lambda snapshot: release.decide(
            self._keys, item.profile, snapshot, item.ending, now_ms()
        )

    async def _one(self, item: Acquire, deadline: float) -> Hold:
        return await self._holds.acquire(
            item.profile,
            item.ask,
            tenant=item.profile.tenant,
            wait_s=0,
            deadline=deadline,
            resume=item.resume_state,
        )


async def _outcome(work: Awaitable[Answer]) -> Answer | TenureError:
    try:
        return await work
    except TenureError as error:
        return error


def _twice(items: Iterable[Acquire | Release | TenureError]) -> InvalidField:
    """Which profile is there twice, and where."""
    seen: dict[ProfileName, int] = {}
    for at, item in enumerate(items):
        if isinstance(item, TenureError):
            continue
        if item.profile in seen:
            return InvalidField(
                field="requests",
                value=item.profile.as_sent,
                problem=f"is one profile twice, at {seen[item.profile]} and at {at}",
                remedy="name each profile once a call",
            )
        seen[item.profile] = at
    raise ValueError("no profile is there twice")
