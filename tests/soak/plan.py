"""What a soak plays, all of it by its seed. Pure."""

from __future__ import annotations

import random
from dataclasses import dataclass

HOST, BOTH, UPSTREAM = "host", "keeper and host", "upstream"
KILLS = ("chrome", "xvfb", "keeper", HOST, BOTH, UPSTREAM)
_WEIGHTS = (4, 3, 3, 2, 1, 3)


@dataclass(frozen=True, slots=True)
class Play:
    """One cycle: `kill` what, "" for nothing, while it is `held` or after."""

    number: int
    profile: str
    kill: str
    held: bool


@dataclass(slots=True)
class Plan:
    """What is played, all of it by the seed."""

    cycles: int
    profiles: int
    seed: int
    kills: float = 0.4
    together: int = 3

    def plays(self) -> list[Play]:
        rng = random.Random(self.seed)
        names = [f"soak-{number:02}" for number in range(self.profiles)]
        plays = []
        for number in range(self.cycles):
            what = rng.choices(KILLS, _WEIGHTS)[0] if rng.random() < self.kills else ""
            # Every profile is made and signed in before the first kill may hit it.
            first = number < self.profiles
            name = names[number] if first else rng.choice(names)
            plays.append(Play(number, name, "" if first else what, rng.random() < 0.5))
        return plays


def is_behind(profile: str) -> bool:
    """Whether a profile goes through the upstream: every second one does."""
    return int(profile.rpartition("-")[2]) % 2 == 1
