"""Many acquires or releases in one call: checked as a whole, and then each answered for itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

from lockservice.asking import Acquire, Release
from lockservice.committer import Case
from lockservice.core.acquire import MAX_LEASE_KEYS, Queued
from lockservice.core.hold import Hold
from lockservice.core.release import Released
from lockservice.core.snapshot import NOTHING_CONSUMED
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
        self._mirror = replica.mirror
        self._metrics = replica.metrics
        self._committer = replica.committer
        self._holds = holds

    async def acquire(self, wanted: Sequence[Acquire], deadline: float) -> list[Hold | TenureError]:
        """Rule 3 for each; nobody waits. Not atomic as a whole. Raises StoreUnavailable: none was tried."""
        self._metrics.bulk("acquire", len(wanted))
        outcomes = await self._committer.settle_many(self._acquiring(wanted), deadline)
        return [
            # An earlier call of this id waited. Its place is given up, as nobody waits now.
            await self._end_wait(item, deadline) if isinstance(outcome, Queued) else outcome
            for item, outcome in zip(wanted, outcomes, strict=True)
        ]

    async def release(self, wanted: Sequence[Release], deadline: float) -> list[Released | TenureError]:
        """Rules 6 and 7 for each. Not atomic as a whole. Raises StoreUnavailable: none was tried."""
        self._metrics.bulk("release", len(wanted))
        return await self._committer.settle_many([self._holds.releasing(*item) for item in wanted], deadline)

    def _acquiring(self, wanted: Sequence[Acquire]) -> list[Case[Hold | Queued]]:
        # The keys that this very call adds to a lease count, though the mirror has them later.
        leases: dict[str, int] = {}
        cases = []
        for item in wanted:
            worker = item.ask.worker
            lease_keys = leases.setdefault(worker, self._mirror.lease_keys(worker))
            case = self._holds.acquires.acquiring(
                item.profile,
                item.ask,
                tenant=item.profile.tenant,
                waits=False,
                resume=item.resume_state,
                lease_keys=lease_keys,
            )
            # Far from the limit nobody needs to know.
            if lease_keys + len(wanted) + 2 > MAX_LEASE_KEYS:
                leases[worker] += self._mirror.guess(case.sight).consumed == NOTHING_CONSUMED
            cases.append(case)
        return cases

    async def _end_wait(self, item: Acquire, deadline: float) -> Hold | TenureError:
        try:
            acquired = await self._holds.acquires.acquire(
                item.profile,
                item.ask,
                tenant=item.profile.tenant,
                wait_s=0,
                deadline=deadline,
                resume=item.resume_state,
            )
        except TenureError as error:
            return error
        return acquired.hold


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
