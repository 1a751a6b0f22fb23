"""The secrets that one session's addresses have in them, and what each is good for. Pure.

The first lasts as long as the session. Further ones may be used to connect for a time; who is
connected by then stays. All end with the session.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Self

from tenure.errors import QuotaExceeded
from tenure.internal.v1 import browser_host_service_pb2 as pb

LONGEST_TTL_S = 3600
MOST = 64
"""Further addresses that a session has at a time."""


class Kind(Enum):
    """Named as `tenure.internal.v1.AddressKind`."""

    CDP = pb.ADDRESS_KIND_CDP
    VIEW = pb.ADDRESS_KIND_VIEW
    CONTROL = pb.ADDRESS_KIND_CONTROL


@dataclass(frozen=True, slots=True)
class Address:
    """`until`: seconds since 1970, the moment from which nobody may connect with it any more."""

    kind: Kind
    until: float = math.inf


@dataclass(slots=True)
class Addresses:
    """By secret. `main` is the one that OpenSession answered."""

    main: str
    further: dict[str, Address] = field(default_factory=dict)

    def add(self, secret: str, address: Address, now: float) -> None:
        """Let a further secret in; those whose time is over are forgotten. Raises QuotaExceeded."""
        self.further = {each: known for each, known in self.further.items() if now < known.until}
        if len(self.further) >= MOST:
            problem = (
                f"The session has {MOST} addresses already, the most it may have. Try again when one expires."
            )
            raise QuotaExceeded(problem, limit="session_addresses", value=MOST)
        self.further[secret] = address

    def admits(self, secret: str, kind: Kind, now: float) -> bool:
        """Whether one may connect with the secret for that purpose."""
        if secret == self.main:
            return kind is Kind.CDP
        known = self.further.get(secret)
        return known is not None and known.kind is kind and now < known.until

    def to_dict(self) -> dict[str, Any]:
        """As JSON may have it. It holds the secrets."""
        further = {secret: [each.kind.name, each.until] for secret, each in self.further.items()}
        return {"main": self.main, "further": further}

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> Self:
        """What `to_dict` made. Raises KeyError, TypeError, ValueError for anything else."""
        further = {
            str(secret): Address(Kind[kind], float(until))
            for secret, (kind, until) in kept["further"].items()
        }
        return cls(str(kept["main"]), further)
