"""One incident: two recovery replicas, a frozen host, evidence, one decision, and a person."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tests.model.explore import Model, Move, ranked

SUSPECTED, QUARANTINED, INSPECTED = "SUSPECTED_STALE", "QUARANTINED", "INSPECTED"
REVIEW, RESUME, FREE, DISABLED = "MANUAL_REVIEW", "RESUME_PENDING", "AVAILABLE", "DISABLED"


class Txn(NamedTuple):
    """On its way to etcd: what it does, the revision of p that it compares, and what it brings."""

    kind: str
    revision: int
    to: str = ""
    certain: bool = False
    evidence: int = 0
    number: int = 0


class World(NamedTuple):
    state: str = SUSPECTED
    revision: int = 1
    certain: bool = False
    """The host's acknowledgement came before QUARANTINED, and its evidence was there to be had."""
    evidence: int = 0
    """Which replica's evidence is on record; 0 for none."""
    decided_on: int = 0
    late_acknowledgement: bool = False
    verdicts: tuple[int, ...] = ()
    """The numbers of the verdicts on record."""
    flying: tuple[Txn, ...] = ()
    frozen: bool = True
    """The host froze with a command of the old worker between check and dispatch."""
    destroyed: bool = False
    """A person has seen to it that the old machine never comes back."""
    read: int = 0
    """The revision that the person on call has read."""
    doubles: int = 1


