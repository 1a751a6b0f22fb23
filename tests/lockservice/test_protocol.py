"""The decisions under every order of events that hypothesis finds: late Txns, retries, expiry, several
replicas.

Each step either looks and decides, which leaves a Txn in flight, or lets a Txn in flight reach etcd, perhaps
much later and perhaps twice; nothing else makes the world go round, as in reality.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
)

from lockservice.core import (
    acquire,
    cancel,
    decided,
    evidence,
    grant,
    inspected,
    quarantine,
    release,
    suspect,
    unclaimed,
    verdict,
)
from lockservice.core.acquire import Queued
from lockservice.core.decision import Decision, Write
from lockservice.core.document import decode
from lockservice.core.hold import Hold
from lockservice.core.outcome import Choice, Outcome
from lockservice.core.record import FREE, State
from lockservice.core.snapshot import Sight, Snapshot
from lockservice.core.stored import Ask, Verdict
from tenure.names import IncidentName
from tests.lockservice.worlds import KEYS, NOW, PROFILE, World

WORKERS = ("a", "b", "c")
NOTHING: Write[object] = Write((), (), lambda _: None)
RESUME_MS = 1000
# What is written once and never changed: evidence, incidents, decisions, verdicts.
ON_RECORD = tuple(f"/t/{kind}/".encode() for kind in "deiv")
workers = st.sampled_from(WORKERS)
requests = st.integers(1, 3)
recent = st.integers(0, 2)


def number(n: int) -> str:
    return f"{n:032x}"


class Protocol(RuleBasedStateMachine):
    """One profile, three workers of three requests each."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.flying: list[tuple[Write[object], int]] = []
        self.cancelled: set[tuple[str, str]] = set()
        self.granted: list[tuple[str, str]] = []
        self.tokens: list[int] = []

    @initialize()
    def begin(self) -> None:
        for worker in WORKERS:
            self.world.register(worker)

    def look(
        self, decide: Callable[[Snapshot], Decision[object]], *, ends: int = 0, **sight: str | int
    ) -> None:
        """A replica reads and decides; its Txn is now on the way. `ends`: the token whose hold it may end."""
        seen = Sight(keys=KEYS, profile=PROFILE, **sight)  # type: ignore[arg-type]
        self.take(decide(self.world.see(seen)), ends)

    def take(self, decision: Decision[object], ends: int = 0) -> None:
        if isinstance(decision, Write):
            self.flying.append((decision, ends))
            if len(self.flying) % 2:
                # Mostly Txns are not late at all.
                self.arrives(len(self.flying) - 1, keep=len(self.flying) % 4 == 1)

    def incident(self, which: int) -> IncidentName | None:
        """One of the last tokens, as the incident that it may be."""
        return IncidentName(PROFILE, self.tokens[-1 - which % len(self.tokens)]) if self.tokens else None

    @rule(worker=workers, n=requests, waits=st.booleans())
    def acquires(self, worker: str, n: int, waits: bool) -> None:
        ask = Ask(
            request_id=number(n),
            worker=worker,
            run_id=worker,
            as_sent="alice",
            max_runtime_ms=1000,
            workflow_id="" if worker == "c" else "w",
        )
        self.look(
            lambda s: acquire.decide(
                KEYS, PROFILE, s, ask, tenant="default", waits=waits, lease_keys=1, now_ms=NOW
            ),
            worker=worker,
            request_id=number(n),
        )

    @rule(worker=workers, n=requests)
    def cancels(self, worker: str, n: int) -> None:
        record = self.world.record()
        held = record.holding if record is not None and record.state is State.HELD else None
        mine = held is not None and (held.worker, held.request_id) == (worker, number(n))
        self.look(
            lambda s: cancel.decide(
                KEYS, PROFILE, s, worker=worker, tenant="default", request_id=number(n), now_ms=NOW
            ),
            worker=worker,
            request_id=number(n),
            ends=self.tokens[-1] if mine else 0,
        )

    @rule()
    def somebody_grants_to_the_head(self) -> None:
        self.look(lambda s: grant.decide(KEYS, PROFILE, s, NOW))

    @rule(which=st.integers(0, 5), result=st.sampled_from(release.Result))
    def releases(self, which: int, result: release.Result) -> None:
        if self.tokens:
            token = self.tokens[-1 - which % len(self.tokens)]
            ending = release.Ending(token=token, result=result)
            self.look(lambda s: release.decide(KEYS, PROFILE, s, ending, NOW), ends=token, token=token)

    @rule(which=st.integers(0, 2), cause=st.sampled_from([suspect.LEASE_ENDED, "MAX_RUNTIME"]))
    def suspects(self, which: int, cause: str) -> None:
        if self.tokens:
            token = self.tokens[-1 - which % len(self.tokens)]
            self.look(
                lambda s: suspect.decide(KEYS, PROFILE, s, token=token, cause=cause, detail="", now_ms=NOW),
                ends=token,
                token=token,
            )

    @rule(worker=workers)
    def lease_ends(self, worker: str) -> None:
        self.world.expire(worker)

    @rule(which=recent, acknowledged=st.booleans())
    def quarantines(self, which: int, acknowledged: bool) -> None:
        if (name := self.incident(which)) is not None:
            seen = self.world.see(quarantine.sight(KEYS, name))
            self.take(quarantine.decide(KEYS, name, seen, acknowledged=acknowledged, now_ms=NOW))

    @rule(which=recent, item=st.integers(0, 1), text=st.binary(min_size=1, max_size=1))
    def adds_evidence(self, which: int, item: int, text: bytes) -> None:
        if (name := self.incident(which)) is not None:
            request = evidence.add(KEYS, name, [(str(item), text)])
            self.take(Write(tuple(request.compare), tuple(request.success), lambda _: None))

    @rule(which=recent, missing=st.booleans(), text=st.binary(min_size=1, max_size=1))
    def inspects(self, which: int, missing: bool, text: bytes) -> None:
        if (name := self.incident(which)) is not None:
            found = inspected.Finding(evidence=text, missing=missing, used=True, touched=missing)
            seen = self.world.see(inspected.sight(KEYS, name))
            self.take(inspected.decide(KEYS, name, seen, finding=found, now_ms=NOW))

    @rule(which=recent, outcome=st.sampled_from(sorted(decided.CHOICES, key=str)))
    def decides(self, which: int, outcome: Outcome) -> None:
        if (name := self.incident(which)) is not None:
            seen = self.world.see(decided.sight(KEYS, name))
            choice = Choice(outcome=outcome, reason="why", resume_for_ms=RESUME_MS)
            self.take(decided.decide(KEYS, name, seen, revision=seen.mod, choice=choice, now_ms=NOW))

    @rule(which=recent, outcome=st.sampled_from(sorted(verdict.CHOICES, key=str)), attested=st.booleans())
    def a_person_judges(self, which: int, outcome: Outcome, attested: bool) -> None:
        if (name := self.incident(which)) is not None:
            seen = self.world.see(verdict.sight(KEYS, name))
            choice = Choice(outcome=outcome, reason="why", resume_for_ms=RESUME_MS)
            self.take(
                verdict.decide(
                    KEYS,
                    name,
                    seen,
                    revision=seen.mod,
                    choice=choice,
                    reviewer="me",
                    attested=attested,
                    now_ms=NOW,
                )
            )

    @rule(
        steps=st.integers(1, 4),
        certain=st.booleans(),
        outcome=st.sampled_from([Outcome.MANUAL_REVIEW, Outcome.RESUME_PENDING, Outcome.RETRY]),
    )
    def recovery_goes_on(self, steps: int, certain: bool, outcome: Outcome) -> None:
        """Several steps on the incident at work, so that the late ones above find something to harm."""
        for _ in range(steps):
            record = self.world.record()
            if record is None or record.incident not in self.tokens:
                return
            which = len(self.tokens) - 1 - self.tokens.index(record.incident)
            # An even number in flight makes the next one arrive.
            self.flying = self.flying[len(self.flying) % 2 :]
            match record.state:
                case State.SUSPECTED_STALE:
                    self.quarantines(which, acknowledged=certain)
                case State.QUARANTINED:
                    self.inspects(which, missing=not certain, text=b"x")
                case State.INSPECTED:
                    self.decides(which, outcome)
                case State.MANUAL_REVIEW:
                    chosen = Outcome.AVAILABLE if outcome is Outcome.MANUAL_REVIEW else outcome
                    self.a_person_judges(which, chosen, attested=certain)
                case _:
                    return

    @rule(ahead=st.booleans())
    def nobody_resumes(self, ahead: bool) -> None:
        self.look(lambda s: unclaimed.decide(KEYS, PROFILE, s, NOW + 2 * RESUME_MS * ahead))

    @rule(which=st.integers(0, 20), keep=st.booleans())
    def a_txn_reaches_etcd(self, which: int, keep: bool) -> None:
        """`keep`: a copy of it is still on the way."""
        if not self.flying:
            return
        self.arrives(which % len(self.flying), keep)

    def arrives(self, index: int, keep: bool) -> None:
        write, ends = self.flying[index] if keep else self.flying.pop(index)
        before, head = self.world.record(), self.world.see(Sight(keys=KEYS, profile=PROFILE)).head
        if not self.world.apply(write):
            return
        after = self.world.record()
        if before is not None and after is not None and before != after and before.incident:
            assert not (after.state in FREE and before.state is not State.MANUAL_REVIEW) or (
                before.acknowledged and not before.evidence_missing
            ), "freed by recovery, though it was not certain"
        if before != after and before is not None and before.state is State.HELD:
            assert ends == self.tokens[-1], "a hold was ended by what was not meant for it"
        if before != after and after is not None and after.state is State.HELD:
            assert after.holding is not None
            asked = (after.holding.worker, after.holding.request_id)
            assert KEYS.worker(asked[0]) in self.world.kvs, "granted to the dead"
            assert asked not in self.cancelled, "granted though it was given up"
            resumes = before is not None and before.state is State.RESUME_PENDING
            assert resumes or head is None or (head.ask.worker, head.request_id) == asked, "overtook"
            self.granted.append(asked)
            self.tokens.append(self.world.revision)
        answer = write.then(self.world.revision)
        if isinstance(answer, Hold):
            assert answer.token == self.world.revision
        if isinstance(answer, Queued):
            assert answer.place.create == self.world.revision

    @invariant()
    def no_request_is_granted_twice(self) -> None:
        assert len(self.granted) == len(set(self.granted))

    @invariant()
    def tokens_rise(self) -> None:
        assert self.tokens == sorted(set(self.tokens))

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


