"""Group commit: Txns of many callers in one, whose outcome may be unclear, or an error of one of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tests.model.explore import Model, Move

DONE, FAILED, UNCLEAR, REFUSED = "done", "not done", "unclear", "refused"


class Caller(NamedTuple):
    """A caller with one transition of one profile, which compares that profile as it was seen."""

    profile: int
    seen: int = 1
    bad: bool = False
    """etcd refuses a Txn with it as a whole: too large, say."""
    told: str = ""
    sent: bool = False
    unclear: bool = False
    """A copy was sent of which it is not known what became."""


class World(NamedTuple):
    callers: tuple[Caller, ...]
    profiles: tuple[int, ...]
    """The revision of each profile."""
    writer: tuple[int, ...]
    """Which caller's transition each profile took, -1 for none's; -2 for a stranger's."""
    flying: tuple[tuple[int, ...], ...] = ()
    """Batches that are waited for, by the callers in them."""
    late: tuple[tuple[int, ...], ...] = ()
    """Batches that nobody waits for, and that may yet arrive."""
    timeouts: int = 2
    strangers: int = 1


class Batch(Model[World]):
    """Three callers: two of one profile, one of another; or one of them with what etcd refuses."""

    NAME = "batch"
    CALLERS = (Caller(0), Caller(1), Caller(0))

    def start(self) -> World:
        timeouts = 3 if self.large else 2
        profiles = 1 + max(caller.profile for caller in self.CALLERS)
        return World(self.CALLERS, (1,) * profiles, (-1,) * profiles, timeouts=timeouts)

    def canonical(self, s: World) -> World:
        return s._replace(flying=tuple(sorted(s.flying)), late=tuple(sorted(s.late)))

    def moves(self, s: World) -> Iterator[Move[World]]:
        yield from self.gathers(s)
        for batch in s.flying:
            yield from self.batch_arrives(s, batch)
        for batch in dict.fromkeys(s.late):
            late = list(s.late)
            late.remove(batch)
            after, _, wrong = self.apply(s._replace(late=tuple(late)), batch)
            yield Move(f"a late copy of {_names(batch)} reaches etcd", after, wrong=wrong)
        if s.strangers:
            for profile in range(len(s.profiles)):
                if s.writer[profile] == -1:
                    taken = _take(s, profile, -2)._replace(strangers=0)
                    yield Move(f"another replica has a transition of profile {profile}", taken, must=False)

    def gathers(self, s: World) -> Iterator[Move[World]]:
        """What waits goes into the next batch, of each profile one at most; what was unclear goes alone."""
        waiting = [
            index
            for index, caller in enumerate(s.callers)
            if not caller.told and not any(index in batch for batch in s.flying)
        ]
        batch: list[int] = []
        for index in waiting:
            caller = s.callers[index]
            clashes = any(s.callers[other].profile == caller.profile for other in batch)
            if not caller.unclear and (not clashes or not self.keeps("batch-of-each-profile-one")):
                batch.append(index)
            if caller.unclear:
                yield from self.sends_again(s, index)
        for size in {1, len(batch)} - {0}:
            some = tuple(batch[:size])
            if some:
                yield Move(f"the batch {_names(some)} is sent", s._replace(flying=(*s.flying, some)))

    def sends_again(self, s: World, index: int) -> Iterator[Move[World]]:
        """The identical one, alone, while its caller wants it; or it is told what is known."""
        caller = s.callers[index]
        if self.keeps("batch-only-the-identical-again"):
            again = s._replace(flying=(*s.flying, (index,)))
            yield Move(f"the very transition of caller {index} is sent again, alone", again)
        else:
            # Decided anew, on what a read shows that nobody has ordered.
            anew = caller._replace(seen=s.profiles[caller.profile])
            again = _caller(s, index, anew)._replace(flying=(*s.flying, (index,)))
            yield Move(f"the transition of caller {index} is decided anew, and sent", again)
        yield Move(f"the time of caller {index} is over", _told(s, index, UNCLEAR), must=False)

    def batch_arrives(self, s: World, batch: tuple[int, ...]) -> Iterator[Move[World]]:
        flying = list(s.flying)
        flying.remove(batch)
        rest = s._replace(flying=tuple(flying))
        if any(s.callers[index].bad for index in batch):
            yield from self.is_refused(rest, batch)
            return
        after, done, wrong = self.apply(rest, batch)
        heard = after
        for index in batch:
            if index in done:
                heard = _told(heard, index, DONE)
            elif s.callers[index].unclear:
                # The copy before has applied, or never will; which of the two is looked up, in order.
                heard = _told(
                    heard, index, DONE if after.writer[s.callers[index].profile] == index else FAILED
                )
            else:
                heard = _told(heard, index, FAILED)
        yield Move(f"{_names(batch)} reaches etcd, {len(done)} done, and is answered", heard, wrong=wrong)
        if s.timeouts:
            fewer = rest._replace(timeouts=s.timeouts - 1)
            lost = after._replace(timeouts=s.timeouts - 1)
            yield Move(
                f"{_names(batch)} reaches etcd, its answer is lost", self._unclear(lost, batch), False, wrong
            )
            late = self._unclear(fewer._replace(late=(*fewer.late, batch)), batch)
            yield Move(f"{_names(batch)} is late, and given up", late, must=False)

    def is_refused(self, s: World, batch: tuple[int, ...]) -> Iterator[Move[World]]:
        """A definite error is one member's: halves are tried, until it stands alone."""
        if len(batch) > 1 and self.keeps("batch-halves-find-the-culprit"):
            middle = len(batch) // 2
            halves = s._replace(flying=(*s.flying, batch[:middle], batch[middle:]))
            yield Move(f"etcd refuses {_names(batch)}: it is sent in halves", halves)
            return
        heard, wrong = s, ""
        for index in batch:
            heard = _told(heard, index, REFUSED)
            wrong = wrong or ("" if s.callers[index].bad else "refused for another's fault")
        yield Move(f"etcd refuses {_names(batch)}", heard, wrong=wrong)

    def _unclear(self, s: World, batch: tuple[int, ...]) -> World:
        for index in batch:
            if self.keeps("batch-unclear-is-told-so"):
                s = _caller(s, index, s.callers[index]._replace(unclear=True))
            else:
                s = _told(s, index, FAILED)
        return s

    def apply(self, s: World, batch: tuple[int, ...]) -> tuple[World, list[int], str]:
        """Each member by its own compares, all of which see the state before the batch."""
        before, done, wrong = s, [], ""
        for index in batch:
            caller = s.callers[index]
            if caller.bad or before.profiles[caller.profile] != caller.seen:
                continue
            if s.writer[caller.profile] == index:
                wrong = "one transition is done twice"
            elif before.profiles[caller.profile] != s.profiles[caller.profile]:
                wrong = "two callers are told of one profile that they have it"
            s = _take(s, caller.profile, index)
            done.append(index)
        return s, done, wrong

    def wrong(self, s: World) -> str:
        for index, caller in enumerate(s.callers):
            mine = s.writer[caller.profile] == index
            if caller.told == FAILED and mine:
                return "told 'not done', and it was"
            if caller.told == DONE and not mine:
                return "told 'done', and it was not"
        return ""

    def wrong_at_rest(self, s: World) -> str:
        return "" if all(caller.told for caller in s.callers) else "a caller is never answered"


class BatchRefused(Batch):
    """One of three members is what etcd refuses."""

    NAME = "batch-refused"
    CALLERS = (Caller(0), Caller(1, bad=True), Caller(2))


def _take(s: World, profile: int, writer: int) -> World:
    profiles, writers = list(s.profiles), list(s.writer)
    profiles[profile] += 1
    writers[profile] = writer
    return s._replace(profiles=tuple(profiles), writer=tuple(writers))


def _caller(s: World, index: int, caller: Caller) -> World:
    return s._replace(callers=(*s.callers[:index], caller, *s.callers[index + 1 :]))


def _told(s: World, index: int, what: str) -> World:
    return _caller(s, index, s.callers[index]._replace(told=what))


def _names(batch: tuple[int, ...]) -> str:
    return "the Txn of callers " + " and ".join(map(str, batch))
