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

from lockservice.core import acquire, cancel, grant, release, suspect
from lockservice.core.acquire import Queued
from lockservice.core.decision import Decision, Write
from lockservice.core.hold import Hold
from lockservice.core.record import State
from lockservice.core.snapshot import Sight, Snapshot
from lockservice.core.stored import Ask
from tests.lockservice.worlds import KEYS, NOW, PROFILE, World

WORKERS = ("a", "b", "c")
NOTHING: Write[object] = Write((), (), lambda _: None)
workers = st.sampled_from(WORKERS)
requests = st.integers(1, 3)


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
        self.lost: set[int] = set()

    @initialize()
    def begin(self) -> None:
        for worker in WORKERS:
            self.world.register(worker)

    def look(
        self, decide: Callable[[Snapshot], Decision[object]], *, ends: int = 0, **sight: str | int
    ) -> None:
        """A replica reads and decides; its Txn is now on the way. `ends`: the token whose hold it may end."""
        seen = Sight(keys=KEYS, profile=PROFILE, **sight)  # type: ignore[arg-type]
        decision = decide(self.world.see(seen))
        if isinstance(decision, Write):
            self.flying.append((decision, ends))
            if len(self.flying) % 2:
                # Mostly Txns are not late at all.
                self.arrives(len(self.flying) - 1, keep=len(self.flying) % 4 == 1)

    @rule(worker=workers, n=requests, waits=st.booleans())
    def acquires(self, worker: str, n: int, waits: bool) -> None:
        ask = Ask(request_id=number(n), worker=worker, run_id=worker, as_sent="alice", max_runtime_ms=1000)
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

    @rule(to=st.sampled_from([State.AVAILABLE, State.RETRY]))
    def recovery_frees(self, to: State) -> None:
        record = self.world.record()
        if record is not None and record.state is State.SUSPECTED_STALE:
            self.lost.add(record.incident)
            self.world.change_record(state=to, holding=None, incident=0)

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
        if before != after and before is not None and before.state is State.HELD:
            assert ends == self.tokens[-1], "a hold was ended by what was not meant for it"
        if before != after and after is not None and after.state is State.HELD:
            assert after.holding is not None
            asked = (after.holding.worker, after.holding.request_id)
            assert KEYS.worker(asked[0]) in self.world.kvs, "granted to the dead"
            assert asked not in self.cancelled, "granted though it was given up"
            assert head is None or (head.ask.worker, head.request_id) == asked, "overtook the queue"
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
        for token in self.lost:
            snapshot = self.world.see(Sight(keys=KEYS, profile=PROFILE, token=token))
            told = release.decide(KEYS, PROFILE, snapshot, release.Ending(token=token), NOW)
            assert not isinstance(getattr(told, "value", None), release.Released)

    @invariant()
    def a_free_profile_with_a_queue_can_be_granted_to_its_head(self) -> None:
        snapshot = self.world.see(Sight(keys=KEYS, profile=PROFILE))
        if grant.is_free(snapshot.record) and snapshot.head is not None:
            assert isinstance(grant.decide(KEYS, PROFILE, snapshot, NOW), Write)


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
