"""Is there an order of all calls of a profile, each somewhere between its start and its end, that the
specification allows? Pure.

The search of Wing and Gong with Lowe's memory of what was tried (as in Porcupine), one profile at a time. A
call with an unclear outcome may take effect at any time after its start, or never. Which request got which
token, and in which order places were taken and leases ended, is read in the store's history: without that a
queue of ten has three million orders. When it was stays open.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from tests.chaos.answers import TAKES, asked
from tests.chaos.call import REFUSED, UNCLEAR, Call
from tests.chaos.model import Model, Told, drifts

# Refusals that say nothing of the profile.
_SILENT = frozenset({"QUOTA_EXCEEDED", "INVALID_FIELD", "INVALID_ID", "NO_ROOM", "NOT_FOUND"})
_AWAY = "STORE_UNAVAILABLE"
# What these do is not in the model: with an unclear outcome they say nothing.
_READS = frozenset({"verify", "step", "finish", "checkpoint"})
# These are never taken for done without being a step of the search: what they do shows later.
_WEIGHTY = frozenset({"bump", "switch", "verdict"})


@dataclass(frozen=True, slots=True)
class Verdict:
    """`linear` is None when the search was given up. `stuck`: the calls at which the best attempt ended."""

    linear: bool | None
    explored: int
    stuck: Sequence[Call] = ()
    model: Model | None = None


def entries(calls: Sequence[Call], profile: str, told: Told) -> list[Call]:
    """What the search has to put in order: calls, places taken, leases' ends and raised epochs."""
    found: list[Call] = []
    merged: dict[tuple[str, str, str], Call] = {}
    for call in calls:
        if call.op == "bump" or (call.op == "ends" and call.args["worker"] in told.ends):
            found.append(call)
        if call.profile != profile or call.op not in TAKES:
            continue
        waits = call.op == "acquire" and call.args.get("waits")
        if call.outcome == REFUSED and (call.reason in _SILENT or (call.reason == _AWAY and not waits)):
            continue
        if waits and _asked(call) in told.places:
            _merge(merged, replace(call, op="join"))
        if call.outcome != UNCLEAR and call.reason != _AWAY:
            found.append(call)
            if call.op == "acquire" and not call.ok and _asked(call) in told.tokens:
                # It was granted, and lost again, before its caller heard of either.
                _merge(merged, call)
        elif call.op == "acquire":
            # It may have had a place by then, or been granted.
            if _asked(call) in told.places or _asked(call) in told.tokens:
                _merge(merged, call)
        elif call.op not in _READS:
            found.append(_open(call))
    return sorted([*found, *merged.values()], key=lambda call: call.start)


def _asked(call: Call) -> tuple[str, str]:
    return call.args["worker"], call.args["request"]


def _merge(merged: dict[tuple[str, str, str], Call], call: Call) -> None:
    """Several copies of one request have one effect, from the first one's start on."""
    merged.setdefault((call.op, *_asked(call)), _open(call))


def _open(call: Call) -> Call:
    return replace(call, end=math.inf, outcome=UNCLEAR, reason="", answer={})


def search(history: Sequence[Call], told: Told, *, budget: int = 30_000) -> Verdict:
    """Look for an order of `history` (see `entries`), trying at most `budget` states."""
    return _Search(history, told).run(budget)


class _Search:
    def __init__(self, history: Sequence[Call], told: Told) -> None:
        self._calls = history
        self._told = told
        self._must = sum(1 << i for i, call in enumerate(history) if not math.isinf(call.end))
        self._best: tuple[int, int, Model] = (-1, 0, Model())

    def run(self, budget: int) -> Verdict:
        first = self._absorb(0, Model())
        stack, seen = [first], {first}
        while stack:
            done, model = stack.pop()
            if not self._must & ~done:
                return Verdict(True, len(seen))
            if (count := (done & self._must).bit_count()) > self._best[0]:
                self._best = (count, done, model)
            for after in self._next(done, model):
                node = self._absorb(*after)
                if node not in seen:
                    seen.add(node)
                    stack.append(node)
            if len(seen) > budget:
                return Verdict(None, len(seen))
        _, done, model = self._best
        return Verdict(False, len(seen), [self._calls[i] for i in self._ready(done)], model)

    def _ready(self, done: int) -> list[int]:
        """The entries that may come next: those that began before any that is left had ended."""
        ready: list[int] = []
        first_end = math.inf
        for i, call in enumerate(self._calls):
            if call.start > first_end:
                break
            if not done >> i & 1:
                ready.append(i)
                first_end = min(first_end, call.end)
        return [i for i in ready if self._calls[i].start <= first_end]

    def _next(self, done: int, model: Model) -> Iterable[tuple[int, Model]]:
        # What comes last is tried first: calls before what happens by itself, and those that must before
        # those that may.
        for after in drifts(model, self._told):
            yield done, after
        for i in sorted(self._ready(done), key=lambda i: (not math.isinf(self._calls[i].end), -i)):
            call = self._calls[i]
            for after in self._take(model, call):
                if after != model or call.op in _WEIGHTY:
                    yield done | 1 << i, after

    def _absorb(self, done: int, model: Model) -> tuple[int, Model]:
        """Put every call that changes nothing now, and may come now, in its order at once: that is never
        worse than later, since what it names is over for good or still true.
        """
        grown = True
        while grown:
            grown = False
            for i in self._ready(done):
                call = self._calls[i]
                if self._is_dead(model, call) or (
                    not math.isinf(call.end)
                    and call.op not in _WEIGHTY
                    and any(after == model for after in self._take(model, call))
                ):
                    done |= 1 << i
                    grown = True
        return done, model

    def _is_dead(self, model: Model, call: Call) -> bool:
        """Whether a call that is still open can do nothing any more."""
        if not math.isinf(call.end):
            return False
        if call.op in ("acquire", "join", "cancel"):
            return model.is_done(asked(call))
        return "token" in call.args and model.is_over(call.args["token"])

    def _take(self, model: Model, call: Call) -> Iterable[Model]:
        if call.args.get("token", 0) > model.floor:
            # Nobody can name a token before it was granted.
            return ()
        return TAKES[call.op](model, call, self._told)


def shortest(history: Sequence[Call], told: Told, *, budget: int = 30_000) -> tuple[Call, Verdict]:
    """The call whose end makes a history impossible, and the search up to there.

    Of a history that has an order every beginning has one too, where calls still under way count as unclear.
    """
    ends = sorted(call.end for call in history if not math.isinf(call.end))
    low, high = 0, len(ends) - 1
    while low < high:
        middle = (low + high) // 2
        if search(_until(history, ends[middle]), told, budget=budget).linear is False:
            high = middle
        else:
            low = middle + 1
    last = next(call for call in history if call.end == ends[low])
    return last, search(_until(history, ends[low]), told, budget=budget)


def _until(history: Sequence[Call], end: float) -> list[Call]:
    return [call if call.end <= end else _open(call) for call in history if call.start <= end]
