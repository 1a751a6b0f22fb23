"""A worker's lease: an id that comes back, and a worker that must know when to stop by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tests.model.explore import Model, Move

HELD, SUSPECTED = "HELD", "SUSPECTED_STALE"
TTL = 2


class Returned(NamedTuple):
    """One hold, granted while the worker's key had create revision 1."""

    state: str = HELD
    created: int = 1
    """The create revision of the worker's key now; 0 while there is none."""
    asleep: bool = False
    returns: int = 1


class Return(Model[Returned]):
    """Rules 2 and 10: alive is who has the key that was there at the grant, not a key of that name."""

    NAME = "return"

    def start(self) -> Returned:
        return Returned(returns=2 if self.large else 1)

    def moves(self, s: Returned) -> Iterator[Move[Returned]]:
        alive = s.created == 1 if self.keeps("rule2-created-as-stored") else s.created != 0
        if s.created:
            yield Move(
                "the worker's process stalls, its lease ends", s._replace(created=0, asleep=True), False
            )
        elif s.asleep and s.returns:
            back = s._replace(created=3 - s.returns, asleep=False, returns=s.returns - 1)
            yield Move("the process goes on and registers its old id anew", back, must=False)
        if s.state == HELD and not alive:
            yield Move("a replica finds the worker gone: suspected", s._replace(state=SUSPECTED))
        if s.state == HELD and s.created and alive:
            wrong = "" if s.created == 1 else "the dead owner is let in again"
            yield Move("the worker writes a step under its token", s, must=False, wrong=wrong)

    def wrong_at_rest(self, s: Returned) -> str:
        return "never suspected" if s.state == HELD and s.created != 1 else ""


class Beat(NamedTuple):
    """Time left of the lease at etcd and by the worker's own reckoning; a renewal on its way."""

    lease: int = TTL
    own: int = TTL
    sent: int | None = None
    """How long ago the renewal was sent that is on its way."""
    renewed: bool = False
    """It has reached etcd, its answer is on its way."""


class Heartbeat(Model[Beat]):
    """Rule 11: the deadline is counted from sending, and past it the worker works no more."""

    NAME = "heartbeat"

    def start(self) -> Beat:
        return Beat()

    def moves(self, s: Beat) -> Iterator[Move[Beat]]:
        if s.own and s.sent is None:
            yield Move("the worker sends a renewal", s._replace(sent=0), must=False)
        if s.sent is not None and not s.renewed and s.lease:
            yield Move("etcd renews the lease", s._replace(lease=TTL, renewed=True))
        if s.sent is not None and s.renewed:
            ago = s.sent if self.keeps("rule11-from-sending") else 0
            heard = s._replace(own=max(s.own, TTL - ago) if s.own else 0, sent=None, renewed=False)
            yield Move("the worker hears that it is renewed", heard)
        if s.sent is not None:
            yield Move("the renewal is lost", s._replace(sent=None, renewed=False), must=False)
        if s.own:
            wrong = "" if s.lease else "works on after its lease has ended"
            yield Move("the worker works", s, must=False, wrong=wrong)
        if s.lease or s.own:
            sent = None if s.sent is None else min(s.sent + 1, TTL)
            # etcd ends a lease late rather than early; the earliest is what counts.
            later = Beat(max(s.lease - 1, 0), max(s.own - 1, 0), sent, s.renewed)
            yield Move("a unit of time passes", later)
