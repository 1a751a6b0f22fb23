"""What callers were told, against what the store's history says. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from lockservice.core.record import State
from tests.chaos.call import OK, REFUSED, Call
from tests.chaos.ledger import Grant, Ledger
from tests.chaos.violation import Violation

# What nobody may hear while the store is there.
_AWAY = frozenset({"STORE_UNAVAILABLE", "OUTCOME_UNKNOWN"})


def disagreements(calls: Sequence[Call], ledger: Ledger, *, quiet: bool) -> list[Violation]:
    """Every answer that the history contradicts. `quiet`: nothing was done to store, network or replicas."""
    found: list[Violation] = []
    for call in calls:
        found += _acquired(call, ledger)
        found += _released(call, ledger)
        found += _given_up(call, ledger)
        if call.reason == "INTERNAL" or (quiet and call.reason in _AWAY):
            text = f"told {call.reason} while nothing was wrong"
            found.append(Violation("answers are true", call.profile, text, token=call.args.get("token", 0)))
    return found + _owners(calls) + _ends(calls, ledger) + _decisions(calls) + _accepted(calls)


def _acquired(call: Call, ledger: Ledger) -> list[Violation]:
    if call.op != "acquire" or call.outcome != OK:
        return []
    grant = ledger.grants.get((call.profile, call.answer["token"]))
    asked = (call.args["worker"], call.args["request"])
    if grant is not None and (grant.worker, grant.request) == asked:
        return []
    text = f"told that it holds token {call.answer['token']}, which the store never granted to it"
    return [Violation("answers are true", call.profile, text, token=call.answer["token"])]


def _released(call: Call, ledger: Ledger) -> list[Violation]:
    """Rule 7: released, if one was told so; not lost to an incident."""
    if call.op != "release" or call.outcome != OK:
        return []
    token = call.args["token"]
    grant = ledger.grants.get((call.profile, token))
    if grant is not None and (grant.released or call.args["result"] == "NEEDS_REVIEW"):
        return []
    ended = grant.ended.value if grant and grant.ended else "never"
    text = f"told that {token} was released; it ended: {ended}"
    return [Violation("answers are true", call.profile, text, token=token)]


def _given_up(call: Call, ledger: Ledger) -> list[Violation]:
    left = call.op == "cancel" and call.answer.get("outcome") in ("LEFT_QUEUE", "BURNT")
    expired = call.op == "acquire" and call.reason == "WAIT_EXPIRED"
    if not left and not expired:
        return []
    grant = ledger.asked.get((call.profile, call.args["worker"], call.args["request"]))
    if grant is None:
        return []
    text = f"told {call.reason or call.answer['outcome']}; token {grant.token} was granted to it"
    return [Violation("who gave up is not granted", call.profile, text, grant.revision, grant.token)]


def _owners(calls: Sequence[Call]) -> list[Violation]:
    """One owner a token."""
    owners: dict[tuple[str, int], tuple[str, str]] = {}
    found = []
    for call in calls:
        if call.op == "acquire" and call.ok:
            asked = (call.args["worker"], call.args["request"])
            token = call.answer["token"]
            first = owners.setdefault((call.profile, token), asked)
            if first != asked:
                text = f"token {token} was told to two requests"
                found.append(Violation("one owner a token", call.profile, text, token=token))
    return found


def _ends(calls: Sequence[Call], ledger: Ledger) -> list[Violation]:
    """No hold is released but by a call that asks for it."""
    released = {
        (call.profile, call.args["token"])
        for call in calls
        if call.op == "release" and call.args["result"] != "NEEDS_REVIEW" and _may_have_acted(call)
    }
    cancelled = {
        (call.profile, call.args["worker"], call.args["request"])
        for call in calls
        if call.op == "cancel" and _may_have_acted(call)
    }
    # Of an Acquire that names a plan the service itself may give the hold back; nobody names one here.
    return [
        Violation("a hold is its owner's", grant.profile, _taken(grant), grant.end_revision, grant.token)
        for grant in ledger.grants.values()
        if grant.released
        and (grant.profile, grant.token) not in released
        and (grant.profile, grant.worker, grant.request) not in cancelled
    ]


def _may_have_acted(call: Call) -> bool:
    """A refusal after a lost reply may be of the second copy: only the first one's refusal is certain."""
    return call.outcome != REFUSED or call.reason in ("TOKEN_SUPERSEDED", "LEASE_EXPIRED", *_AWAY)


def _taken(grant: Grant) -> str:
    to = "handed over" if grant.ended is State.HELD else "freed"
    return f"token {grant.token} was {to} though nobody released it"


def _decisions(calls: Sequence[Call]) -> list[Violation]:
    """One decision an incident."""
    told: dict[tuple[str, int], set[str]] = defaultdict(set)
    for call in calls:
        if call.op == "decide" and call.ok:
            told[call.profile, call.args["token"]].add(call.answer["outcome"])
    return [
        Violation("one decision an incident", name, f"told {' and '.join(sorted(outcomes))}", token=token)
        for (name, token), outcomes in told.items()
        if len(outcomes) > 1
    ]


def _accepted(calls: Sequence[Call]) -> list[Violation]:
    """The fenced resource: what it accepted never goes back in token, and no current hold is fenced out."""
    found = []
    floors: dict[str, int] = {}
    # Its calls are recorded by the resource itself, in the order in which it took them.
    for call in calls:
        if call.op != "accept":
            continue
        token, floor = call.args["token"], floors.get(call.profile, 0)
        if call.ok and token < floor:
            text = f"accepted {token} after {floor}"
            found.append(Violation("accepted writes never go back", call.profile, text, token=token))
        if call.reason == "BELOW_FLOOR_BUT_CURRENT":
            text = f"the current hold {token} is below what was accepted before"
            found.append(Violation("accepted writes never go back", call.profile, text, token=token))
        if call.ok:
            floors[call.profile] = max(floor, token)
    return found
