"""Handlers of one replica: waiting calls are parked, or Release and Cancel are never picked up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tests.model.explore import Model, Move

SLOTS = 2


class World(NamedTuple):
    held: bool = True
    waiting: int = 0
    """Acquires that have their place, and wait."""
    arrived: tuple[str, ...] = ()
    """Calls that no handler has taken yet, in order."""
    in_hand: tuple[str, ...] = ()
    to_come: int = SLOTS + 1
    released: bool = False


class Slots(Model[World]):
    """Rule 12: a limit on calls at work, and more waiters than it has room for."""

    NAME = "slots"

    def start(self) -> World:
        return World(to_come=2 * SLOTS + 1) if self.large else World()

    def moves(self, s: World) -> Iterator[Move[World]]:
        if s.to_come:
            comes = s._replace(arrived=(*s.arrived, "Acquire"), to_come=s.to_come - 1)
            yield Move("another Acquire arrives", comes, must=False)
        if s.held and not s.released:
            yield Move(
                "the holder's Release arrives", s._replace(arrived=(*s.arrived, "Release"), released=True)
            )
        counted = len(s.in_hand) + (0 if self.keeps("rule12-waits-outside-the-limit") else s.waiting)
        if s.arrived and counted < SLOTS:
            taken = s._replace(arrived=s.arrived[1:], in_hand=(*s.in_hand, s.arrived[0]))
            yield Move(f"a handler takes {s.arrived[0]}", taken)
        for call in dict.fromkeys(s.in_hand):
            rest = list(s.in_hand)
            rest.remove(call)
            after = s._replace(in_hand=tuple(rest))
            if call == "Release":
                yield Move("Release is done, the profile is free", after._replace(held=False))
            elif s.held:
                yield Move("Acquire has a place and waits", after._replace(waiting=s.waiting + 1))
            else:
                yield Move("Acquire is granted", after._replace(held=True, released=False))
        if not s.held and s.waiting:
            granted = s._replace(held=True, waiting=s.waiting - 1, released=False)
            yield Move("a waiting Acquire is granted", granted)

    def wrong_at_rest(self, s: World) -> str:
        return "Release is never picked up" if "Release" in s.arrived else ""