class Incident(Model[World]):
    """Rules 21 to 25. The wait of rule 22 is over in it, when recovery says that it is."""

    NAME = "incident"

    def start(self) -> World:
        return World(doubles=3 if self.large else 1)

    def canonical(self, s: World) -> World:
        rank = ranked([s.revision, s.read, *(txn.revision for txn in s.flying)])
        flying = (txn._replace(revision=rank[txn.revision]) for txn in s.flying)
        return s._replace(revision=rank[s.revision], read=rank[s.read], flying=tuple(sorted(flying)))

    def moves(self, s: World) -> Iterator[Move[World]]:
        for replica in (1, 2):
            yield from self.replica_goes_on(s, replica)
        yield from self.host_moves(s)
        yield from self.person_moves(s)
        for txn in dict.fromkeys(s.flying):
            yield from self.txn_arrives(s, txn)
        if s.state == RESUME:
            back = s._replace(state=REVIEW, revision=s.revision + 1)
            yield Move("the workflow does not come in time: MANUAL_REVIEW", back)
            claimed = s._replace(state=FREE, revision=s.revision + 1)
            yield Move("the workflow comes, finishes its work and releases", claimed, must=False)

    # --- who sends Txns ------------------------------------------------------------------

    def replica_goes_on(self, s: World, replica: int) -> Iterator[Move[World]]:
        """Every step is a Txn that may run twice or late (rule 21)."""
        name = f"recovery replica {replica}"
        if s.state == SUSPECTED:
            story = f"{name} records QUARANTINED"
            # The host answers only when it is awake, and has dropped what it had checked.
            if not s.frozen and not s.destroyed:
                yield from self._send(s, f"{story}, acknowledged", Txn("cut off", s.revision, certain=True))
            yield from self._send(s, f"{story}, having waited", Txn("cut off", s.revision))
        elif s.state == QUARANTINED:
            if self.keeps("rule23-evidence-with-inspected"):
                txn = Txn("inspected", s.revision, evidence=replica)
                yield from self._send(s, f"{name} records INSPECTED with evidence {replica}", txn)
            else:
                txn = Txn("evidence", 0, evidence=replica)
                yield from self._send(s, f"{name} records evidence {replica}", txn)
                if s.evidence == replica:
                    txn = Txn("inspected", s.revision)
                    yield from self._send(s, f"{name} records INSPECTED", txn)
        elif s.state == INSPECTED:
            for to in (REVIEW, FREE):
                txn = Txn("decided", s.revision, to, evidence=s.evidence)
                if to == REVIEW or s.certain or not self.keeps("rule23-uncertain-is-a-persons"):
                    yield from self._send(s, f"{name} decides {to} on evidence {s.evidence}", txn)

    def host_moves(self, s: World) -> Iterator[Move[World]]:
        if s.destroyed:
            return
        if s.frozen:
            wrong = "a frozen host wakes after the profile was freed" if s.state in (FREE, RESUME) else ""
            awake = s._replace(frozen=False)
            yield Move("the frozen host wakes and dispatches the old command", awake, False, wrong)
        may_say = not s.frozen or not self.keeps("rule16-acknowledges-after-the-drain")
        waits_for_it = s.state in (QUARANTINED, INSPECTED, REVIEW) and not s.certain
        if may_say and waits_for_it and not s.late_acknowledgement:
            txn = Txn("acknowledged late", s.revision)
            yield from self._send(s, "the host acknowledges the cut, late", txn)

    def person_moves(self, s: World) -> Iterator[Move[World]]:
        """Rule 25: what was read, and no freedom for what may still be driven."""
        if s.state != REVIEW:
            return
        if s.read != s.revision:
            yield Move("the person on call reads what there is now", s._replace(read=s.revision))
        if not s.destroyed and not s.certain:
            gone = s._replace(destroyed=True, frozen=False)
            yield Move("the person destroys the old machine", gone, must=s.frozen)
        proven = s.certain or s.late_acknowledgement or s.destroyed
        if s.read and (proven or not self.keeps("rule25-acknowledged-or-attested")):
            yield from self._verdicts(s)

    def _verdicts(self, s: World) -> Iterator[Move[World]]:
        number = max(s.verdicts, default=0) + 1 if self.keeps("rule25-verdicts-are-numbered") else 1
        if number in s.verdicts:
            return
        choices = [FREE, DISABLED] if len(s.verdicts) > (1 if self.large else 0) else [FREE, RESUME]
        for to in choices:
            txn = Txn("verdict", s.read, to, number=number)
            yield from self._send(
                s, f"the person says {to}, verdict {number}", txn, must=s.read == s.revision
            )

    def _send(self, s: World, story: str, txn: Txn, *, must: bool = True) -> Iterator[Move[World]]:
        if txn not in s.flying and len(s.flying) < (3 if self.large else 2):
            yield Move(story, s._replace(flying=(*s.flying, txn)), must)

    # --- etcd ----------------------------------------------------------------------------

    def txn_arrives(self, s: World, txn: Txn) -> Iterator[Move[World]]:
        index = s.flying.index(txn)
        rest = s._replace(flying=s.flying[:index] + s.flying[index + 1 :])
        after, wrong = self.apply(rest, txn)
        said = f"the Txn '{txn.kind}{f' {txn.to}' if txn.to else ''}'"
        story = f"{said} is done" if after != rest else f"{said} fails its compares"
        yield Move(story, after, wrong=wrong)
        if s.doubles:
            again = after._replace(flying=(*after.flying, txn), doubles=s.doubles - 1)
            yield Move(f"{story}; a copy of it is still on its way", again, False, wrong)

    def apply(self, s: World, txn: Txn) -> tuple[World, str]:
        """The world after etcd has judged a Txn, the same one when its compares failed; and what it broke."""
        as_read = s.revision == txn.revision
        after = s._replace(revision=s.revision + 1)
        match txn.kind:
            case "cut off":
                if as_read or (not self.keeps("rule22-compares-record") and s.state != SUSPECTED):
                    wrong = "" if s.state == SUSPECTED else "an incident goes back"
                    return after._replace(state=QUARANTINED, certain=txn.certain), wrong
            case "evidence":
                late = s.decided_on not in (0, txn.evidence)
                wrong = "decided on evidence that is not on record" if late else ""
                return s._replace(evidence=txn.evidence), wrong
            case "inspected" if as_read:
                return after._replace(state=INSPECTED, evidence=txn.evidence or s.evidence), ""
            case "decided":
                return self._decided(s, after, txn)
            case "acknowledged late" if as_read and not s.late_acknowledgement:
                return s._replace(late_acknowledgement=True), ""
            case "verdict":
                return self._judged(s, after, txn)
        return s, ""

    def _decided(self, s: World, after: World, txn: Txn) -> tuple[World, str]:
        as_read = s.revision == txn.revision
        if not as_read and (self.keeps("rule24-compares-inspected") or s.state == INSPECTED):
            return s, ""
        wrong = "decided twice" if s.decided_on else ""
        if txn.evidence != s.evidence:
            wrong = wrong or "decided on evidence that is not on record"
        return after._replace(state=txn.to, decided_on=txn.evidence), wrong

    def _judged(self, s: World, after: World, txn: Txn) -> tuple[World, str]:
        as_read = s.revision == txn.revision
        may = as_read or not self.keeps("rule25-compares-record")
        if not may or s.state != REVIEW or txn.number in s.verdicts:
            return s, ""
        after = after._replace(state=txn.to, verdicts=(*s.verdicts, txn.number))
        return after, "" if as_read else "a verdict on what nobody had read"

    def wrong_at_rest(self, s: World) -> str:
        return "" if s.state in (FREE, DISABLED) else f"{s.state} for ever"
