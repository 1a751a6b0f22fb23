"""The search for an order of calls, on histories made by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tests.chaos.call import OK, REFUSED, UNCLEAR, Call
from tests.chaos.model import Told
from tests.chaos.search import entries, search, shortest

TOKENS = {("a", "1"): 10, ("b", "2"): 20, ("c", "3"): 30}
PLACES = {("b", "2"): 12, ("c", "3"): 14}


def call(
    op: str, start: float, end: float, told: str = OK, answer: dict[str, Any] | None = None, **args: Any
) -> Call:
    outcome = told if told in (OK, UNCLEAR) else REFUSED
    return Call(
        client="x",
        op=op,
        profile="" if op in ("ends", "bump") else "p",
        args=args,
        start=start,
        end=end if outcome != UNCLEAR else math.inf,
        outcome=outcome,
        reason=told if outcome == REFUSED else "",
        answer=answer or {},
    )


def acquire(who: str, start: float, end: float, told: str = OK, waits: float = 0) -> Call:
    worker, request = who[0], who[1]
    answer = {"token": TOKENS[worker, request]} if told == OK else {}
    return call("acquire", start, end, told, answer, worker=worker, request=request, waits=waits)


def release(token: int, start: float, end: float, state: str = "AVAILABLE", told: str = OK) -> Call:
    answer = {"state": state, "already": False} if told == OK else {}
    return call("release", start, end, told, answer, token=token, result="SUCCEEDED")


def told(*calls: Call) -> Told:
    """As the store would have it."""
    acquires = [(c, (c.args["worker"], c.args["request"])) for c in calls if c.op == "acquire"]
    return Told(
        tokens={who: TOKENS[who] for c, who in acquires if c.ok},
        places={who: PLACES[who] for c, who in acquires if c.args["waits"]},
        ends={c.args["worker"]: 11 for c in calls if c.op == "ends"},
    )


def linear(*calls: Call) -> bool | None:
    return search(entries(calls, "p", told(*calls)), told(*calls)).linear


def test_one_after_the_other_has_an_order() -> None:
    assert linear(acquire("a1", 0, 1), release(10, 2, 3), acquire("b2", 4, 5))


def test_two_holders_at_once_have_none() -> None:
    assert linear(acquire("a1", 0, 1), acquire("b2", 2, 3)) is False


def test_a_second_grant_that_overlaps_the_release_has_an_order() -> None:
    assert linear(acquire("a1", 0, 1), release(10, 2, 5), acquire("b2", 3, 4))


def test_a_token_below_an_earlier_one_has_none() -> None:
    assert linear(acquire("b2", 0, 1), release(20, 2, 3), acquire("a1", 4, 5)) is False


def test_the_queue_is_served_in_its_order() -> None:
    first, second = acquire("b2", 2, 9, waits=5), acquire("c3", 4, 12, waits=5)
    assert linear(acquire("a1", 0, 1), first, second, release(10, 6, 7, "HELD"), release(20, 10, 11, "HELD"))


def test_who_came_later_and_was_granted_first_has_none() -> None:
    # b was refused for the queue before it: c was in it by then, and gets it.
    calls = (
        acquire("a1", 0, 1),
        acquire("c3", 2, 9, waits=5),
        acquire("b2", 3, 4, "PROFILE_BUSY"),
        release(10, 5, 6, "AVAILABLE"),
        acquire("b2", 7, 8),
    )
    assert linear(*calls) is False


def test_a_release_with_an_unclear_outcome_may_have_happened() -> None:
    assert linear(acquire("a1", 0, 1), release(10, 2, 3, told=UNCLEAR), acquire("b2", 4, 5))


def test_it_may_also_never_have_happened() -> None:
    verify = call("verify", 4, 5, token=10)
    assert linear(acquire("a1", 0, 1), release(10, 2, 3, told=UNCLEAR), verify)


def test_it_stays_open_for_ever() -> None:
    verify = call("verify", 4, 5, token=10)
    later = acquire("b2", 100, 101)
    assert linear(acquire("a1", 0, 1), release(10, 2, 3, told=UNCLEAR), verify, later)


def test_but_not_back_and_forth() -> None:
    unclear = release(10, 2, 3, told=UNCLEAR)
    verify = call("verify", 6, 7, token=10)
    assert linear(acquire("a1", 0, 1), unclear, acquire("b2", 4, 5), verify) is False


@pytest.mark.parametrize("op", ["verify", "step", "checkpoint"])
def test_nothing_is_accepted_after_suspicion(op: str) -> None:
    suspect = call("suspect", 2, 3, answer={"suspected": True}, token=10, cause="BROWSER_LOST")
    assert linear(acquire("a1", 0, 1), suspect, call(op, 2, 4, token=10))
    assert linear(acquire("a1", 0, 1), suspect, call(op, 4, 5, token=10)) is False


def test_a_hold_is_not_lost_while_its_lease_lives() -> None:
    lost = call("verify", 2, 3, "TOKEN_SUPERSEDED", token=10)
    ends = call("ends", 20, math.inf, UNCLEAR, worker="a")
    assert linear(acquire("a1", 0, 1), lost, ends) is False


def test_it_may_be_lost_once_its_lease_may_have_ended() -> None:
    lost = call("verify", 12, 13, "TOKEN_SUPERSEDED", token=10)
    ends = call("ends", 10, math.inf, UNCLEAR, worker="a")
    assert linear(acquire("a1", 0, 1), lost, ends)


def test_a_raised_epoch_ends_every_hold() -> None:
    lost = call("verify", 4, 5, "TOKEN_SUPERSEDED", token=10)
    assert linear(acquire("a1", 0, 1), call("bump", 2, 3), lost)
    assert linear(acquire("a1", 0, 1), call("bump", 6, 7), lost) is False


def test_an_incident_goes_its_way_once() -> None:
    def step(op: str, start: float, state: str, **more: Any) -> Call:
        return call(op, start, start + 1, answer={"state": state}, token=10, **more)

    calls = [
        acquire("a1", 0, 1),
        call("suspect", 2, 3, answer={"suspected": True}, token=10, cause="BROWSER_LOST"),
        step("quarantine", 4, "QUARANTINED"),
        step("inspect", 6, "INSPECTED"),
        step("decide", 8, "RETRY", outcome="RETRY"),
        acquire("b2", 10, 11),
    ]
    assert linear(*calls)
    assert linear(*calls, step("decide", 12, "AVAILABLE", outcome="AVAILABLE")) is False


def test_the_shortest_impossible_beginning_is_named() -> None:
    calls = (acquire("a1", 0, 1), acquire("b2", 2, 3), release(20, 4, 5), acquire("c3", 6, 7))
    last, verdict = shortest(entries(calls, "p", told(*calls)), told(*calls))
    assert (last.op, last.args["worker"]) == ("acquire", "b")
    assert verdict.model is not None
    assert verdict.model.holder is not None
    assert verdict.model.holder.worker == "a"


def test_a_request_that_is_over_may_have_been_granted_and_lost_before_its_caller_heard() -> None:
    calls = [
        acquire("a1", 0, 9, "REQUEST_ENDED", waits=0),
        acquire("b2", 1, 2, "PROFILE_BUSY"),
        call("suspect", 3, 4, answer={"suspected": True}, token=10, cause="BROWSER_LOST"),
        acquire("b2", 5, 6, "PROFILE_QUARANTINED"),
    ]
    store = Told(tokens={("a", "1"): 10})
    assert search(entries(calls, "p", store), store).linear
    assert search(entries(calls[1:], "p", store), store).linear is False


def test_a_search_that_takes_too_long_is_given_up_and_says_so() -> None:
    calls = (acquire("a1", 0, 1), acquire("b2", 2, 3))
    assert search(entries(calls, "p", told(*calls)), told(*calls), budget=0).linear is None
