"""What was witnessed, in its wire form."""

from __future__ import annotations

from browserhost.session import timestamp
from browserhost.witness.ledger import NOTE, Item, Ledger
from tenure.names import EvidenceName, IncidentName
from tenure.v1.incident_pb2 import EvidenceItem


def name(incident: IncidentName, item: Item) -> str:
    """The item's resource name."""
    return str(EvidenceName(incident, item.name))


def items(incident: IncidentName, ledger: Ledger) -> list[EvidenceItem]:
    """What a ledger holds, oldest first; begins with how much had to go, where anything had."""
    found = [ledger.items[number] for number in sorted(ledger.items)]
    if ledger.dropped:
        began = found[0].time if found else 0.0
        found.insert(0, Item(0, NOTE, began, f"{ledger.dropped} older entries were dropped"))
    return [_message(incident, item) for item in found]


def _message(incident: IncidentName, item: Item) -> EvidenceItem:
    return EvidenceItem(
        name=name(incident, item),
        kind=item.kind,
        record_time=timestamp(item.time),
        media_type=item.media_type,
        size=item.size,
        text=item.text,
        sha256=bytes.fromhex(item.sha256),
        step_seq=item.step_seq,
    )
