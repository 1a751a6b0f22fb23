"""A whole run against everything that is promised. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from lockservice.core.record import State
from tests.chaos.agreement import disagreements
from tests.chaos.audit import audit
from tests.chaos.call import REFUSED, UNCLEAR, Call
from tests.chaos.ledger import Ledger
from tests.chaos.search import entries, search, shortest
from tests.chaos.story import tell
from tests.chaos.violation import Violation
from tests.fixtures.history import Written


@dataclass(slots=True)
class Findings:
    """What a run was, and what was wrong with it. `given_up`: profiles whose search took too long."""

    violations: list[Violation] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    operations: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    moves: Counter[tuple[str, str]] = field(default_factory=Counter)
    explored: int = 0
    given_up: list[str] = field(default_factory=list)
    grants: int = 0
    revisions: int = 0


def check(
    history: Sequence[Written],
    calls: Sequence[Call],
    *,
    quiet: bool = False,
    settled: bool = False,
    early: bool = False,
    budget: int = 30_000,
) -> Findings:
    """Audit the store's history, compare the answers with it, and search an order of each profile's calls.

    `quiet`: nothing was done to store, network or replicas. `settled`: everybody was given time to end what
    they began. `early`: leases may have ended before their time (an etcd 3.4 whose leader was frozen).
    """
    ledger = audit(history)
    findings = Findings(
        moves=ledger.moves,
        outcomes=Counter(call.outcome for call in calls),
        operations=Counter(call.op for call in calls),
        reasons=Counter(call.reason for call in calls if call.outcome != "ok" and call.reason),
        grants=len(ledger.grants),
        revisions=ledger.revisions,
    )
    found = ledger.violations + disagreements(calls, ledger, quiet=quiet)
    if settled:
        found += unfinished(calls, ledger)
    findings.violations = [replace(each, trace=tell(each, history, calls)) for each in found]
    if not found:
        # What is wrong already has its story; the search would tell it again, at length.
        order(findings, [*calls, *leases(calls, early=early)], ledger, budget)
    return findings


def order(findings: Findings, calls: Sequence[Call], ledger: Ledger, budget: int) -> None:
    """Search each profile."""
    for name in sorted({call.profile for call in calls if call.profile}):
        workers = {
            str(call.args["worker"]) for call in calls if call.profile == name and "worker" in call.args
        }
        told = ledger.told(name, workers | {worker for profile, worker, _ in ledger.asked if profile == name})
        history = entries(calls, name, told)
        verdict = search(history, told, budget=budget)
        findings.explored += verdict.explored
        if verdict.linear is None:
            findings.given_up.append(name)
        if verdict.linear is False:
            last, verdict = shortest(history, told, budget=budget)
            before = [call for call in history if call.end < last.end and call.op not in ("ends", "join")]
            lines = [call.line() for call in before[-10:]]
            lines += [f"then in state {verdict.model}, none of these can be:"]
            lines += [f"  {call.line()}" for call in verdict.stuck if not math.isinf(call.end)]
            text = f"no order of the calls explains {last.line()}"
            findings.violations.append(Violation("linearizable", name, text, trace=lines))


def leases(calls: Sequence[Call], *, early: bool) -> list[Call]:
    """From when on each worker's lease may have ended: its time to live after its last renewal was sent."""
    ends: dict[str, float] = {}
    ttls: dict[str, float] = {}
    ended: dict[str, float] = {}
    for call in calls:
        if call.op == "register" and call.ok:
            worker, ttls[call.answer["worker"]] = call.answer["worker"], call.answer["ttl"]
            ends[worker] = call.start if early else call.start + call.answer["ttl"]
        if call.op == "renew" and call.ok and not early:
            worker = call.args["worker"]
            ends[worker] = max(ends.get(worker, 0.0), call.start + ttls.get(worker, 0.0))
        if call.op == "end_worker":
            ended[call.args["worker"]] = min(call.start, ended.get(call.args["worker"], math.inf))
    return [
        Call("etcd", "ends", "", {"worker": worker}, start=min(at, ended.get(worker, at)), outcome=UNCLEAR)
        for worker, at in ends.items()
    ]


def unfinished(calls: Sequence[Call], ledger: Ledger) -> list[Violation]:
    """Every live waiter ends granted, cancelled or expired."""
    found = []
    for name, places in ledger.places.items():
        state = ledger.states.get(name)
        for place in places:
            if state not in (State.DISABLED, State.MANUAL_REVIEW):
                word = state.value if state else "absent"
                text = f"…{place.request[-6:]} still waits; the profile is {word}"
                found.append(Violation("every waiter ends", name, text, place.create))
    for call in calls:
        if call.op == "acquire" and call.outcome == REFUSED and call.reason == "WAIT_EXPIRED":
            late = call.end - call.start - float(call.args["waits"])
            if late > 30:
                text = f"its wait ended {late:.0f} s late: {call.line()}"
                found.append(Violation("every waiter ends", call.profile, text))
    return found
