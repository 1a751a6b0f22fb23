"""What upstreams said of the credentials that they were shown: who refused them is left alone for a while.

Providers lock an account that is tried with a wrong password again and again, and a browser asks for dozens
of connections at once. So where nobody knows yet whether they are taken, one attempt goes first; and after a
refusal there is none before a time is over, which doubles, and then one alone. Other credentials, which are
read anew for each connection, begin anew. Some answer for a blocked destination as for a wrong password, so
what was taken a moment ago is shown once more before all who share it are put off.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

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

_log = structlog.get_logger("egress")


@dataclass(slots=True, repr=False)
class _Standing:
    """`until`: no attempt before. `first`: set when the attempt that goes first has ended."""

    taken: bool = False
    wait_s: float = 0.0
    until: float = 0.0
    first: asyncio.Event | None = None


class SignIns:
    """A host's. By upstream, user and password: one user that is unknown there keeps no other from it."""

    def __init__(self, now: Callable[[], float] = boottime) -> None:
        self._now = now
        self._standings: dict[tuple[str, Credentials], _Standing] = {}

    def is_wary(self, upstream: str) -> bool:
        """Whether it is to be asked for `refuse` before anything is sent there. Reads nothing."""
        return any(name == upstream and found.wait_s for (name, _), found in self._standings.items())

    def refuse(self, upstream: str, shown: Credentials) -> None:
        """Raise NotTaken while these are not to be shown there."""
        found = self._standings.get((upstream, shown))
        if found is not None and found.wait_s and (self._now() < found.until or found.first is not None):
            raise self._not_taken(found)

    @asynccontextmanager
    async def attempt(self, upstream: str, shown: Credentials) -> AsyncIterator[None]:
        """The block shows them, and raises NotTaken where they are refused, which then says until when.

        Raises NotTaken while they are not to be shown.
        """
        found = self._standing(upstream, shown)
        with suppress(TimeoutError):
            async with asyncio.timeout(TOGETHER_S):
                # Again and again: one that came to nothing has told nobody anything.
                while not found.taken and not found.wait_s and found.first is not None:
                    await found.first.wait()
        self.refuse(upstream, shown)
        known = found.taken
        first = None
        if not found.taken and found.first is None:
            first = found.first = asyncio.Event()
        try:
            yield
        except NotTaken:
            found.taken = False
            if known:
                raise
            self._refused(upstream, found)
            raise self._not_taken(found) from None
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

    def _refused(self, upstream: str, found: _Standing) -> None:
        if found.wait_s and self._now() < found.until:
            return  # one of those that were under way with the first
        found.wait_s = min(max(FIRST_S, 2 * found.wait_s), LONGEST_S)
        found.until = self._now() + found.wait_s
        _log.warning("credentials refused", upstream=upstream, again_s=found.wait_s)

    def _taken(self, found: _Standing) -> None:
        found.taken, found.wait_s, found.until = True, 0.0, 0.0

    def _not_taken(self, found: _Standing) -> NotTaken:
        left_s = found.until - self._now()
        return NotTaken(math.ceil(left_s)) if left_s > 0 else NotTaken(under_way=True)

    def _standing(self, upstream: str, shown: Credentials) -> _Standing:
        name = (upstream, shown)
        if name not in self._standings and len(self._standings) >= MOST:
            # A refusal is worth more than what is found out again by one attempt.
            kept = [(key, each) for key, each in self._standings.items() if each.first or each.wait_s]
            self._standings = dict(kept[-MOST // 2 :])
        return self._standings.setdefault(name, _Standing())
