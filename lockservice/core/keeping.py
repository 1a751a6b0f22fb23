"""What is kept of holds that are over, and for how long.

An incident is forgotten whole: with its evidence, its decision and the verdicts on it. Never one that the
profile's record names, nor one that nobody has decided. What was put on record of a hold that became no
incident are its steps: they go some days after its release. Checkpoints stay, whoever wrote them.
"""

from __future__ import annotations

from dataclasses import dataclass

from lockservice.core.decision import Decision, Reply, Write
from lockservice.core.document import decode
from lockservice.core.keys import Keys
from lockservice.core.snapshot import Sight, Snapshot
from lockservice.core.stored import Decided, Step, StepEnd, Verdict
from lockservice.etcd.txn import Compare, absent, delete, delete_all, get, last_by_key, mod_is
from tenure.names import IncidentName

DAY_MS = 24 * 3600 * 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeps:
    """For how long, in milliseconds; 0: for ever. Incidents from their last decision or verdict on, steps
    from the last one's begin or end.
    """

    incidents_ms: int
    steps_ms: int


FOR_EVER = Keeps(incidents_ms=0, steps_ms=0)


def may_be_over(began_ms: int, keep_ms: int, now_ms: int) -> bool:
    """Whether something that began then can have been over for `keep_ms`."""
    return 0 < keep_ms <= now_ms - began_ms


def incident_sight(keys: Keys, incident: IncidentName) -> Sight:
    """What `forget_incident` looks at: the incident too, its decision, its last verdict."""
    profile, token = incident.profile, incident.fencing_token
    extra = (get(keys.decision(profile, token)), last_by_key(keys.verdicts(profile, token)))
    return Sight(keys=keys, profile=profile, token=token, extra=extra)


def forget_incident(
    keys: Keys, incident: IncidentName, snapshot: Snapshot, *, keep_ms: int, now_ms: int
) -> Decision[bool]:
    """Delete all of an incident that was decided long ago; answers whether this did it."""
    profile, token = incident.profile, incident.fencing_token
    decision, verdict = snapshot.found(0), snapshot.found(1)
    if snapshot.at_work(token) is not None or snapshot.holds(token) or decision is None:
        return Reply(False)
    over_ms = decode(Decided, decision.value).decide_ms
    if verdict is not None:
        over_ms = max(over_ms, decode(Verdict, verdict.value).resolve_ms)
    if not may_be_over(over_ms, keep_ms, now_ms):
        return Reply(False)
    return Write(
        (
            *_moved_on(keys, incident, snapshot),
            # Whoever forgets it first leaves nothing to compare.
            mod_is(decision.key, decision.mod_revision),
        ),
        (
            delete(keys.incident(profile, token)),
            delete(keys.decision(profile, token)),
            delete_all(keys.verdicts(profile, token)),
            delete_all(keys.evidence(profile, token)),
        ),
        lambda _: True,
    )


def steps_sight(keys: Keys, hold: IncidentName) -> Sight:
    """What `forget_steps` looks at: whether the hold became an incident, and its last step."""
    profile, token = hold.profile, hold.fencing_token
    return Sight(keys=keys, profile=profile, token=token, extra=(last_by_key(keys.steps(profile, token)),))


def forget_steps(
    keys: Keys, hold: IncidentName, snapshot: Snapshot, *, keep_ms: int, now_ms: int
) -> Decision[bool]:
    """Delete the steps of a hold that was released long ago; answers whether this did it."""
    profile, token = hold.profile, hold.fencing_token
    last = snapshot.found(0)
    lasts = snapshot.record is not None and token < snapshot.token()
    if not lasts or snapshot.incident is not None or snapshot.at_work(token) is not None or last is None:
        return Reply(False)
    ended = last.key.endswith(b"/end")
    over_ms = decode(StepEnd, last.value).finish_ms if ended else decode(Step, last.value).start_ms
    if not may_be_over(over_ms, keep_ms, now_ms):
        return Reply(False)
    return Write(
        (
            *_moved_on(keys, hold, snapshot),
            absent(keys.incident(profile, token)),
            mod_is(last.key, last.mod_revision),
        ),
        (delete_all(keys.evidence(profile, token)),),
        lambda _: True,
    )


def _moved_on(keys: Keys, hold: IncidentName, snapshot: Snapshot) -> tuple[Compare, ...]:
    """p is as seen: past the hold. Tokens rise, so it never comes back to it."""
    return (
        mod_is(keys.epoch, snapshot.epoch.mod),
        mod_is(keys.record(hold.profile), snapshot.mod),
    )
