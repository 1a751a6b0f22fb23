"""The fence, pure: rules 13 to 16 and the traces 8, 9 and 10 of the protocol."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from browserhost import fence as fences
from browserhost.fence import VERIFY_EVERY_S, Answer, Fence, Step
from tenure.fencing import SERVE_S

T = 41


def test_a_token_below_the_floor_is_rejected_and_not_asked_about() -> None:
    assert fences.check(Fence(T + 1), T, now=0) is Answer.SUPERSEDED


def test_a_token_above_the_floor_must_be_verified() -> None:
    assert fences.check(Fence(T - 1, sent_at=0), T, now=0) is Answer.VERIFY


def test_a_floor_without_a_proof_must_be_verified() -> None:
    assert fences.check(Fence(T), T, now=0) is Answer.VERIFY


@pytest.mark.parametrize(
    ("age", "answer"), [(0.0, Answer.SERVE), (SERVE_S - 0.001, Answer.SERVE), (SERVE_S, Answer.VERIFY)]
)
def test_a_proof_lasts_from_when_it_was_asked_for(age: float, answer: Answer) -> None:
    assert fences.check(Fence(T, sent_at=100.0), T, now=100.0 + age) is answer


def test_a_proof_counts_from_the_sending_not_from_the_answer() -> None:
    """Trace 9: an answer that was long on its way leaves that much less."""
    step = fences.proven(Fence(), T, sent_at=100.0)
    assert step is not None
    assert fences.check(step.fence, T, now=100.0 + SERVE_S) is Answer.VERIFY


def test_a_verified_token_raises_the_floor_on_disk_and_cuts_everything_lower() -> None:
    assert fences.proven(Fence(T - 5, sent_at=1.0), T, 2.0) == Step(Fence(T, 2.0), persist=True, cut=T - 1)


def test_a_verify_answer_that_a_close_overtook_is_refused() -> None:
    """Trace 10: the floor is checked again when the answer comes."""
    closed = fences.ended(Fence(T, sent_at=1.0), T).fence
    assert fences.proven(closed, T, sent_at=1.0) is None


def test_a_later_proof_of_the_same_token_writes_and_cuts_nothing() -> None:
    assert fences.proven(Fence(T, 1.0), T, 2.0) == Step(Fence(T, 2.0), persist=False, cut=0)


def test_an_overtaken_answer_does_not_shorten_a_newer_proof() -> None:
    assert fences.proven(Fence(T, 9.0), T, 2.0) == Step(Fence(T, 9.0), persist=False, cut=0)


def test_closing_raises_the_floor_above_the_token_and_cuts_it() -> None:
    """Trace 8: what was released is not served until its deadline."""
    step = fences.ended(Fence(T, sent_at=1.0), T)
    assert step == Step(Fence(T + 1), persist=True, cut=T)
    assert fences.check(step.fence, T, now=1.0) is Answer.SUPERSEDED


def test_the_floor_that_a_close_leaves_is_no_proof_of_a_token_of_that_number() -> None:
    assert fences.check(fences.ended(Fence(T, sent_at=1.0), T).fence, T + 1, now=1.0) is Answer.VERIFY


def test_a_late_close_never_touches_a_later_hold() -> None:
    """Trace 10: neither the floor nor what is served above the token."""
    later = Fence(T + 7, sent_at=5.0)
    assert fences.ended(later, T) == Step(later, persist=False, cut=T)


def test_a_token_that_is_not_current_any_more_is_cut_though_its_proof_is_fresh() -> None:
    step = fences.disproven(Fence(T, sent_at=1.0), T)
    assert step == Step(Fence(T), persist=False, cut=T)
    assert fences.check(step.fence, T, now=1.0) is Answer.VERIFY


@pytest.mark.parametrize("other", [T - 1, T + 1])
def test_the_verdict_on_another_token_changes_nothing(other: int) -> None:
    served = Fence(T, sent_at=1.0)
    assert fences.disproven(served, other) == Step(served, persist=False, cut=0)


def test_what_is_served_is_verified_again_well_before_its_proof_ends() -> None:
    served = Fence(T, sent_at=0.0)
    assert not fences.verify_due(served, VERIFY_EVERY_S - 0.001)
    assert fences.verify_due(served, VERIFY_EVERY_S)
    assert not fences.expired(served, SERVE_S - 0.001)
    assert fences.expired(served, SERVE_S)
    assert VERIFY_EVERY_S * 3 <= SERVE_S


def test_nothing_is_due_where_nothing_was_proven() -> None:
    assert not fences.verify_due(Fence(T), 1e9)
    assert not fences.expired(Fence(T), 1e9)


class HostAndLockService(RuleBasedStateMachine):
    """A host that crashes, answers that come late or never, closes that come twice.

    `truth` is the token that the lock service takes for current, 0 for none; `freed_at` is when each
    token stopped being so. A release waits for the host's acknowledgement, a decision for a whole D.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.fence = Fence()
        self.disk = 0
        self.truth = 0
        self.granted = 0
        self.answers: list[tuple[int, float, bool]] = []
        self.over: set[int] = set()
        self.decided: dict[int, float] = {}
        self.highest_served = 0

    def adopt(self, step: Step | None) -> None:
        if step is not None:
            if step.persist:
                assert step.fence.floor > self.disk
                self.disk = step.fence.floor
            assert step.fence.floor == self.disk
            self.fence = step.fence

    @rule(gap=st.integers(1, 3))
    def grant(self, gap: int) -> None:
        if not self.truth:
            self.granted += gap
            self.truth = self.granted

    @rule(seconds=st.floats(0.1, 4.0))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(back=st.integers(0, 3))
    def ask(self, back: int) -> None:
        token = max(1, self.granted - back)
        if fences.check(self.fence, token, self.now) is not Answer.SUPERSEDED:
            self.answers.append((token, self.now, token == self.truth))

    @rule(pick=st.integers(0, 9))
    def an_answer_arrives(self, pick: int) -> None:
        if self.answers:
            token, sent_at, current = self.answers.pop(pick % len(self.answers))
            if current:
                self.adopt(fences.proven(self.fence, token, sent_at))
            else:
                self.adopt(fences.disproven(self.fence, token))

    @rule(back=st.integers(0, 3))
    def close_and_release(self, back: int) -> None:
        token = self.granted - back
        if token > 0 and (token == self.truth or token < self.fence.floor):
            self.adopt(fences.ended(self.fence, token))
            self.over.add(token)
            if token == self.truth:
                self.truth = 0

    @rule()
    def the_lease_ends_and_a_decision_waits_its_time(self) -> None:
        if self.truth:
            self.decided[self.truth] = self.now + SERVE_S
            self.over_later = self.truth
            self.truth = 0
            self.now += SERVE_S

    @rule()
    def the_host_is_killed_and_comes_back(self) -> None:
        self.fence = Fence(self.disk)
        self.answers.clear()

    @invariant()
    def only_the_current_token_is_served_and_never_one_that_is_over(self) -> None:
        served = [t for t in range(1, self.granted + 3) if self.serves(t)]
        assert len(served) <= 1
        for token in served:
            assert token not in self.over
            assert self.now < self.decided.get(token, self.now + 1)
            assert token >= self.highest_served
            self.highest_served = token

    def serves(self, token: int) -> bool:
        return fences.check(self.fence, token, self.now) is Answer.SERVE


TestHostAndLockService = HostAndLockService.TestCase
