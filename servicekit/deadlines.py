"""How long a call may take when its caller did not say. Pure.

A gRPC call without a deadline would wait for ever. At the gateway it gets a documented
default, so that a bare grpcurl call works; between services it is refused, because a
service that forgets the deadline holds resources for a caller who has long gone.
Streams are exempt: a watch lasts as long as its reader.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tenure.errors import DeadlineRequired

DEFAULT_S = 30.0

# Seconds, or how to read them off the request: a long poll takes as long as it says.
Rule = float | Callable[[Any], float]


@dataclass(frozen=True)
class Deadlines:
    """Defaults in seconds, by full method name (`/package.Service/Method`) where they differ.

    `default_s` None means that callers must set a deadline themselves.
    """

    default_s: float | None = DEFAULT_S
    methods: Mapping[str, Rule] = field(default_factory=dict)

    def seconds(self, method: str, request: object) -> float:
        """Return the default for a unary call. Raises DeadlineRequired where there is none."""
        rule = self.methods.get(method, self.default_s)
        if rule is None:
            raise DeadlineRequired(method=method)
        return rule(request) if callable(rule) else rule


REQUIRED = Deadlines(default_s=None)
