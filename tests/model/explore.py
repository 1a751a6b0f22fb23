"""Every state that a model can come to, breadth first, so the first story of a fault is a shortest."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

S = TypeVar("S", bound=Hashable)

NO_REST = "goes on for ever"


class Move(NamedTuple, Generic[S]):
    """Something that may happen next.

    `must`: it happens sooner or later while it can; anything else is chance, a fault, or somebody's free
    will. `wrong`: what this step itself breaks, "" for nothing.
    """

    story: str
    after: S
    must: bool = True
    wrong: str = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """A kind of violation, and how it came about."""

    kind: str
    story: tuple[str, ...]


@dataclass(slots=True)
class Explored:
    """What an exploration has seen. Not `whole`: it stopped at a fault that was looked for, or its limit."""

    states: int = 0
    moves: int = 0
    whole: bool = False
    faults: dict[str, Fault] = field(default_factory=dict)


class Model(Generic[S]):
    """One part of the protocol. `without`: the rules that are not kept in it."""

    NAME = ""

    def __init__(self, without: Iterable[str] = (), *, large: bool = False) -> None:
        self.without = frozenset(without)
        self.large = large
        self.asked: set[str] = set()

    def keeps(self, rule: str) -> bool:
        """Whether a rule holds in this exploration."""
        self.asked.add(rule)
        return rule not in self.without

    def start(self) -> S:
        raise AssertionError("every model has a start")

    def moves(self, state: S) -> Iterable[Move[S]]:
        raise AssertionError("every model moves")

    def wrong(self, state: S) -> str:
        """What is wrong in a state, wherever it came from; "" for nothing."""
        return ""

    def wrong_at_rest(self, state: S) -> str:
        """What is wrong in a state in which nothing happens by itself any more."""
        return ""

    def canonical(self, state: S) -> S:
        """One for all states that differ in names and numbers only."""
        return state


class _Search(Generic[S]):
    """States by number: where each was first reached from, and which must lead to it."""

    def __init__(self, model: Model[S], most: int) -> None:
        self.model, self.most = model, most
        self.number: dict[S, int] = {}
        self.came: list[tuple[int, str]] = []
        self.reached_by: list[list[int]] = []
        self.resting: list[int] = []
        self.found = Explored()
        self.waiting: deque[tuple[int, S]] = deque()

    def reach(self, state: S, before: int, story: str) -> int:
        same = self.model.canonical(state)
        number = self.number.get(same)
        if number is None:
            number = self.number[same] = len(self.came)
            self.came.append((before, story))
            self.reached_by.append([])
            # Stories are told of the state as it came about, names and all.
            self.waiting.append((number, state))
            self.note(self.model.wrong(state), number)
        return number

    def note(self, kind: str, number: int, last: str = "") -> None:
        if kind and kind not in self.found.faults:
            self.found.faults[kind] = Fault(kind, (*self.story(number), *([last] if last else [])))

    def story(self, number: int) -> list[str]:
        told = []
        while number:
            number, line = self.came[number]
            told.append(line)
        return told[::-1]

    def run(self, looked_for: Callable[[str], bool]) -> Explored:
        self.reach(self.model.start(), 0, "")
        while self.waiting:
            if len(self.came) > self.most or any(map(looked_for, self.found.faults)):
                return self._done(whole=False)
            number, state = self.waiting.popleft()
            goes_on = False
            for move in self.model.moves(state):
                self.found.moves += 1
                self.note(move.wrong, number, move.story)
                after = self.reach(move.after, number, move.story)
                if move.must:
                    goes_on = True
                    self.reached_by[after].append(number)
            if not goes_on:
                self.resting.append(number)
                self.note(self.model.wrong_at_rest(state), number)
        self._find_endless()
        return self._done(whole=True)

    def _find_endless(self) -> None:
        """What must happen leads to rest from everywhere, or something is done over and over for ever."""
        comes = bytearray(len(self.came))
        work = list(self.resting)
        for number in work:
            comes[number] = 1
        while work:
            for before in self.reached_by[work.pop()]:
                if not comes[before]:
                    comes[before] = 1
                    work.append(before)
        endless = comes.find(0)
        if endless >= 0:
            self.note(NO_REST, endless)

    def _done(self, *, whole: bool) -> Explored:
        self.found.states, self.found.whole = len(self.came), whole
        return self.found


def explore(
    model: Model[S], most: int = 5_000_000, looked_for: Callable[[str], bool] = lambda _: False
) -> Explored:
    """Explore a model, up to `most` states, or to the first fault of a kind that is looked for."""
    return _Search(model, most).run(looked_for)


def ranked(numbers: Iterable[int]) -> dict[int, int]:
    """Revisions in order, renumbered without gaps; 0 stays 0. Only their order and sameness mean anything."""
    return {0: 0} | {number: rank for rank, number in enumerate(sorted({*numbers} - {0}), 1)}
