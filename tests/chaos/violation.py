"""What a checker found, readable without the history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Violation:
    """`rule` names what was broken, `text` says how; `revision` is where in the store's history, 0 when it is
    the calls that disagree. `trace` is the smallest story that shows it.
    """

    rule: str
    profile: str
    text: str
    revision: int = 0
    token: int = 0
    trace: Sequence[str] = ()

    def __str__(self) -> str:
        where = f" at revision {self.revision}" if self.revision else ""
        lines = "".join(f"\n    {line}" for line in self.trace)
        return f"{self.rule}: {self.profile}{where}: {self.text}{lines}"