TestProtocol = Protocol.TestCase
TestProtocol.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def late(decide: Callable[[Protocol], None], meanwhile: Callable[[Protocol], None]) -> Protocol:
    """What is decided first arrives last. Returns the machine with that one Txn in flight."""
    machine = Protocol()
    machine.begin()
    # An even number in flight leaves the next one there.
    machine.flying = [(NOTHING, 0)]
    decide(machine)
    decided = machine.flying.pop()
    machine.flying.clear()
    meanwhile(machine)
    machine.flying = [decided]
    return machine


def held_by_a(machine: Protocol) -> None:
    machine.flying.clear()
    machine.acquires("a", 1, waits=False)


@pytest.mark.parametrize(
    ("kind", "decide", "meanwhile"),
    [
        # A grant decided on a free profile that somebody else got.
        (b"/p/", lambda m: m.acquires("b", 1, waits=False), held_by_a),
        # A grant to a worker whose lease ended.
        (b"/w/", lambda m: m.acquires("b", 1, waits=False), lambda m: m.lease_ends("b")),
        # A grant of a request that was given up before it arrived.
        (b"/k/", lambda m: m.acquires("b", 1, waits=False), lambda m: m.cancels("b", 1)),
    ],
)
def test_a_late_txn_is_stopped_by_what_it_compares(
    kind: bytes, decide: Callable[[Protocol], None], meanwhile: Callable[[Protocol], None]
) -> None:
    guarded, mutant = late(decide, meanwhile), late(decide, meanwhile)
    ((write, _),) = guarded.flying
    assert not guarded.world.apply(write)
    mutant.world.ignored = (kind,)
    assert mutant.world.apply(write)


@pytest.mark.parametrize("ignored", [(), (b"/q/",)])
def test_a_release_decided_on_an_empty_queue_does_not_overlook_who_joined(ignored: tuple[bytes, ...]) -> None:
    def meanwhile(machine: Protocol) -> None:
        machine.acquires("b", 1, waits=True)

    def decide(machine: Protocol) -> None:
        held_by_a(machine)
        machine.flying = [(NOTHING, 0)]
        machine.releases(0, release.Result.SUCCEEDED)

    machine = late(decide, meanwhile)
    machine.world.ignored = ignored
    ((write, _),) = machine.flying
    assert machine.world.apply(write) is bool(ignored)
