"""Evidence that frees a profile, to be spoilt by tests one fact at a time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from tenure.v1.hold_pb2 import Checkpoint, HoldOrigin, Step
from tenure.v1.incident_pb2 import DirectoryFinding, Evidence, SuspicionCause

NOW = datetime(2026, 5, 4, 12, 0, 0, tzinfo=UTC)
START = "https://shop.example/"


def at(seconds: float) -> Timestamp:
    """A time so long after NOW."""
    time = Timestamp()
    time.FromMilliseconds(int((NOW.timestamp() + seconds) * 1000))
    return time


def changed(evidence: Evidence, **changes: Any) -> Evidence:
    """A copy with other values; None clears a field."""
    copy = Evidence()
    copy.CopyFrom(evidence)
    for name in changes:
        copy.ClearField(name)  # type: ignore[arg-type]
    copy.MergeFrom(Evidence(**{name: value for name, value in changes.items() if value is not None}))
    return copy


def harmless(name: str = "look around", seq: int = 1) -> Step:
    return Step(seq=seq, name=name, sensitive=False, start_time=at(-9))


def untouched(**changes: Any) -> Evidence:
    """A fresh task that did nothing yet: AVAILABLE."""
    base = Evidence(
        acknowledged=True,
        cause=SuspicionCause.SUSPICION_CAUSE_LEASE_ENDED,
        directory=DirectoryFinding.DIRECTORY_FINDING_LIVE,
        browser_alive=True,
        browser_opened=True,
        start_url=START,
        last_url=START,
        uncovered_urls=[START],
        account_touched=False,
        form_in_flight=False,
        origin=HoldOrigin.HOLD_ORIGIN_NEW,
        attempt=1,
        gather_time=at(-1),
    )
    return changed(base, **changes)


def at_work(**changes: Any) -> Evidence:
    """A restartable task amid a step that it declared harmless: RETRY."""
    step = harmless()
    base = untouched(
        account_touched=True,
        restartable=True,
        uncovered_urls=[START, "https://shop.example/catalogue?page=2"],
        last_url="https://shop.example/catalogue?page=2",
        uncovered_steps=[step],
        last_step=step,
    )
    return changed(base, **changes)


def resumable(**changes: Any) -> Evidence:
    """A workflow that saved a safe checkpoint under the hold: RESUME_PENDING."""
    saved = Checkpoint(workflow_id="basket", plan="v2", step="filled", safe=True, fencing_token=7)
    base = at_work(workflow_id="basket", plan="v2", checkpoint=saved, restartable=None)
    return changed(base, **changes)
