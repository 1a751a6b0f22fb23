"""The sequential specification of one profile: what each call may do and be told. Pure.

Small on purpose: holder, queue, state. What happens by itself (a grant to the head, suspicion of the dead, a
workflow that did not come) is a `drift`; a lease that ends is an entry of the history, open for ever.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise

from tenure import token as tokens

FREE = frozenset({"AVAILABLE", "RETRY"})


@dataclass(frozen=True, slots=True)
class Told:
    """What the store's history says of requests, (worker, request) each: the token that was granted, and the
    revision at which a place was taken; and at which one each worker's lease ended. So the order of these is
    known, and each of them happened; when, as the callers saw it, stays open.
    """

    tokens: dict[tuple[str, str], int] = field(default_factory=dict)
    places: dict[tuple[str, str], int] = field(default_factory=dict)
    ends: dict[str, int] = field(default_factory=dict)
    after: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        granted = {revision(token) for token in self.tokens.values()}
        revisions = sorted({*self.places.values(), *self.ends.values(), *granted})
        self.after.update(pairwise([0, *revisions]))

    def is_next(self, at: int, before: int) -> bool:
        """Whether nothing else of these happened between two revisions."""
        return self.after.get(before) == at


def revision(token: int) -> int:
    return tokens.unpack(token).revision


@dataclass(frozen=True, slots=True)
class Ask:
    """One request of one worker; tuples of ids are what the API names."""

    worker: str
    request: str
    workflow: str = ""


@dataclass(frozen=True, slots=True)
class Model:
    """A profile. `floor`: the highest token so far; `used`: the highest request id of each worker; `old`:
    held since before the epoch was raised; `at`: the store's revision of the last grant or place.
    """

    state: str = "AVAILABLE"
    token: int = 0
    floor: int = 0
    holder: Ask | None = None
    queue: tuple[Ask, ...] = ()
    used: tuple[tuple[str, str], ...] = ()
    gone: frozenset[str] = frozenset()
    incident: int = 0
    old: bool = False
    at: int = 0

    @property
    def free(self) -> bool:
        return self.state in FREE

    def used_by(self, worker: str) -> str:
        return dict(self.used).get(worker, "")

    def using(self, ask: Ask) -> Model:
        """The request id is used up."""
        used = {**dict(self.used), ask.worker: max(self.used_by(ask.worker), ask.request)}
        return replace(self, used=tuple(sorted(used.items())))

    def without(self, ask: Ask) -> Model:
        """It left the queue."""
        return replace(self, queue=tuple(each for each in self.queue if not same(each, ask)))

    def granted(self, ask: Ask, told: Told) -> Iterator[Model]:
        """Held by it now, with a token above all before; nothing when that cannot be."""
        token = told.tokens.get((ask.worker, ask.request), 0)
        at = revision(token) if token else 0
        if token > self.floor and told.is_next(at, self.at) and ask.worker not in self.gone:
            held = replace(
                self, state="HELD", token=token, floor=token, holder=ask, incident=0, old=False, at=at
            )
            yield held.without(ask).using(ask)

    def is_over(self, token: int) -> bool:
        """Whether the token is neither the current hold's nor that of the incident at work."""
        return token <= self.floor and token not in (self.token, self.incident)

    def is_done(self, ask: Ask) -> bool:
        """Whether the request was made, and is neither granted nor in the queue."""
        used = ask.request <= self.used_by(ask.worker) or ask.worker in self.gone
        return used and not same(self.holder, ask) and not any(same(each, ask) for each in self.queue)

    def holds(self, token: int) -> bool:
        """Whether this is the current hold's token."""
        return self.state == "HELD" and self.token == token

    def holds_well(self, token: int) -> bool:
        """Whether its owner may act."""
        return self.holds(token) and not self.old and self.holder is not None and self.lives(self.holder)

    def lives(self, ask: Ask) -> bool:
        return ask.worker not in self.gone

    def suspected(self) -> Model:
        return replace(self, state="SUSPECTED_STALE", incident=self.token, token=0, old=False)

    def joined(self, ask: Ask, told: Told) -> Iterator[Model]:
        """In the queue now; nothing when the store never had that place, or had it earlier."""
        at = told.places.get((ask.worker, ask.request), 0)
        if told.is_next(at, self.at):
            yield replace(self.using(ask), queue=(*self.queue, ask), at=at)

    def passed_on(self, told: Told) -> Iterator[Model]:
        """Released: to the head of the queue, or to nobody."""
        if self.queue:
            yield from self.granted(self.queue[0], told)
        else:
            yield replace(self, state="AVAILABLE", token=0, holder=None, old=False)

    def decided(self, outcome: str) -> Model:
        """What a decision or a verdict makes of it."""
        if outcome in ("MANUAL_REVIEW", "RESUME_PENDING"):
            return replace(self, state=outcome)
        return replace(self, state=outcome, incident=0, holder=None)


def same(one: Ask | None, other: Ask) -> bool:
    return one is not None and (one.worker, one.request) == (other.worker, other.request)


def drifts(model: Model, told: Told) -> Iterator[Model]:
    """What the service may do by itself now."""
    if model.state == "HELD" and model.holder and (model.old or not model.lives(model.holder)):
        yield model.suspected()
    if model.free and model.queue:
        yield from model.granted(model.queue[0], told)
    if model.state == "RESUME_PENDING" and model.holder is not None:
        yield model.decided("MANUAL_REVIEW")
        for ask in model.queue:
            if ask.workflow == model.holder.workflow:
                yield from model.granted(ask, told)
