"""An incident's evidence as a list: the owner's steps and what the host recorded. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from google.protobuf.timestamp_pb2 import Timestamp

from tenure.errors import InvalidField
from tenure.internal.v1.lock_service_pb2 import StoredStep
from tenure.v1.hold_pb2 import Step
from tenure.v1.incident_pb2 import EvidenceItem

DEFAULT_PAGE, LARGEST_PAGE = 100, 1000

_TEXT = "text/plain; charset=utf-8"


def step_items(incident: str, steps: Iterable[StoredStep]) -> list[EvidenceItem]:
    """The owner's steps as pieces of evidence."""
    return [_step_item(incident, stored.step) for stored in steps]


def merged(steps: Iterable[EvidenceItem], recorded: Iterable[EvidenceItem]) -> list[EvidenceItem]:
    """Both, each name once, oldest first; what has no time stands first."""
    by_name = {item.name: item for item in (*recorded, *steps)}
    return sorted(by_name.values(), key=lambda item: (item.record_time.ToNanoseconds(), item.name))


def page(items: Sequence[EvidenceItem], size: int, token: str) -> tuple[list[EvidenceItem], str]:
    """The page after `token`, which is the id of the last item before it, and the token of the next one.

    Items that come between two pages shift nothing. Raises InvalidField.
    """
    if not 0 <= size <= LARGEST_PAGE:
        raise InvalidField(
            field="page_size",
            value=str(size),
            problem="is out of range",
            remedy=f"send 1 to {LARGEST_PAGE}, or 0 for {DEFAULT_PAGE}",
        )
    ids = [_id(item) for item in items]
    if token and token not in ids:
        raise InvalidField(
            field="page_token",
            value=token,
            problem="is not of this list",
            remedy="send next_page_token of the answer before, or nothing for the first page",
        )
    start = ids.index(token) + 1 if token else 0
    end = start + (size or DEFAULT_PAGE)
    return list(items[start:end]), ids[end - 1] if end < len(items) else ""


def _id(item: EvidenceItem) -> str:
    return item.name.rpartition("/")[2]


def _step_item(incident: str, step: Step) -> EvidenceItem:
    text = _step_text(step)
    content = text.encode()
    return EvidenceItem(
        name=f"{incident}/evidence/owner-step-{step.seq}",
        kind="step",
        record_time=step.start_time,
        media_type=_TEXT,
        size=len(content),
        text=text,
        sha256=hashlib.sha256(content).digest(),
        step_seq=step.seq,
    )


def _step_text(step: Step) -> str:
    if not step.HasField("sensitive"):
        declared = "not declared sensitive or harmless"
    else:
        declared = "declared sensitive" if step.sensitive else "declared harmless"
    ended = f"ended {_shown(step.finish_time)}" if step.HasField("finish_time") else "had not ended"
    return f"step {step.seq} '{step.name}', {declared}; began {_shown(step.start_time)}, {ended}"


def _shown(time: Timestamp) -> str:
    return time.ToJsonString()
