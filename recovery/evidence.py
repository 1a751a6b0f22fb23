"""Makes the evidence that a decision is made on, from what the store has and what the host answered. Pure.

The lock service knows the hold, its steps and its checkpoint; the host knows the browser and the directory.
Neither is asked to judge. What a checkpoint covers is told here, if the workflow can go on from it: steps by
revision, which orders all writes; pages by time, with a margin for clocks that differ.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from recovery import facts
from recovery.decide import MOST_LISTED
from recovery.patterns import MAX_URL
from tenure.internal.v1.browser_host_service_pb2 import InspectProfileResponse
from tenure.internal.v1.lock_service_pb2 import ReadIncidentResponse
from tenure.v1.hold_pb2 import Checkpoint, Step
from tenure.v1.incident_pb2 import Evidence, EvidenceItem

CLOCKS_DIFFER = timedelta(seconds=2)
"""A page recorded this much before the checkpoint was saved still counts as recorded after it. A host whose
clock is further off than that cannot tell what came before."""

_MOST_FINDINGS = 50
_LONGEST_FINDING = 500


def gather(
    stored: ReadIncidentResponse, answer: InspectProfileResponse | None, why_missing: str, now: datetime
) -> Evidence:
    """Return the evidence of an incident as of `now`.

    Without the host's `answer` the evidence is missing, and `why_missing` says why in words. `now` is when it
    came.
    """
    evidence = Evidence()
    if answer is None:
        evidence.missing = True
        evidence.findings.append(why_missing)
    else:
        evidence.CopyFrom(answer.evidence)
        evidence.missing = False
        evidence.last_url = evidence.last_url[:MAX_URL]
        evidence.start_url = evidence.start_url[:MAX_URL]
        said = [finding[:_LONGEST_FINDING] for finding in evidence.findings[:_MOST_FINDINGS]]
        del evidence.findings[:]
        evidence.findings.extend(said)
    _add_hold(evidence, stored)
    saved = _own_checkpoint(stored)
    _add_checkpoint(evidence, stored, saved)
    if not facts.resumable(evidence):
        saved = None
    uncovered = _uncovered_steps(stored, saved)
    del evidence.uncovered_steps[:]
    evidence.uncovered_steps.extend(uncovered[-MOST_LISTED:])
    del evidence.uncovered_urls[:]
    if answer is not None:
        if saved is not None and (told := _clock_off(answer, now)):
            evidence.findings.append(told)
            saved = None
        evidence.uncovered_urls.extend(_uncovered_urls(answer, saved)[-MOST_LISTED:])
    if not evidence.HasField("gather_time"):
        evidence.gather_time.FromDatetime(now)
    return evidence


def storable(items: Iterable[EvidenceItem]) -> list[EvidenceItem]:
    """The host's pieces as the store takes them: small. The whole text of a cut one stays at the host."""
    return [_shortened(item) if len(item.text) > MAX_URL else item for item in items]


def _shortened(item: EvidenceItem) -> EvidenceItem:
    short = EvidenceItem()
    short.CopyFrom(item)
    short.text = item.text[: MAX_URL - 1] + "…"
    return short


def _add_hold(evidence: Evidence, stored: ReadIncidentResponse) -> None:
    """What the lock service knows of the hold; whatever the host may say of it."""
    incident, hold = stored.incident, stored.incident.hold
    evidence.acknowledged = incident.acknowledged
    evidence.cause = incident.cause
    evidence.origin = hold.origin
    evidence.attempt = hold.attempt
    evidence.workflow_id = hold.workflow_id
    evidence.plan = hold.plan
    evidence.restartable = hold.restartable
    evidence.hold_proxy_key = hold.proxy_key
    evidence.ClearField("last_step")
    if stored.steps:
        evidence.last_step.CopyFrom(max(stored.steps, key=lambda each: each.step.seq).step)


def _own_checkpoint(stored: ReadIncidentResponse) -> Checkpoint | None:
    """The checkpoint, when it was written under the token that the incident ended."""
    token = stored.incident.hold.fencing_token
    if stored.HasField("checkpoint") and token and stored.checkpoint.fencing_token == token:
        return stored.checkpoint
    return None


def _add_checkpoint(evidence: Evidence, stored: ReadIncidentResponse, saved: Checkpoint | None) -> None:
    evidence.ClearField("checkpoint")
    if saved is not None:
        evidence.checkpoint.CopyFrom(saved)
        # The store keeps it where it is; evidence only says that it is there.
        evidence.checkpoint.ClearField("payload")
    elif stored.HasField("checkpoint"):
        earlier = stored.checkpoint
        evidence.findings.append(
            f"the checkpoint of workflow '{earlier.workflow_id}' is of an earlier hold (token "
            f"{earlier.fencing_token}) and covers nothing of this one"
        )


def _uncovered_steps(stored: ReadIncidentResponse, saved: Checkpoint | None) -> list[Step]:
    """Steps, by number, that had not ended when the checkpoint was saved; without one, all."""
    steps = sorted(stored.steps, key=lambda each: each.step.seq)
    if saved is None:
        return [each.step for each in steps]
    return [
        each.step
        for each in steps
        if each.finish_revision == 0 or each.finish_revision > stored.checkpoint_revision
    ]


def _clock_off(answer: InspectProfileResponse, now: datetime) -> str:
    """That the host's clock is not ours, in words; "" when it is, or the host does not say."""
    if not answer.evidence.HasField("gather_time"):
        return ""
    off = answer.evidence.gather_time.ToDatetime(UTC) - now
    if abs(off) <= CLOCKS_DIFFER:
        return ""
    seconds = off.total_seconds()
    return f"the host's clock is {seconds:+.1f} s off, so the checkpoint covers none of its pages"


def _uncovered_urls(answer: InspectProfileResponse, saved: Checkpoint | None) -> list[str]:
    """Pages, oldest first and each once, recorded since the checkpoint, and the one in front then."""
    visits = [item for item in answer.items if item.kind == "url"]
    if saved is not None and saved.HasField("save_time"):
        since = saved.save_time.ToDatetime() - CLOCKS_DIFFER
        before = [item for item in visits if _is_before(item, since)]
        in_front = before[-1:]
        visits = [item for item in visits if not _is_before(item, since)]
        visits = in_front + visits
    return _each_once(item.text[:MAX_URL] for item in visits)


def _is_before(item: EvidenceItem, since: datetime) -> bool:
    return item.HasField("record_time") and item.record_time.ToDatetime() < since


def _each_once(urls: Iterable[str]) -> list[str]:
    """In the order of the last visit, so that the newest are kept where not all can be."""
    return list(reversed(dict.fromkeys(reversed(list(urls)))))
