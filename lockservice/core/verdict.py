"""Rule 25: a person frees what recovery would not, on record, and only what was read."""

from __future__ import annotations

from lockservice.core.changes import put_record
from lockservice.core.decision import Decision, Refuse, Reply, Write
from lockservice.core.document import decode, encode
from lockservice.core.keys import Keys
from lockservice.core.outcome import Choice, Outcome, entered, no_incident, problem
from lockservice.core.record import State
from lockservice.core.snapshot import KeyValue, Sight, Snapshot
from lockservice.core.stored import Verdict
from lockservice.etcd.txn import Compare, absent, exists, get, last_by_key, mod_is, put
from tenure.errors import InvalidField, TenureError
from tenure.names import IncidentName

CHOICES = frozenset({Outcome.AVAILABLE, Outcome.RETRY, Outcome.RESUME_PENDING, Outcome.DISABLED})


def sight(keys: Keys, incident: IncidentName) -> Sight:
    """What `decide` looks at: the incident too, its last verdict, its late acknowledgement."""
    profile, token = incident.profile, incident.fencing_token
    extra = (last_by_key(keys.verdicts(profile, token)), get(keys.acknowledged(profile, token)))
    return Sight(keys=keys, profile=profile, token=token, extra=extra)


def decide(
    keys: Keys,
    incident: IncidentName,
    snapshot: Snapshot,
    *,
    revision: int,
    choice: Choice,
    reviewer: str,
    attested: bool,
    now_ms: int,
) -> Decision[Verdict]:
    """MANUAL_REVIEW to a person's outcome, guarded by mod(p) = `revision`, which the person had read.

    Where no host acknowledged the cut, not even late, `attested` says that the old browser is destroyed: it
    alone can stop a host that froze between check and dispatch. Idempotent: the same verdict on the same
    revision again answers the first.
    """
    profile, token = incident.profile, incident.fencing_token
    last = snapshot.found(0)
    before = snapshot.at_work(token)
    if before is None and snapshot.incident is None:
        return Refuse(no_incident(incident))
    if before is None or before.state is not State.MANUAL_REVIEW or snapshot.mod != revision:
        return _repeated(last, revision, choice.outcome)
    if (refusal := problem(before, choice)) is not None:
        return Refuse(refusal)
    proof: tuple[Compare, ...] = ()
    if not before.acknowledged and not attested:
        if snapshot.found(1) is None:
            return Refuse(_not_cut_off())
        proof = (exists(keys.acknowledged(profile, token)),)
    verdict = Verdict(
        outcome=choice.outcome.value,
        reason=choice.reason,
        reviewer=reviewer,
        resolve_ms=now_ms,
        revision=revision,
        attested=attested,
    )
    after = entered(before, choice, snapshot.epoch.number, now_ms)
    key = keys.verdict(profile, token, _number(keys, last) + 1)
    return Write(
        (
            mod_is(keys.epoch, snapshot.epoch.mod),
            mod_is(keys.record(profile), revision),
            # A guess does not know of an earlier one, and must not write over it.
            absent(key),
            *proof,
        ),
        (put_record(keys, profile, after), put(key, encode(verdict))),
        lambda _: verdict,
    )


def _repeated(last: KeyValue | None, revision: int, outcome: Outcome) -> Decision[Verdict]:
    if last is not None:
        verdict = decode(Verdict, last.value)
        if (verdict.revision, verdict.outcome) == (revision, outcome.value):
            return Reply(verdict)
    return Refuse(
        InvalidField(
            field="etag",
            value=str(revision),
            problem="is not that of an incident in review now",
            remedy="read the incident again, and decide on what it says",
        )
    )


def _number(keys: Keys, last: KeyValue | None) -> int:
    # v / tenant / profile / token / number
    return int(keys.split(last.key)[4]) if last is not None else 0


def _not_cut_off() -> TenureError:
    return InvalidField(
        field="attest_destroyed",
        value="false",
        problem="is needed: no host acknowledged that the old worker is cut off",
        remedy="make sure that the old browser and its machine's copy of the profile are gone for good, then "
        "send true; or wait until the host answers",
    )
