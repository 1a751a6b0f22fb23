"""What the store's history says happened: every hold with its end, every place with its end. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

from lockservice.core.record import State
from tests.chaos.model import Told
from tests.chaos.timeline import Place
from tests.chaos.violation import Violation


@dataclass(slots=True)
class Grant:
    """One hold. `ended` is the state that it ended in, None while it lasts; `passed` is HELD to HELD."""

    profile: str
    token: int
    worker: str
    request: str
    revision: int
    ended: State | None = None
    end_revision: int = 0

    @property
    def released(self) -> bool:
        """It ended without an incident."""
        return self.ended in (State.AVAILABLE, State.HELD)


@dataclass(slots=True)
class Ledger:
    """`grants` by (profile, token), `asked` and `joined`, a place's revision, by (profile, worker, request);
    `places` are those left at the end; `moves` counts transitions.
    """

    violations: list[Violation] = field(default_factory=list)
    gone: dict[str, int] = field(default_factory=dict)
    grants: dict[tuple[str, int], Grant] = field(default_factory=dict)
    asked: dict[tuple[str, str, str], Grant] = field(default_factory=dict)
    highest: dict[str, int] = field(default_factory=dict)
    joined: dict[tuple[str, str, str], int] = field(default_factory=dict)
    places: dict[str, list[Place]] = field(default_factory=dict)
    states: dict[str, State | None] = field(default_factory=dict)
    decided: dict[tuple[str, int], str] = field(default_factory=dict)
    moves: Counter[tuple[str, str]] = field(default_factory=Counter)
    revisions: int = 0

    def told(self, profile: str, workers: Collection[str]) -> Told:
        """Which requests for a profile got what, and when these workers' leases ended."""
        return Told(
            ends={worker: at for worker, at in self.gone.items() if worker in workers},
            tokens={(w, r): grant.token for (name, w, r), grant in self.asked.items() if name == profile},
            places={(w, r): at for (name, w, r), at in self.joined.items() if name == profile},
        )

    def broken(self, rule: str, profile: str, revision: int, text: str, token: int = 0) -> None:
        """Note a violation."""
        self.violations.append(Violation(rule, profile, text, revision, token))
