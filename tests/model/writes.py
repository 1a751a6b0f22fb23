"""What owners and hosts put on record: steps in order, evidence in time. And a Release without an answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tests.model.explore import Model, Move

HELD, SUSPECTED, DECIDED, FREE = "HELD", "SUSPECTED_STALE", "decided", "AVAILABLE"
STEPS = ("", "fill in the form", "checkout")


class Written(NamedTuple):
    state: str = HELD
    told: int = 0
    """The highest step that the owner was told is on record."""
    record: tuple[int, ...] = ()
    """Steps in the order in which they were written."""
    flying: tuple[int, ...] = ()
    evidence: bool = False
    """The host's evidence is on record; `host_sends`: it is on its way."""
    host_sends: bool = False
    decided_with: bool = False
    unclear: int = 1


class Writes(Model[Written]):
    """Rule 9. The owner begins step 2 only after it was told that step 1 is on record."""

    NAME = "writes"

    def start(self) -> Written:
        return Written(unclear=2 if self.large else 1)

    def moves(self, s: Written) -> Iterator[Move[Written]]:
        step = s.told + 1
        if step < len(STEPS) and step not in s.flying:
            sends = s._replace(flying=tuple(sorted((*s.flying, step))))
            yield Move(f"the owner declares step {step}, '{STEPS[step]}'", sends, must=False)
        for step in dict.fromkeys(s.flying):
            yield from self.step_arrives(s, step)
        if s.state == HELD:
            yield Move("the hold is suspected", s._replace(state=SUSPECTED, host_sends=True), must=False)
        if s.state == SUSPECTED:
            decided = s._replace(state=DECIDED, decided_with=s.evidence)
            yield Move(
                f"recovery decides, {'with' if s.evidence else 'without'} the host's evidence", decided, False
            )
        if s.host_sends:
            arrived = s._replace(host_sends=False)
            if s.state == DECIDED and self.keeps("rule9-no-evidence-after-the-decision"):
                yield Move("the host's evidence comes too late and is not taken", arrived)
            else:
                on_record = arrived._replace(evidence=True)
                wrong = "evidence that nobody decided on" if s.state == DECIDED else ""
                yield Move("the host's evidence is put on record", on_record, wrong=wrong)

    def step_arrives(self, s: Written, step: int) -> Iterator[Move[Written]]:
        flying = list(s.flying)
        flying.remove(step)
        rest = s._replace(flying=tuple(flying))
        taken = s.state == HELD or not self.keeps("rule9-compares-token")
        if step in s.record and self.keeps("rule9-each-step-once"):
            taken = False
        wrong = "accepted after suspicion" if taken and s.state != HELD else ""
        done = rest._replace(record=(*s.record, step)) if taken else rest
        told = step in done.record and s.state == HELD
        heard = done._replace(told=max(s.told, step)) if told else done
        story = f"step {step} {'is put on record' if taken else 'is refused'}"
        yield Move(f"{story}, and the owner hears of it", heard, wrong=wrong)
        if s.unclear:
            again = done._replace(flying=s.flying, unclear=s.unclear - 1)
            yield Move(f"{story}; the owner hears nothing and sends it again", again, False, wrong)
            late = s._replace(flying=tuple(sorted((*s.flying, step))), unclear=s.unclear - 1)
            yield Move(f"step {step} is late, the owner sends it again", late, must=False)

    def wrong(self, s: Written) -> str:
        """Recovery goes by the current step."""
        if not s.record:
            return ""
        # Each step has its key, or there is one for the step that goes on: then who wrote last has it.
        current = max(s.record) if self.keeps("rule9-each-step-once") else s.record[-1]
        return "a late step hides the checkout" if current < s.told else ""


class Lookup(NamedTuple):
    state: str = HELD
    incident: bool = False
    flying: bool = False
    """The owner's Release is on its way to etcd."""
    released: bool = False
    owner: str = "holds"


class Release(Model[Lookup]):
    """Rule 7: the reply of a Release was lost, what has become of the hold?"""

    NAME = "release"

    def start(self) -> Lookup:
        return Lookup()

    def moves(self, s: Lookup) -> Iterator[Move[Lookup]]:
        if s.owner == "holds":
            yield Move("the owner sends Release", s._replace(owner="asks", flying=True), must=False)
        if s.flying:
            if s.state == HELD:
                yield Move(
                    "the Release is done, its reply is lost",
                    s._replace(state=FREE, released=True, flying=False),
                )
            else:
                yield Move("the Release fails its compares, its reply is lost", s._replace(flying=False))
        if s.state == HELD:
            yield Move(
                "the hold is suspected: an incident", s._replace(state=SUSPECTED, incident=True), must=False
            )
        if s.state == SUSPECTED:
            yield Move("recovery frees the profile", s._replace(state=FREE))
        if s.owner == "asks" and s.state != HELD:
            told = "lost" if s.incident and self.keeps("rule7-the-incident-tells") else "released"
            if s.flying and not self.keeps("rule1-asks-in-order"):
                told = "lost"
            wrong = (
                ""
                if (told == "released") == (s.released and not s.incident)
                else f"told '{told}', which it was not"
            )
            yield Move(f"p moved on: the owner is told '{told}'", s._replace(owner="told"), wrong=wrong)
        if s.owner == "asks" and s.flying and s.state == HELD and not self.keeps("rule1-asks-in-order"):
            yield Move(
                "a read that is not ordered shows nothing: the owner is told 'not done'",
                s._replace(owner="told not done"),
            )

    def wrong(self, s: Lookup) -> str:
        return "told 'not done', and then it was" if s.owner == "told not done" and s.released else ""
