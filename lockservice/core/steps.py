"""Rule 9, steps: append-only, each number once; the current step is the highest."""

from __future__ import annotations

from dataclasses import dataclass

from lockservice.core.decision import Decision, Refuse, Reply, Write
from lockservice.core.document import decode, encode
from lockservice.core.hold import hold_seen, owner_guards, why_not_owner
from lockservice.core.keys import Keys
from lockservice.core.snapshot import Snapshot
from lockservice.core.stored import Step, StepEnd
from lockservice.etcd.txn import Op, absent, exists, get, last_by_key, put
from tenure.errors import InvalidField, QuotaExceeded, TenureError
from tenure.names import ProfileName

# All of a hold's steps are read at once, and weighed, when it becomes an incident.
MAX_SEQ = 10_000


@dataclass(frozen=True, slots=True)
class Stored:
    """A step with its number; `finish_ms` is 0 while it goes on."""

    seq: int
    step: Step
    finish_ms: int = 0


def sight(keys: Keys, profile: ProfileName, token: int, seq: int) -> tuple[Op, ...]:
    """The reads that `start` and `finish` want as a snapshot's `extra`: the last step, this one, its end."""
    return (
        last_by_key(keys.steps(profile, token)),
        get(keys.step(profile, token, seq)),
        get(keys.step_end(profile, token, seq)),
    )


def start(
    keys: Keys, profile: ProfileName, snapshot: Snapshot, *, token: int, seq: int, step: Step
) -> Decision[Stored]:
    """Begin step `seq`, at most MAX_SEQ, or the next one when it is 0. Idempotent when `seq` is given."""
    if (refusal := why_not_owner(snapshot, profile, token)) is not None:
        return Refuse(refusal)
    hold = hold_seen(profile, snapshot)
    assert hold is not None, "an owner has a hold"
    last, this = _last_seq(keys, snapshot), snapshot.found(1)
    if seq and this is not None:
        found = decode(Step, this.value)
        if (found.name, found.sensitive) == (step.name, step.sensitive):
            return Reply(Stored(seq, found, _finish_ms(snapshot)))
        return Refuse(_wrong_seq(seq, f"is the step {found.name!r} already", last))
    if seq not in (0, last + 1) and snapshot.proven:
        return Refuse(_wrong_seq(seq, f"does not follow step {last}", last))
    number = seq or last + 1
    if number > MAX_SEQ:
        return Refuse(_too_many())
    key = keys.step(profile, token, number)
    before = (exists(keys.step(profile, token, number - 1)),) if number > 1 else ()
    return Write(
        (*owner_guards(keys, snapshot, hold), *before, absent(key)),
        (put(key, encode(step)),),
        lambda _: Stored(number, step),
    )


def finish(
    keys: Keys, profile: ProfileName, snapshot: Snapshot, *, token: int, seq: int, now_ms: int
) -> Decision[Stored]:
    """End step `seq`. Idempotent: the first end counts."""
    if (refusal := why_not_owner(snapshot, profile, token)) is not None:
        return Refuse(refusal)
    hold = hold_seen(profile, snapshot)
    assert hold is not None, "an owner has a hold"
    this = snapshot.found(1)
    if this is None:
        # Of a guess this says nothing: what is looked up next will have it, or refuse for good.
        return Refuse(_wrong_seq(seq, "was never started", _last_seq(keys, snapshot)))
    step = decode(Step, this.value)
    if (finished := _finish_ms(snapshot)) > 0:
        return Reply(Stored(seq, step, finished))
    end = keys.step_end(profile, token, seq)
    return Write(
        (*owner_guards(keys, snapshot, hold), exists(keys.step(profile, token, seq)), absent(end)),
        (put(end, encode(StepEnd(finish_ms=now_ms))),),
        lambda _: Stored(seq, step, now_ms),
    )


def _last_seq(keys: Keys, snapshot: Snapshot) -> int:
    last = snapshot.found(0)
    # e / tenant / profile / token / seq
    return int(keys.split(last.key)[4]) if last else 0


def _finish_ms(snapshot: Snapshot) -> int:
    end = snapshot.found(2)
    return decode(StepEnd, end.value).finish_ms if end else 0


def _too_many() -> TenureError:
    return QuotaExceeded(
        f"This hold has {MAX_SEQ:,} steps, as many as one may. Make steps of more work, or release the hold "
        "and acquire the profile again.",
        limit="steps a hold",
    )


def _wrong_seq(seq: int, problem: str, last: int) -> InvalidField:
    remedy = f"the last step is {last}; send {last + 1}, or 0 to let the server number it"
    return InvalidField(field="seq", value=str(seq), problem=problem, remedy=remedy)
