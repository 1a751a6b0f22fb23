"""What upstreams said of the credentials that they were shown: who refused them is left alone for a while.

Providers lock an account that is tried with a wrong password again and again, and a browser asks for dozens
of connections at once. So where nobody knows yet whether they are taken, one attempt goes first; and after a
refusal there is none before a time is over, which doubles, and then one alone. Other credentials, which are
read anew for each connection, begin anew.

Some upstreams answer for a blocked destination as for a wrong password. So where credentials have been taken,
one destination's refusal is its own: it alone is put off once it is refused again. Only when another one is
refused too, and none was let through in between, are all put off that share the credentials. From then on
each refusal puts all off again, whoever it was of, and a further destination's for twice as long.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import structlog

from browserhost.clock import boottime
from browserhost.egress.asking import NotTaken, Unwilling
from browserhost.egress.credentials import Credentials

FIRST_S = 5.0
LONGEST_S = 300.0
TOGETHER_S = 1.0
"""How long others wait for the first attempt's answer: it may be its destination that is slow."""
MOST = 1024
"""Standings that are remembered; each profile may have a user of its own."""
MOST_REFUSED = 64
"""Destinations of one standing that are remembered."""

_log = structlog.get_logger("egress")


@dataclass(slots=True, repr=False)
class _Wait:
    """No attempt before `until`; none is made to wait while `wait_s` is 0."""

    wait_s: float = 0.0
    until: float = 0.0

    def longer(self, now: float) -> None:
        """It was refused again; those that were under way with the first are one refusal."""
        if not self.wait_s or now >= self.until:
            self.wait_s = min(max(FIRST_S, 2 * self.wait_s), LONGEST_S)
            self.until = now + self.wait_s

    def why(self, now: float) -> NotTaken:
        left_s = self.until - now
        return NotTaken(math.ceil(left_s)) if left_s > 0 else NotTaken(under_way=True)


@dataclass(slots=True, repr=False)
class _Standing:
    """`taken`: as far as is known. `good`: they were, once. `first`: set when the attempt that goes first has
    ended. `refused`: the destinations that were, since they were taken last.
    """

    taken: bool = False
    good: bool = False
    all: _Wait = field(default_factory=_Wait)
    first: asyncio.Event | None = None
    refused: dict[str, _Wait] = field(default_factory=dict)


class SignIns:
    """A host's. By upstream, user and password: one user that is unknown there keeps no other from it."""

    def __init__(self, now: Callable[[], float] = boottime) -> None:
        self._now = now
        self._standings: dict[tuple[str, Credentials], _Standing] = {}

    def is_wary(self, upstream: str) -> bool:
        """Whether it is to be asked for `refuse` before anything is sent there. Reads nothing."""
        return any(
            name == upstream and (found.all.wait_s or found.refused)
            for (name, _), found in self._standings.items()
        )

    def refuse(self, upstream: str, shown: Credentials, where: str = "") -> None:
        """Raise NotTaken while these are not to be shown there. `where` as `attempt` has it."""
        found = self._standings.get((upstream, shown))
        if found is None:
            return
        for wait in (found.all, found.refused.get(where, found.all)):
            if self._now() < wait.until:
                raise wait.why(self._now())
        if found.all.wait_s and found.first is not None:
            raise found.all.why(self._now())

    @asynccontextmanager
    async def attempt(self, upstream: str, shown: Credentials, where: str = "") -> AsyncIterator[None]:
        """The block shows them, and raises NotTaken where they are refused, which then says until when.

        `where` is the destination, where the upstream knows it by then. Raises NotTaken while they are not
        to be shown.
        """
        found = self._standing(upstream, shown)
        with suppress(TimeoutError):
            async with asyncio.timeout(TOGETHER_S):
                # Again and again: one that came to nothing has told nobody anything.
                while not found.taken and not found.all.wait_s and found.first is not None:
                    await found.first.wait()
        self.refuse(upstream, shown, where)
        known = found.taken
        first = None
        if not found.taken and found.first is None:
            first = found.first = asyncio.Event()
        try:
            yield
        except NotTaken:
            found.taken = False
            wait = self._refused(upstream, found, where, known=known)
            if wait is None:
                raise
            raise wait.why(self._now()) from None
        except Unwilling:
            # Who will not connect there has let us in.
            self._taken(found)
            raise
        else:
            self._taken(found)
        finally:
            if first is not None:
                found.first = None
                first.set()

    def _refused(self, upstream: str, found: _Standing, where: str, *, known: bool) -> _Wait | None:
        """What is put off for it, if anything is. `known`: they counted as taken when they were shown."""
        own = found.refused.get(where)
        is_first = where != "" and found.good and not found.refused
        if where and found.good and own is None and len(found.refused) < MOST_REFUSED:
            found.refused[where] = _Wait()
        if known or is_first:
            return None
        now = self._now()
        if own is None:
            found.all.longer(now)
        else:
            own.longer(now)
            found.all.until = now + found.all.wait_s
        wait = max((own or found.all, found.all), key=lambda each: each.until)
        _log.warning("credentials refused", upstream=upstream, again_s=wait.wait_s)
        return wait

    def _taken(self, found: _Standing) -> None:
        found.taken = found.good = True
        found.all = _Wait()
        found.refused.clear()

    def _standing(self, upstream: str, shown: Credentials) -> _Standing:
        name = (upstream, shown)
        if name not in self._standings and len(self._standings) >= MOST:
            # A refusal is worth more than what is found out again by one attempt.
            kept = [
                (key, each)
                for key, each in self._standings.items()
                if each.first or each.all.wait_s or each.refused
            ]
            self._standings = dict(kept[-MOST // 2 :])
        return self._standings.setdefault(name, _Standing())
