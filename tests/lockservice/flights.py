"""One profile and the Txns on their way to it: late, doubled, or at once; and what none of them may do."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from lockservice.core import grant, release, verdict
from lockservice.core.acquire import Queued
from lockservice.core.decision import Decision, Write
from lockservice.core.document import decode
from lockservice.core.hold import Hold
from lockservice.core.record import FREE, Record, State
from lockservice.core.snapshot import Sight, Snapshot
from lockservice.core.states import ALLOWED
from lockservice.core.stored import Verdict
from tenure import token as tokens
from tenure.names import IncidentName
from tests.lockservice.worlds import KEYS, NOW, PROFILE, World, sent

WORKERS = ("a", "b", "c")
HOSTS = ("h1", "h2")
NOTHING: Write[object] = Write((), (), lambda _: None)
# What is written once and never changed: evidence, incidents, decisions, verdicts, moves.
ON_RECORD = tuple(f"/t/{kind}/".encode() for kind in "deivm")
_DECISIONS = b"/t/d/"
_INCIDENTS = b"/t/i/"


class Flight(NamedTuple):
    """A Txn on its way. `ends`: the token whose hold it may end; `moves`: it may change the home."""

    write: Write[object]
    ends: int = 0
    moves: bool = False


# Steps that could do nothing are none: hypothesis makes only so many.
once_granted = precondition(lambda self: self.tokens)
once_suspected = precondition(lambda self: self.suspected())


class Flights(RuleBasedStateMachine):
    """Each step either looks and decides, which leaves a Txn in flight, or lets a Txn in flight reach etcd,
    perhaps much later and perhaps twice; nothing else makes the world go round, as in reality.
    """

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.lives = dict.fromkeys(WORKERS, 0)
        self.flying: list[Flight] = []
        self.cancelled: set[tuple[str, str]] = set()
        self.granted: list[tuple[str, str]] = []
        self.tokens: list[int] = []
        self.decided: list[bytes] = []

    @initialize()
    def begin(self) -> None:
        for worker in WORKERS:
            self.world.register(self.alive(worker))
        for host in HOSTS:
            self.world.put(KEYS.host(host), b"a host")

    def alive(self, worker: str) -> str:
        """The worker's id. After its lease ended it has another: none is used again (rule 11)."""
        return f"{worker}{self.lives[worker]}"

    def look(
        self,
        decide: Callable[[Snapshot], Decision[object]],
        *,
        ends: int = 0,
        moves: bool = False,
        **sight: str | int,
    ) -> None:
        """A replica reads and decides; its Txn is now on the way."""
        seen = Sight(keys=KEYS, profile=PROFILE, **sight)  # type: ignore[arg-type]
        self.take(decide(self.world.see(seen)), ends, moves=moves)

    def take(self, decision: Decision[object], ends: int = 0, *, moves: bool = False) -> None:
        if isinstance(decision, Write):
            self.flying.append(Flight(decision, ends, moves))
            if len(self.flying) % 2:
                # Mostly Txns are not late at all.
                self.arrives(len(self.flying) - 1, keep=len(self.flying) % 4 == 1)

    def recent(self, which: int) -> int:
        """One of the last tokens; 0 while there is none."""
        return self.tokens[-1 - which % len(self.tokens)] if self.tokens else 0

    def suspected(self) -> bool:
        """Whether there ever was an incident that is not forgotten."""
        return any(key.startswith(_INCIDENTS) for key in self.world.kvs)

    def incident(self, which: int) -> IncidentName | None:
        """One of the last tokens, as the incident that it may be."""
        return IncidentName(PROFILE, self.recent(which)) if self.tokens else None

    @precondition(lambda self: self.flying)
    @rule(which=st.lists(st.integers(0, 20), min_size=1, max_size=5), keep=st.booleans())
    def txns_reach_etcd(self, which: list[int], keep: bool) -> None:
        """`keep`: copies of them are still on the way."""
        for each in which:
            if self.flying:
                self.arrives(each % len(self.flying), keep)

    def arrives(self, index: int, keep: bool) -> None:
        flight = self.flying[index] if keep else self.flying.pop(index)
        before, seen = self.world.record(), self.world.see(Sight(keys=KEYS, profile=PROFILE))
        if not self.world.apply(flight.write):
            return
        after = self.world.record()
        if before != after and after is not None:
            self._changed(before, after, flight, seen)
        keys = [op.request_put.key for op in sent(flight.write).success if op.HasField("request_put")]
        self.decided += [key for key in keys if key.startswith(_DECISIONS)]
        self._written(keys, before, seen)
        answer = flight.write.then(self.world.revision)
        if isinstance(answer, Hold):
            assert answer.token == self.tokens[-1]
        if isinstance(answer, Queued):
            assert answer.place.create == self.world.revision
            assert seen.head is not None or not grant.is_free(before), "joined what is free: a lost waiter"

    def _changed(self, before: Record | None, after: Record, flight: Flight, seen: Snapshot) -> None:
        """The record was written, with another content."""
        same_place = before is None or before.home in ("", after.home)
        assert same_place or (flight.moves and before is not None and before.state in FREE), "home was lost"
        if not flight.moves:
            assert after.state in ALLOWED[before.state if before else None], "no such transition"
        if before is not None:
            assert after.used or not before.used, "forgot that it was used"
            assert before.state is not State.HELD or flight.ends == self.tokens[-1], "ended another hold"
        if before is not None and before.incident and after.state in FREE:
            certain = before.acknowledged and not before.evidence_missing
            assert before.state is State.MANUAL_REVIEW or certain, "freed by recovery, though not certain"
        if after.state is State.HELD:
            self._granted(before, after, seen)
        elif before is not None and before.state is State.HELD and after.state in FREE:
            assert seen.head is None, "released to nobody, though somebody waited"

    def _granted(self, before: Record | None, after: Record, seen: Snapshot) -> None:
        assert after.holding is not None
        assert after.epoch == seen.epoch.number, "granted in an epoch that is over"
        asked = (after.holding.worker, after.holding.request_id)
        assert KEYS.worker(asked[0]) in self.world.kvs, "granted to the dead"
        assert asked not in self.cancelled, "granted though it was given up"
        resumes = before is not None and before.state is State.RESUME_PENDING
        head = seen.head
        assert resumes or head is None or (head.ask.worker, head.request_id) == asked, "overtook"
        self.granted.append(asked)
        self.tokens.append(tokens.pack(after.epoch, self.world.revision))

    def _written(self, keys: list[bytes], before: Record | None, seen: Snapshot) -> None:
        """What an owner writes is accepted of the owner alone."""
        for key in keys:
            kind, *rest = KEYS.split(key)
            if kind == "e" and rest[3].isdigit():
                assert seen.holds(int(rest[2])), "a step of one that does not hold"
                assert before is not None
                assert before.holding is not None
                assert KEYS.worker(before.holding.worker) in self.world.kvs, "a step of the dead"

    # --- what holds at any time ----------------------------------------------------------

    @invariant()
    def no_request_is_granted_twice(self) -> None:
        assert len(self.granted) == len(set(self.granted))

    @invariant()
    def tokens_rise(self) -> None:
        assert self.tokens == sorted(set(self.tokens))

    @invariant()
    def an_incident_is_decided_once(self) -> None:
        assert len(self.decided) == len(set(self.decided))

    @invariant()
    def no_release_is_told_for_what_an_incident_took(self) -> None:
        for token in self.tokens:
            if KEYS.incident(PROFILE, token) not in self.world.kvs:
                continue
            snapshot = self.world.see(Sight(keys=KEYS, profile=PROFILE, token=token))
            told = release.decide(KEYS, PROFILE, snapshot, release.Ending(token=token), NOW)
            assert not isinstance(getattr(told, "value", None), release.Released)

    @invariant()
    def a_free_profile_with_a_queue_can_be_granted_to_its_head(self) -> None:
        snapshot = self.world.see(Sight(keys=KEYS, profile=PROFILE))
        if grant.is_free(snapshot.record) and snapshot.head is not None:
            assert isinstance(grant.decide(KEYS, PROFILE, snapshot, NOW), Write)

    @invariant()
    def an_incident_at_work_is_on_record(self) -> None:
        record = self.world.record()
        if record is not None and record.incident:
            assert KEYS.incident(PROFILE, record.incident) in self.world.kvs

    @invariant()
    def what_is_on_record_never_changes(self) -> None:
        for key, kv in self.world.kvs.items():
            if key.startswith(ON_RECORD):
                assert kv.create_revision == kv.mod_revision, key

    @invariant()
    def nothing_unacknowledged_is_freed_without_proof(self) -> None:
        for token in self.tokens:
            name = IncidentName(PROFILE, token)
            last, acknowledged = self.world.see(verdict.sight(KEYS, name)).extra
            cut = self.world.kvs.get(KEYS.quarantined(PROFILE, token))
            if last and cut is not None and b'"acknowledged":true' not in cut.value:
                assert acknowledged or decode(Verdict, last[0].value).attested
