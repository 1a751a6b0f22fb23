"""Who acts on the profile of `flights`: workers, operators, hosts; recovery, reviewers, and who forgets."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import rule

from lockservice.core import (
    acquire,
    cancel,
    decided,
    evidence,
    grant,
    inspected,
    keeping,
    move,
    quarantine,
    release,
    revoke,
    steps,
    suspect,
    unclaimed,
    usage,
    verdict,
)
from lockservice.core.caps import Caps, Room
from lockservice.core.document import encode
from lockservice.core.outcome import Choice, Outcome
from lockservice.core.record import State
from lockservice.core.snapshot import Sight
from lockservice.core.stored import Ask, Epoch, Step
from tests.lockservice.flights import HOSTS, WORKERS, Flights, once_granted, once_suspected
from tests.lockservice.worlds import KEYS, NOW, PROFILE, written

RESUME_MS = 1000
CROWDED = Room(Caps(1, 1, 1), holds=1, waiters=1, waiters_here=1)
workers = st.sampled_from(WORKERS)
requests = st.integers(1, 3)
recent = st.integers(0, 2)


def number(n: int) -> str:
    return f"{n:032x}"


class Owners(Flights):
    """Three workers of three requests each, an operator, and hosts that may be gone."""

    @rule(worker=workers, n=requests, waits=st.booleans(), crowded=st.booleans(), homed=st.booleans())
    def acquires(self, worker: str, n: int, waits: bool, crowded: bool = False, homed: bool = False) -> None:
        ask = Ask(
            request_id=number(n),
            worker=self.alive(worker),
            run_id=worker,
            as_sent="alice",
            max_runtime_ms=1000,
            workflow_id="" if worker == "c" else "w",
            home_hint=HOSTS[n % 2] if homed else "",
        )
        room = CROWDED if crowded else Room()
        self.look(
            lambda s: acquire.decide(
                KEYS, PROFILE, s, ask, tenant="default", waits=waits, lease_keys=1, now_ms=NOW, room=room
            ),
            worker=self.alive(worker),
            request_id=number(n),
        )

    @once_granted
    @rule(worker=workers, n=requests)
    def cancels(self, worker: str, n: int) -> None:
        worker = self.alive(worker)
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

    @once_granted
    @rule(worker=workers, n=requests)
    def a_wait_runs_out(self, worker: str, n: int) -> None:
        worker = self.alive(worker)
        self.look(
            lambda s: cancel.decide_wait_end(KEYS, PROFILE, s, worker=worker, request_id=number(n)),
            worker=worker,
            request_id=number(n),
        )

    @once_granted
    @rule()
    def somebody_grants_to_the_head(self) -> None:
        self.look(lambda s: grant.decide(KEYS, PROFILE, s, NOW))

    @once_granted
    @rule(
        which=st.integers(0, 5),
        result=st.sampled_from(release.Result),
        drained=st.booleans(),
        used=st.booleans(),
    )
    def releases(self, which: int, result: release.Result, drained: bool = True, used: bool = False) -> None:
        if token := self.recent(which):
            ending = release.Ending(token=token, result=result, drained=drained, used=used)
            self.look(lambda s: release.decide(KEYS, PROFILE, s, ending, NOW), ends=token, token=token)

    @once_granted
    @rule(which=recent, seq=st.integers(0, 2))
    def starts_a_step(self, which: int, seq: int) -> None:
        if token := self.recent(which):
            record = self.world.record()
            holder = (
                record.holding.worker
                if record is not None and record.holding is not None
                else self.alive("a")
            )
            sight = Sight(
                keys=KEYS, profile=PROFILE, worker=holder, extra=steps.sight(KEYS, PROFILE, token, seq)
            )
            step = Step(name="read", start_ms=NOW)
            seen = self.world.see(sight)
            self.take(steps.start(KEYS, PROFILE, seen, token=token, seq=seq, step=step))

    @once_granted
    @rule(
        which=recent,
        cause=st.sampled_from([suspect.LEASE_ENDED, suspect.RESTORED, "MAX_RUNTIME"]),
    )
    def suspects(self, which: int, cause: str) -> None:
        if token := self.recent(which):
            self.look(
                lambda s: suspect.decide(KEYS, PROFILE, s, token=token, cause=cause, detail="", now_ms=NOW),
                ends=token,
                token=token,
            )

    @once_granted
    @rule(which=recent)
    def revokes(self, which: int) -> None:
        if token := self.recent(which):
            self.look(
                lambda s: revoke.decide(KEYS, PROFILE, s, token=token, detail="", now_ms=NOW),
                ends=token,
                token=token,
            )

    @once_granted
    @rule(wanted=st.sampled_from(sorted(usage.SWITCHED, key=str)))
    def an_administrator_switches_it(self, wanted: State) -> None:
        self.look(lambda s: usage.decide(KEYS, PROFILE, s, revision=s.mod, wanted=wanted, now_ms=NOW))

    @once_granted
    @rule(to=st.sampled_from(HOSTS), attested=st.booleans())
    def moves(self, to: str, attested: bool) -> None:
        seen = self.world.see(Sight(keys=KEYS, profile=PROFILE))
        wanted = move.Wanted(revision=seen.mod, to=to, reason="why", by="me", digest="d", attested=attested)
        home = seen.record.home if seen.record is not None else ""
        shown = self.world.see(move.sight(KEYS, PROFILE, wanted, home))
        self.take(move.decide(KEYS, PROFILE, shown, wanted, NOW), moves=True)

    @once_granted
    @rule(worker=workers)
    def lease_ends(self, worker: str) -> None:
        self.world.expire(self.alive(worker))
        self.lives[worker] += 1
        self.world.register(self.alive(worker))

    @once_granted
    @rule(host=st.sampled_from(HOSTS))
    def a_host_is_gone(self, host: str) -> None:
        self.world.kvs.pop(KEYS.host(host), None)

    @once_granted
    @rule()
    def the_epoch_is_raised(self) -> None:
        epoch = self.world.see(Sight(keys=KEYS, profile=PROFILE)).epoch
        if epoch.number < 2:
            self.world.put(KEYS.epoch, encode(Epoch(number=epoch.number + 1, cluster="c")))


class Recovery(Flights):
    """What becomes of incidents, by recovery, by a person, and in the end by time."""

    @once_suspected
    @rule(which=recent, acknowledged=st.booleans())
    def quarantines(self, which: int, acknowledged: bool) -> None:
        if (name := self.incident(which)) is not None:
            seen = self.world.see(quarantine.sight(KEYS, name))
            self.take(quarantine.decide(KEYS, name, seen, acknowledged=acknowledged, now_ms=NOW))

    @once_suspected
    @rule(which=recent, item=st.integers(0, 1), text=st.binary(min_size=1, max_size=1))
    def adds_evidence(self, which: int, item: int, text: bytes) -> None:
        if (name := self.incident(which)) is not None:
            self.take(written(evidence.add(KEYS, name, [(str(item), text)])))

    @once_suspected
    @rule(which=recent, missing=st.booleans(), text=st.binary(min_size=1, max_size=1))
    def inspects(self, which: int, missing: bool, text: bytes) -> None:
        if (name := self.incident(which)) is not None:
            found = inspected.Finding(evidence=text, missing=missing, used=True, touched=missing)
            seen = self.world.see(inspected.sight(KEYS, name))
            self.take(inspected.decide(KEYS, name, seen, finding=found, now_ms=NOW))

    @once_suspected
    @rule(which=recent, outcome=st.sampled_from(sorted(decided.CHOICES, key=str)))
    def decides(self, which: int, outcome: Outcome) -> None:
        if (name := self.incident(which)) is not None:
            seen = self.world.see(decided.sight(KEYS, name))
            choice = Choice(outcome=outcome, reason="why", resume_for_ms=RESUME_MS)
            self.take(decided.decide(KEYS, name, seen, revision=seen.mod, choice=choice, now_ms=NOW))

    @once_suspected
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

    @once_suspected
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

    @once_granted
    @rule(ahead=st.booleans())
    def nobody_resumes(self, ahead: bool) -> None:
        self.look(lambda s: unclaimed.decide(KEYS, PROFILE, s, NOW + 2 * RESUME_MS * ahead))

    @once_suspected
    @rule(which=recent)
    def an_old_incident_is_forgotten(self, which: int) -> None:
        if (name := self.incident(which)) is not None:
            seen = self.world.see(keeping.incident_sight(KEYS, name))
            self.take(keeping.forget_incident(KEYS, name, seen, keep_ms=1, now_ms=NOW + 1))

    @once_granted
    @rule(which=recent)
    def old_steps_are_forgotten(self, which: int) -> None:
        if (name := self.incident(which)) is not None:
            seen = self.world.see(keeping.steps_sight(KEYS, name))
            self.take(keeping.forget_steps(KEYS, name, seen, keep_ms=1, now_ms=NOW + 1))
