"""Rules about transitions and incidents, told from the store's history alone. Pure."""

from __future__ import annotations

from lockservice.core.document import decode
from lockservice.core.record import Record, State
from lockservice.core.states import ALLOWED
from lockservice.core.stored import Decided, Incident, Verdict
from tests.chaos.ledger import Ledger
from tests.chaos.timeline import Profile, Revision, World

_S = State
_GOES_ON = frozenset({_S.QUARANTINED, _S.INSPECTED})


def moved(ledger: Ledger, world: World, revision: Revision) -> None:
    """Only listed transitions; each with what belongs to it in the same revision."""
    for (tenant, name), written in revision.of("p"):
        before = world.profile(name)
        if written.value is None:
            ledger.broken("a record stays", name, revision.number, "it was deleted")
            continue
        after = decode(Record, written.value)
        ledger.moves[_word(before.state), after.state.value] += 1
        if after.state not in ALLOWED[before.state]:
            text = f"{_word(before.state)} → {after.state.value}"
            ledger.broken("only listed transitions", name, revision.number, text, before.token)
            continue
        if after.epoch != world.epoch:
            text = f"written as of epoch {after.epoch} in epoch {world.epoch}"
            ledger.broken("nothing of an epoch that is over", name, revision.number, text, before.token)
        _ends(ledger, revision, name, before, after)
        _released(ledger, world, revision, name, before, after)
        _incident(ledger, world, revision, f"{tenant}/{name}", before, after)


def _word(state: State | None) -> str:
    return state.value if state else "absent"


def _ends(ledger: Ledger, revision: Revision, name: str, before: Profile, after: Record) -> None:
    grant = ledger.grants.get((name, before.token))
    if grant is not None and grant.ended is None:
        grant.ended, grant.end_revision = after.state, revision.number


def _released(
    ledger: Ledger, world: World, revision: Revision, name: str, before: Profile, after: Record
) -> None:
    """HELD to AVAILABLE or HELD: by an owner who lives; to nobody only when nobody waits (rule 6)."""
    if before.holding is None or after.state not in (_S.AVAILABLE, _S.HELD):
        return
    if not world.alive(before.holding):
        text = "released for a worker whose lease had ended"
        ledger.broken("only an owner releases", name, revision.number, text, before.token)
    if after.state is _S.AVAILABLE and before.queue:
        text = f"released to nobody while {len(before.queue)} waited"
        ledger.broken("a release passes on", name, revision.number, text, before.token)


def _incident(
    ledger: Ledger, world: World, revision: Revision, path: str, before: Profile, after: Record
) -> None:
    name = path.partition("/")[2]
    token = before.token if before.state is _S.HELD else (before.record.incident if before.record else 0)
    key = f"{path}/{token:016d}"
    if before.holding is not None and after.state is _S.SUSPECTED_STALE:
        _suspected(ledger, world, revision, key, before)
    if after.state in _GOES_ON and before.record and after.incident != before.record.incident:
        text = "an incident took another's name"
        ledger.broken("one incident a hold", name, revision.number, text, token)
    if before.state is _S.INSPECTED and before.record is not None:
        written = revision.writes.get(f"d/{key}")
        if written is None or decode(Decided, written.value or b"").outcome != after.state.value:
            text = "effect without its decision"
            ledger.broken("a decision and its effect are one", name, revision.number, text, token)
        ledger.decided[name, token] = after.state.value
        sure = before.record.acknowledged and not before.record.evidence_missing
        if not sure and after.state is not _S.MANUAL_REVIEW:
            text = f"{after.state.value} decided on what is not certain"
            ledger.broken("only a person frees what is not certain", name, revision.number, text, token)
    if before.state is _S.MANUAL_REVIEW:
        _judged(ledger, world, revision, path, key, before)
    waited = before.record.resume_until_ms if before.record and before.state is _S.RESUME_PENDING else 0
    if after.state is _S.MANUAL_REVIEW and after.since_ms < waited:
        text = "its workflow was not waited for"
        ledger.broken("a workflow is waited for", name, revision.number, text, token)


def _suspected(ledger: Ledger, world: World, revision: Revision, key: str, before: Profile) -> None:
    _, name, _ = key.split("/")
    written = revision.writes.get(f"i/{key}")
    if written is None or written.value is None:
        text = "suspect without an incident"
        ledger.broken("suspicion is on record", name, revision.number, text, before.token)
        return
    cause = decode(Incident, written.value).cause
    assert before.holding is not None
    if cause == "LEASE_ENDED" and world.alive(before.holding):
        text = f"worker …{before.holding.worker[-6:]} lived"
        ledger.broken("only the dead are suspect", name, revision.number, text, before.token)
    if cause == "RESTORED" and before.record and before.record.epoch == world.epoch:
        ledger.broken("only the dead are suspect", name, revision.number, "same epoch", before.token)


def _judged(ledger: Ledger, world: World, revision: Revision, path: str, key: str, before: Profile) -> None:
    name = path.partition("/")[2]
    found = [w for full, w in revision.writes.items() if full.startswith(f"v/{key}/") and w.value]
    token = before.record.incident if before.record else 0
    if not found:
        ledger.broken("a verdict and its effect are one", name, revision.number, "no verdict", token)
        return
    verdict = decode(Verdict, found[0].value or b"")
    cut = before.record is not None and before.record.acknowledged
    if not cut and not verdict.attested and not world.kept.get(f"e/{key}/acknowledged"):
        text = "a verdict on one who may still act"
        ledger.broken("only what is cut off is freed", name, revision.number, text, token)
    if verdict.revision != before.mod:
        text = f"a verdict on revision {verdict.revision}, the review is of {before.mod}"
        ledger.broken("a verdict on what was read", name, revision.number, text, token)
