"""One call of one client: what it asked, when, and what it was told."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

OK = "ok"
REFUSED = "refused"
UNCLEAR = "unclear"


@dataclass(slots=True)
class Call:
    """A call. Times are CLOCK_MONOTONIC's seconds, which all processes of a machine share.

    `outcome` is ok, refused (with the `reason` of the API: nothing was changed) or unclear: the call may take
    effect at any time after `start`, for ever, or never. Until something is known `end` is infinite.
    """

    client: str
    op: str
    profile: str
    args: dict[str, Any]
    start: float
    at: str = ""
    end: float = math.inf
    outcome: str = UNCLEAR
    reason: str = ""
    answer: dict[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return self.outcome == OK

    def line(self) -> str:
        """As one line of a trace."""
        args = " ".join(
            f"{name}={_short(value)}" for name, value in self.args.items() if value not in ("", 0)
        )
        told = self.reason if self.outcome == REFUSED else " ".join(_pairs(self.answer)) or "done"
        if self.outcome == UNCLEAR:
            told = f"nothing clear {self.reason}".rstrip()
        return f"{self.client}: {self.op}({args}) at {self.at or '-'} → {told}"


def dump(call: Call) -> str:
    """As a line of JSON."""
    values = dataclasses.asdict(call)
    if math.isinf(call.end):
        del values["end"]
    return json.dumps(values, separators=(",", ":"))


def load(lines: Iterable[str]) -> list[Call]:
    """The calls of such lines; a later line about the same call (client and start) replaces an earlier one.

    A line that was cut off, as by a kill, is passed over: the line of the call's start came before it.
    """
    found: dict[tuple[str, float, str, str], Call] = {}
    for line in lines:
        try:
            call = Call(**json.loads(line))
        except ValueError:
            continue
        found[call.client, call.start, call.op, call.profile] = call
    return sorted(found.values(), key=lambda call: call.start)


def _pairs(answer: dict[str, Any]) -> list[str]:
    return [f"{name}={_short(value)}" for name, value in answer.items() if value not in ("", None)]


def _short(value: Any) -> str:
    """Ids are told apart by their ends."""
    text = str(value)
    return f"…{text[-6:]}" if len(text) == 32 else text
