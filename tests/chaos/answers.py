"""How the specification takes each call: the worlds after it that its answer allows. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from tests.chaos.call import OK, UNCLEAR, Call
from tests.chaos.model import Ask, Model, Told, same

_BUSY = {
    "PROFILE_QUARANTINED": ("SUSPECTED_STALE", "QUARANTINED", "INSPECTED"),
    "PROFILE_IN_REVIEW": ("MANUAL_REVIEW",),
    "PROFILE_DISABLED": ("DISABLED",),
    "RESUME_PENDING": ("RESUME_PENDING",),
}


def asked(call: Call) -> Ask:
    return Ask(call.args["worker"], call.args["request"], call.args.get("workflow", ""))


def join(model: Model, call: Call, told: Told) -> Iterator[Model]:
    """The place that an Acquire that waits takes, at some time, or never."""
    ask = asked(call)
    if model.lives(ask) and ask.request > model.used_by(ask.worker) and model.state != "DISABLED":
        yield from model.joined(ask, told)


def acquire(model: Model, call: Call, told: Told) -> Iterator[Model]:
    ask = asked(call)
    mine = model.state == "HELD" and same(model.holder, ask)
    placed = any(same(each, ask) for each in model.queue)
    used = model.used_by(ask.worker)
    if call.outcome in (OK, UNCLEAR):
        if call.outcome == OK and mine and model.token == call.answer["token"]:
            yield model
        yield from _grant(model, ask, told, placed, used)
        if call.outcome == UNCLEAR and placed:
            yield model.without(ask)
        return
    allowed = {
        "PROFILE_BUSY": not model.free or bool(model.queue),
        "WAIT_EXPIRED": placed,
        "REQUEST_ENDED": ask.request < used or (ask.request == used and not mine),
        "LEASE_EXPIRED": not model.lives(ask),
    }
    if allowed.get(call.reason, model.state in _BUSY.get(call.reason, (model.state,))):
        # One that waited leaves the queue, also when nobody is granted what is out of use.
        yield model if ask.request < used else model.without(ask)


def _grant(model: Model, ask: Ask, told: Told, placed: bool, used: str) -> Iterator[Model]:
    fresh = ask.request > used or placed
    if model.free and fresh and (not model.queue or same(model.queue[0], ask)):
        yield from model.granted(ask, told)
    resumes = model.state == "RESUME_PENDING" and model.holder and model.holder.workflow == ask.workflow
    if resumes and fresh:
        yield from model.granted(ask, told)


def release(model: Model, call: Call, told: Told) -> Iterator[Model]:
    token, review = call.args["token"], call.args["result"] == "NEEDS_REVIEW"
    if call.outcome != OK or call.answer["already"]:
        if call.reason == "LEASE_EXPIRED":
            if model.holds(token) and not model.holds_well(token):
                yield model
            return
        if not model.holds(token) or call.outcome == UNCLEAR or model.old:
            yield model
        if call.outcome == OK or call.outcome == UNCLEAR or call.reason == "TOKEN_SUPERSEDED":
            # The answer to a second copy of it: the first one may have done it.
            yield from _end(model, token, review, told)
        return
    for after in _end(model, token, review, told):
        if after.state == call.answer["state"]:
            yield after


def _end(model: Model, token: int, review: bool, told: Told) -> Iterator[Model]:
    if review and model.holds(token) and not model.old:
        yield model.suspected()
    elif not review and model.holds_well(token):
        yield from model.passed_on(told)


def cancel(model: Model, call: Call, told: Told) -> Iterator[Model]:
    ask = asked(call)
    mine = model.state == "HELD" and same(model.holder, ask)
    placed = any(same(each, ask) for each in model.queue)
    used = ask.request <= model.used_by(ask.worker)
    if call.reason == "LEASE_EXPIRED":
        if not model.lives(ask):
            yield model
        return
    outcome = call.answer.get("outcome", "") if call.outcome == OK else ""
    # Told that it was over, it may have been this call's first copy that ended it.
    ended = outcome in ("", "ALREADY_ENDED")
    if call.outcome != OK or (outcome == "ALREADY_ENDED" and used and not mine and not placed):
        yield model
    if placed and (ended or outcome == "LEFT_QUEUE"):
        yield model.without(ask)
    if not used and model.lives(ask) and (ended or outcome == "BURNT"):
        yield model.using(ask)
    if mine and model.holder and model.lives(model.holder) and (ended or outcome == "RELEASED"):
        yield from model.passed_on(told)


def act(model: Model, call: Call, told: Told) -> Iterator[Model]:
    """Verify, and what an owner writes: nothing of it is in the model."""
    token = call.args["token"]
    if call.outcome == OK:
        allowed = model.holds_well(token)
    elif call.reason == "TOKEN_SUPERSEDED":
        allowed = not model.holds(token) or model.old
    elif call.reason == "LEASE_EXPIRED":
        allowed = model.holds(token) and not model.holds_well(token)
    else:
        allowed = True
    if allowed:
        yield model


def suspect(model: Model, call: Call, told: Told) -> Iterator[Model]:
    """SuspectHold and RevokeHold."""
    token = call.args["token"]
    spared = call.outcome == OK and not call.answer.get("suspected", True)
    if not model.holds(token) or call.outcome == UNCLEAR or spared:
        yield model
    if model.holds(token) and call.outcome in (OK, UNCLEAR) and not spared:
        yield model.suspected()


def _step(model: Model, call: Call, before: str, after: str) -> Iterator[Model]:
    moved = model
    if model.state == before and model.incident == call.args["token"]:
        moved = replace(model, state=after)
    if call.outcome != OK:
        yield model
        if call.outcome == UNCLEAR and moved is not model:
            yield moved
    elif moved.state == call.answer["state"]:
        yield moved


def quarantine(model: Model, call: Call, told: Told) -> Iterator[Model]:
    yield from _step(model, call, "SUSPECTED_STALE", "QUARANTINED")


def inspect(model: Model, call: Call, told: Told) -> Iterator[Model]:
    yield from _step(model, call, "QUARANTINED", "INSPECTED")


def decide(model: Model, call: Call, told: Told) -> Iterator[Model]:
    at_work = model.state == "INSPECTED" and model.incident == call.args["token"]
    if call.outcome != OK or (not at_work and model.state == call.answer["state"]):
        yield model
    if at_work and call.outcome in (OK, UNCLEAR):
        after = model.decided(call.args["outcome"])
        if call.outcome == UNCLEAR or after.state == call.answer["state"]:
            yield after


def verdict(model: Model, call: Call, told: Told) -> Iterator[Model]:
    mine = model.incident == call.args["token"]
    at_work = mine and model.state == "MANUAL_REVIEW"
    # Repeated, it may be over, or the workflow may be waited for.
    if call.outcome != OK or not mine or model.state == "RESUME_PENDING":
        yield model
    if at_work and call.outcome in (OK, UNCLEAR):
        yield model.decided(call.args["outcome"])


def switch(model: Model, call: Call, told: Told) -> Iterator[Model]:
    """An administrator's."""
    wanted = call.args["wanted"]
    if call.outcome != OK or model.state == wanted:
        yield model
    if call.outcome in (OK, UNCLEAR) and {model.state, wanted} == {"AVAILABLE", "DISABLED"}:
        yield replace(model, state=wanted)


def ends(model: Model, call: Call, told: Told) -> Iterator[Model]:
    """A worker's lease ends, and takes its places with it."""
    worker = call.args["worker"]
    at = told.ends.get(worker, 0)
    if told.is_next(at, model.at):
        queue = tuple(each for each in model.queue if each.worker != worker)
        yield replace(model, gone=model.gone | {worker}, queue=queue, at=at)


def bump(model: Model, call: Call, told: Told) -> Iterator[Model]:
    """The epoch was raised."""
    yield replace(model, old=model.old or model.state == "HELD")


TAKES: dict[str, Callable[[Model, Call, Told], Iterator[Model]]] = {
    "acquire": acquire,
    "join": join,
    "release": release,
    "cancel": cancel,
    "verify": act,
    "step": act,
    "finish": act,
    "checkpoint": act,
    "suspect": suspect,
    "revoke": suspect,
    "quarantine": quarantine,
    "inspect": inspect,
    "decide": decide,
    "verdict": verdict,
    "switch": switch,
    "ends": ends,
    "bump": bump,
}
