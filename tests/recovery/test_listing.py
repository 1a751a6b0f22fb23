from __future__ import annotations

import hashlib

import pytest

from recovery import listing
from tenure.errors import InvalidField
from tenure.internal.v1.lock_service_pb2 import StoredStep
from tenure.v1.hold_pb2 import Step
from tenure.v1.incident_pb2 import EvidenceItem
from tests.recovery.facts import at

INCIDENT = "tenants/t/profiles/p/incidents/7"


def item(number: int, seconds: float | None = None) -> EvidenceItem:
    made = EvidenceItem(name=f"{INCIDENT}/evidence/{number}", kind="url")
    if seconds is not None:
        made.record_time.CopyFrom(at(seconds))
    return made


def test_a_step_says_what_was_declared_and_whether_it_ended() -> None:
    steps = [
        Step(seq=1, name="browse", sensitive=False, start_time=at(0), finish_time=at(5)),
        Step(seq=2, name="checkout", sensitive=True, start_time=at(6)),
        Step(seq=3, name="look", start_time=at(7)),
    ]
    items = listing.step_items(INCIDENT, [StoredStep(step=step) for step in steps])
    assert [each.text for each in items] == [
        "step 1 'browse', declared harmless; began 2026-05-04T12:00:00Z, ended 2026-05-04T12:00:05Z",
        "step 2 'checkout', declared sensitive; began 2026-05-04T12:00:06Z, had not ended",
        "step 3 'look', not declared sensitive or harmless; began 2026-05-04T12:00:07Z, had not ended",
    ]
    assert [each.step_seq for each in items] == [1, 2, 3]
    for each in items:
        assert each.sha256 == hashlib.sha256(each.text.encode()).digest()
        assert each.size == len(each.text.encode())


def test_evidence_is_listed_once_and_by_age() -> None:
    assert listing.merged([item(1, 5)], [item(3, 9), item(2, 1), item(1, 5), item(4)]) == [
        item(4),
        item(2, 1),
        item(1, 5),
        item(3, 9),
    ]


def test_pages_follow_one_another_also_when_more_comes_between() -> None:
    items = [item(n) for n in range(5)]
    first, token = listing.page(items, 2, "")
    second, token = listing.page([*items, item(9)], 2, token)
    third, end = listing.page([*items, item(9)], 2, token)
    assert [each.name[-1] for each in (*first, *second, *third)] == ["0", "1", "2", "3", "4", "9"]
    assert end == ""
    assert listing.page(items, 5, "") == (items, "")
    assert listing.page([], 0, "") == ([], "")
    assert len(listing.page([item(n) for n in range(101)], 0, "")[0]) == 100


@pytest.mark.parametrize(
    ("size", "token", "field"), [(-1, "", "page_size"), (1001, "", "page_size"), (1, "x", "page_token")]
)
def test_pages_that_cannot_be_are_refused(size: int, token: str, field: str) -> None:
    with pytest.raises(InvalidField) as caught:
        listing.page([item(1)], size, token)
    assert caught.value.field == field
