"""What to tell the person on call: why a profile is as it is, what happens by itself, what can be done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from lockservice.core import advice
from lockservice.core.advice import Advice
from lockservice.core.facts import Facts
from lockservice.core.record import State
from tenure.fencing import SERVE_S

# How long recovery's steps take at most while recovery and etcd are well, in seconds. Cutting off waits for
# a host that does not answer until it must have cut itself off; looking gives such a host a few seconds.
CUT_OFF_S = SERVE_S * 1.02 + 1.5
LOOK_S = 10.0
DECIDE_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """The answer in words. `next_ms` is 0 when nobody can say when."""

    next: str
    next_ms: int = 0
    cause: str = ""
    advice: tuple[Advice, ...] = ()


def explain(facts: Facts, now_ms: int) -> Explanation:
    """Explain a profile."""
    return _BY_STATE[facts.record.state](facts, now_ms)


def _available(facts: Facts, now_ms: int) -> Explanation:
    if facts.queue:
        run = facts.queue[0].ask.run_id
        return Explanation(next=f"Run {run}, the first in the queue, has it within a second.")
    return Explanation(
        next="Nothing: it is free, and whoever opens it next has it at once.",
        advice=(advice.open_now(facts),),
    )


def _retry(facts: Facts, now_ms: int) -> Explanation:
    free = _available(facts, now_ms)
    failed = facts.record.failed_attempts
    return Explanation(
        next=f"{free.next} Its task starts over then, as attempt {failed + 1}.",
        cause="Its last run died on the way, the profile is sound, and the task may start over.",
        advice=free.advice,
    )


def _disabled(facts: Facts, now_ms: int) -> Explanation:
    return Explanation(
        next="Nothing: it was taken out of use, and every open is refused.",
        cause=facts.history(),
        advice=(advice.enable(facts),),
    )


def _held(facts: Facts, now_ms: int) -> Explanation:
    over = ""
    if facts.alive is False:
        over = "The lease of its worker has ended"
    elif now_ms >= facts.holding.deadline_ms:
        over = "The run has taken longer than it may"
    if over:
        return Explanation(
            next=f"{over}: the hold becomes suspect within a second, and recovery begins.",
            next_ms=now_ms,
            advice=(advice.hosts(),),
        )
    after = "it is free"
    if facts.queue:
        after = f"run {facts.queue[0].ask.run_id} has it, the first in the queue"
    lease = "" if facts.lease_s is None else f", {facts.lease_s:.0f} s from now at the earliest"
    return Explanation(
        next=(
            f"When its worker releases it, {after}. Should its worker renew its lease no more, that "
            f"ends{lease}; and the run has a deadline. Either makes the hold suspect, and recovery begins: "
            "it frees nothing."
        ),
        next_ms=facts.holding.deadline_ms,
        advice=(advice.wait(facts), advice.release(facts), advice.revoke(facts)),
    )


def _suspected(facts: Facts, now_ms: int) -> Explanation:
    text = (
        "Recovery has the host cut the old worker off, at once; or, where no host answers, waits until "
        "it must have cut itself off. The state is QUARANTINED then."
    )
    return _recovering(facts, now_ms, text, CUT_OFF_S)


def _quarantined(facts: Facts, now_ms: int) -> Explanation:
    text = (
        "Recovery looks at the profile without touching it and gathers the evidence; a host that does "
        "not answer is given a few seconds. The state is INSPECTED then."
    )
    return _recovering(facts, now_ms, text, LOOK_S)


def _inspected(facts: Facts, now_ms: int) -> Explanation:
    text = "Recovery decides on the evidence: AVAILABLE, RESUME_PENDING, RETRY or MANUAL_REVIEW."
    return _recovering(facts, now_ms, text, DECIDE_S)


def _recovering(facts: Facts, now_ms: int, text: str, within_s: float) -> Explanation:
    due_ms = facts.record.since_ms + int(within_s * 1000)
    what: tuple[Advice, ...] = (advice.look(facts), advice.wait(facts))
    if now_ms > due_ms:
        text = f"{text} That is overdue: see whether recovery, and the profile's host, run."
        what = (advice.hosts(), *what)
    return Explanation(next=text, next_ms=due_ms, cause=facts.history(), advice=what)


def _resume_pending(facts: Facts, now_ms: int) -> Explanation:
    holding = facts.holding
    who = f"workflow {holding.workflow_id}"
    if holding.proxy_key:
        who += f", through proxy {holding.proxy_key}"
    text = (
        f"It waits for {who}, to go on from its checkpoint. When that does not come in time, a person has "
        "to decide: MANUAL_REVIEW."
    )
    if now_ms >= facts.record.resume_until_ms:
        text = f"It waited in vain for {who}: a person has to decide, MANUAL_REVIEW, within a second."
    return Explanation(
        next=text,
        next_ms=facts.record.resume_until_ms,
        cause=facts.history(),
        advice=(advice.resume(facts), advice.look(facts)),
    )


def _review(facts: Facts, now_ms: int) -> Explanation:
    waiting = f" {len(facts.queue)} in its queue go on waiting." if facts.queue else ""
    return Explanation(
        next=f"Nothing by itself: a reviewer must decide what becomes of it.{waiting}",
        cause=facts.history(),
        advice=(advice.look(facts), advice.resolve(facts)),
    )


_BY_STATE: Mapping[State, Callable[[Facts, int], Explanation]] = MappingProxyType(
    {
        State.AVAILABLE: _available,
        State.HELD: _held,
        State.SUSPECTED_STALE: _suspected,
        State.QUARANTINED: _quarantined,
        State.INSPECTED: _inspected,
        State.RESUME_PENDING: _resume_pending,
        State.RETRY: _retry,
        State.MANUAL_REVIEW: _review,
        State.DISABLED: _disabled,
    }
)
