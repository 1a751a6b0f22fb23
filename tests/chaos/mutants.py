"""Which conditions are forgotten, one after the other; and which need not be, because others say the same.

Together the two tables name every condition of every transition of a profile (a run that meets another one
says so). Not here: hosts, their schedules and homes, which are no transitions of a profile's state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from tests.chaos.actor import WEIGHTS

_WAITERS = MappingProxyType({"work": 6, "give_up": 6, "twice": 2, "late": 1, "die": 1})
_WRITERS = MappingProxyType({"work": 8, "late": 1})


@dataclass(frozen=True, slots=True, kw_only=True)
class Steer:
    """How a run is led to where a condition matters. `lag_s`: replicas hear of changes so much later.
    `all_held`: not one message at a time is held, but every one of its kind. `stray`: a host sends evidence
    of holds that are no incidents. `implicit`: requests that name no worker, at two replicas at once.
    `saver`: an owner that saves one checkpoint after the other.
    `drama`: that play, no random clients.
    """

    actors: int = 4
    profiles: int = 2
    weights: Mapping[str, int] = field(default_factory=lambda: WEIGHTS)
    workflows: tuple[str, ...] = ("", "shop", "mail")
    outcomes: tuple[str, ...] = ()
    verdicts: tuple[str, ...] = ()
    results: tuple[str, ...] = ()
    operator_s: float = 0.5
    resume_s: float = 3.0
    lag_s: float = 0.0
    patience_s: float = 0.6
    ghost: int = 0
    all_held: bool = False
    stray: bool = False
    saver: bool = False
    drama: str = ""
    implicit: bool = False


@dataclass(frozen=True, slots=True)
class Mutant:
    """The transition, and the conditions that it forgets: one, or two that say the same."""

    transition: str
    labels: tuple[str, ...]
    steer: Steer = Steer()

    @property
    def name(self) -> str:
        return f"{self.transition} without {' and '.join(self.labels)}"


_BUSY = Steer(weights=_WAITERS, profiles=1, actors=5)
_FREED = Steer(
    weights=_WAITERS, profiles=1, actors=5, operator_s=0.15, outcomes=("AVAILABLE",), verdicts=("AVAILABLE",)
)
_FREED_LATE = Steer(
    weights=_WAITERS,
    profiles=1,
    actors=5,
    operator_s=0.15,
    outcomes=("AVAILABLE",),
    verdicts=("AVAILABLE",),
    all_held=True,
)
_RESUMED = Steer(
    workflows=("shop",),
    profiles=1,
    operator_s=0.2,
    outcomes=("RESUME_PENDING",),
    verdicts=("RESUME_PENDING",),
    all_held=True,
)
_ABANDONED = Steer(
    workflows=tuple(f"w{i}" for i in range(50)),
    operator_s=0.2,
    outcomes=("RESUME_PENDING", "MANUAL_REVIEW"),
    verdicts=("RESUME_PENDING",),
    resume_s=0.2,
)
_SAVING = Steer(weights=_WRITERS, workflows=("shop",), operator_s=5, actors=3, profiles=3)
_LATE_NEWS = Steer(weights=_WAITERS, profiles=1, actors=6, lag_s=1.0, outcomes=("AVAILABLE",))
_DYING = Steer(weights=MappingProxyType({"work": 6, "die": 2, "give_up": 1}), operator_s=5, all_held=True)
_SWITCHED = Steer(
    weights=_WAITERS,
    profiles=1,
    actors=6,
    operator_s=0.15,
    outcomes=("MANUAL_REVIEW",),
    verdicts=("DISABLED",),
)
_REVIEWED = Steer(operator_s=0.15, outcomes=("MANUAL_REVIEW",), verdicts=("AVAILABLE",))


def _of(transition: str, *labels: str, steer: Steer = Steer()) -> tuple[Mutant, ...]:
    return tuple(Mutant(transition, (label,), steer) for label in labels)


MUTANTS: tuple[Mutant, ...] = (
    *_of("grant", "epoch", "p", "w", "k"),
    *_of("grant", "queue empty", steer=Steer(drama="overtaken", patience_s=2.0)),
    *_of("join", "p", steer=Steer(weights=_WAITERS, profiles=2, actors=3, operator_s=9)),
    *_of("join", "w", "k", steer=_BUSY),
    *_of("join", "place", steer=_BUSY),
    *_of("join", "place of the head", steer=_LATE_NEWS),
    *_of("hand over", "epoch", "p", "w", "place", steer=_BUSY),
    *_of("hand over", "head", steer=_LATE_NEWS),
    *_of("release", "epoch", "p", "w", "queue empty"),
    *_of("grant the head", "epoch", "p", "place", steer=_FREED_LATE),
    *_of("grant the head", "head", steer=Steer(drama="blind", patience_s=2.0)),
    *_of("resume", "epoch", "p", "w", "k", steer=_RESUMED),
    *_of("resume from the queue", "epoch", "p", "place", steer=_RESUMED),
    *_of("burn", "w", "k", steer=_BUSY),
    *_of("leave", "place", steer=_BUSY),
    *_of("leave the disabled", "p", steer=_SWITCHED),
    *_of("step", "epoch", "p", "w", "step before", "seq", steer=_SAVING),
    *_of("finish", "epoch", "p", "w", "end", steer=_SAVING),
    *_of("checkpoint", "epoch", "p", "w", steer=_SAVING),
    Mutant("checkpoint", ("c",), Steer(actors=1, operator_s=60, ghost=2, patience_s=2.0, saver=True)),
    *_of("suspect", "epoch", "p", steer=Steer(operator_s=0.15)),
    *_of("suspect the dead", "epoch", steer=_DYING),
    Mutant("suspect the dead", ("p", "i"), _DYING),
    *_of("suspect the dead", "w", steer=Steer(lag_s=0.5, operator_s=9)),
    *_of("quarantine", "epoch", "p", steer=Steer(operator_s=0.15)),
    *_of("late acknowledgement", "acknowledged", steer=_REVIEWED),
    *_of("inspect", "epoch", "p", steer=Steer(operator_s=0.15)),
    *_of("decide", "epoch", steer=Steer(operator_s=0.15)),
    Mutant("decide", ("p", "d"), Steer(operator_s=0.15)),
    *_of("verdict", "epoch", steer=_REVIEWED),
    Mutant("verdict", ("p", "v"), _REVIEWED),
    *_of("verdict", "v", steer=_ABANDONED),
    *_of("unclaimed", "epoch", "p", steer=_ABANDONED),
    *_of("disable", "epoch", "p", steer=Steer(operator_s=0.1)),
    *_of("enable", "epoch", steer=Steer(operator_s=0.1, all_held=True)),
    *_of("enable", "p", steer=Steer(operator_s=0.1)),
    *_of("evidence", "i", steer=Steer(stray=True)),
    *_of("evidence", "d", steer=Steer(operator_s=0.15, patience_s=2.0)),
    *_of("evidence", "item", steer=Steer(operator_s=0.15)),
    *_of("implicit worker", "a", steer=Steer(implicit=True, actors=1)),
)

_SAME_LEASE = (
    "a place rides on its waiter's lease, as the worker's key does: one revision deletes both, so that the "
    "place's create revision, which is compared beside it, says it too"
)
_NOTHING_OF_AN_EPOCH = (
    "nothing that it writes carries an epoch, and everything that it was decided on is compared: a replica "
    "that knew of the raised epoch would decide the same"
)

EQUIVALENT: Mapping[tuple[str, str], str] = MappingProxyType(
    {
        ("hand over", "w of the head"): _SAME_LEASE,
        ("grant the head", "w"): _SAME_LEASE,
        ("resume from the queue", "w"): _SAME_LEASE,
        ("join", "epoch"): _NOTHING_OF_AN_EPOCH,
        ("burn", "epoch"): _NOTHING_OF_AN_EPOCH,
        ("leave", "epoch"): _NOTHING_OF_AN_EPOCH,
        ("leave the disabled", "epoch"): _NOTHING_OF_AN_EPOCH,
        ("leave the disabled", "place"): "p as it was: nobody was granted, so the waiter gave up or is dead",
        ("late acknowledgement", "epoch"): _NOTHING_OF_AN_EPOCH,
        ("register", "epoch"): _NOTHING_OF_AN_EPOCH,
        ("implicit worker", "epoch"): _NOTHING_OF_AN_EPOCH,
        ("late acknowledgement", "p"): "an acknowledgement is of its token alone, and stays true",
        ("suspect", "i"): "i of a token is written only as p leaves that token, which mod(p) says",
        ("suspect the dead", "i"): "as above; and mod(p) the other way round",
        ("suspect the dead", "p"): "the dead release nothing: p leaves the token only with its i",
        ("decide", "p"): "p leaves the INSPECTED revision only with d, whose absence is compared",
        ("decide", "d"): "d is written only as p leaves the INSPECTED revision, which mod(p) says",
        ("verdict", "p"): "p leaves the review only with the next v, whose absence is compared",
        ("verdict", "acknowledged"): "what was acknowledged is never deleted while an incident is open",
        ("finish", "step before"): "a step is never deleted while its hold lasts",
        ("register", "w"): "the id was minted for this very Txn: only a copy of it, on the same lease",
        ("implicit worker", "w"): "the same; and the request's key, which is compared, holds it off",
    }
)
