"""What a worker may believe about its lease: pure, time is an argument.

All moments are seconds of CLOCK_BOOTTIME, which goes on while the machine sleeps: a
worker that was suspended must wake up knowing that its lease is over.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Self

from tenure.v1 import hold_pb2

RENEWALS_PER_TTL = 3


@dataclass(frozen=True, slots=True)
class Lease:
    """A worker's right to act, until `deadline`.

    The server promises `ttl` seconds from the moment it handled a renewal, which is later
    than the moment it was sent; counting from *sending* is therefore always safe.
    """

    worker: str
    ttl: float
    sent_at: float
    """When the last successful renewal (or the registration) was sent."""

    @property
    def deadline(self) -> float:
        return self.sent_at + self.ttl

    @property
    def renewal_due(self) -> float:
        return self.sent_at + self.ttl / RENEWALS_PER_TTL

    def remaining(self, now: float) -> float:
        """Seconds until the worker must have stopped; 0 when it must stop now."""
        return max(0.0, self.deadline - now)

    def expired(self, now: float) -> bool:
        return now >= self.deadline

    def renewed(self, ttl: float, sent_at: float) -> Self:
        """The lease after a renewal that was sent at `sent_at` and answered `ttl`.

        Answers may overtake each other: an earlier one never shortens the lease.
        """
        if sent_at + ttl <= self.deadline:
            return self
        return type(self)(self.worker, ttl, sent_at)


def strays(listed: Iterable[hold_pb2.Hold], expected: Collection[str]) -> list[hold_pb2.Hold]:
    """The holds whose grant this worker never learnt of, and so must release.

    `expected` holds the canonical request ids of every hold in use *and* of every acquire
    under way; it must be read when the renewal's answer is in. Safe, because an id enters
    `expected` before its acquire is sent: a listed hold that is absent was given up.
    """
    return [hold for hold in listed if hold.request_id not in expected]
