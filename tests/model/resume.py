"""RESUME_PENDING: a profile that is kept for one workflow, while others wait for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tests.model.explore import Model, Move

PENDING, HELD, FREE, REVIEW = "RESUME_PENDING", "HELD", "AVAILABLE", "MANUAL_REVIEW"
WORKFLOW, OTHER = "the workflow", "another"


class World(NamedTuple):
    state: str = PENDING
    holder: str = ""
    queue: tuple[str, ...] = ()
    resumed_by: str = ""
    asked: tuple[str, ...] = ()
    in_time: bool = True
    granting: str = ""
    """For whom a Txn is on its way that was decided while the workflow was in time."""
    comes: bool = True


class Resume(Model[World]):
    """Rule 5, for a workflow that comes in time, late, or never, with its proxy or another."""

    NAME = "resume"

    def start(self) -> World:
        return World()

    def moves(self, s: World) -> Iterator[Move[World]]:
        for who in (WORKFLOW, OTHER):
            if who not in s.asked and (who == OTHER or s.comes):
                yield from self.asks(s, who)
        if s.granting:
            late = s.state != PENDING
            if late and self.keeps("rule5-claim-compares-record"):
                yield Move(f"the claim of {s.granting} fails its compares", s._replace(granting=""))
            else:
                wrong = "resumed after it was given to a person" if late else ""
                if s.granting == OTHER:
                    wrong = "handed to another workflow"
                yield Move(
                    f"{s.granting} resumes: HELD", _held(s, s.granting)._replace(granting=""), wrong=wrong
                )
        if s.comes and WORKFLOW not in s.asked:
            yield Move("the workflow never comes again", s._replace(comes=False), must=False)
        if s.in_time and s.state == PENDING:
            yield Move("the time to come back is over", s._replace(in_time=False), must=not s.comes)
        if s.state == PENDING and not s.in_time and self.keeps("rule5-unclaimed-is-a-persons"):
            yield Move("nobody came: MANUAL_REVIEW", s._replace(state=REVIEW))
        if s.state == REVIEW:
            yield Move("a person frees the profile", s._replace(state=FREE))
        if s.state == HELD:
            yield Move(f"{s.holder} is done and releases", _passed_on(s._replace(state=FREE, holder="")))
        if s.state == FREE and s.queue:
            yield Move(f"a replica grants to the head, {s.queue[0]}", _passed_on(s))

    def asks(self, s: World, who: str) -> Iterator[Move[World]]:
        """An Acquire: the workflow's ignores the queue, everybody else's joins it."""
        asked = s._replace(asked=(*s.asked, who))
        its = who == WORKFLOW or not self.keeps("rule5-its-workflow-alone")
        overtakes = its and s.state == PENDING and s.in_time
        if overtakes and (self.keeps("rule5-ignores-the-queue") or not s.queue):
            yield Move(
                f"{who} sends Acquire: its claim is on its way", asked._replace(granting=who), must=False
            )
        elif s.state == FREE and not s.queue:
            yield Move(f"{who} sends Acquire and is granted", _held(asked, who), must=False)
        else:
            joined = asked._replace(queue=(*s.queue, who))
            yield Move(f"{who} sends Acquire and joins the queue", joined, must=False)

    def wrong_at_rest(self, s: World) -> str:
        if s.state == PENDING and not s.in_time:
            return "kept for ever for a workflow that does not come"
        if s.state == PENDING and WORKFLOW in s.queue:
            return "the workflow waits behind others, and they for it"
        return ""


def _held(s: World, who: str) -> World:
    return s._replace(state=HELD, holder=who)


def _passed_on(s: World) -> World:
    return _held(s, s.queue[0])._replace(queue=s.queue[1:]) if s.queue else s
