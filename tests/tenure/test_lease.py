from __future__ import annotations

from tenure.lease import Lease, strays
from tenure.v1 import hold_pb2


def test_the_deadline_counts_from_sending_the_renewal_not_from_its_answer() -> None:
    lease = Lease("workers/w", ttl=15.0, sent_at=100.0)
    assert lease.deadline == 115.0
    assert lease.renewed(15.0, sent_at=105.0).deadline == 120.0


def test_a_renewal_is_due_after_a_third_of_the_ttl() -> None:
    assert Lease("workers/w", ttl=15.0, sent_at=100.0).renewal_due == 105.0


def test_a_lease_is_over_at_its_deadline_not_after_it() -> None:
    lease = Lease("workers/w", ttl=15.0, sent_at=100.0)
    assert not lease.expired(114.999)
    assert lease.expired(115.0)
    assert lease.remaining(117.0) == 0.0


def test_a_late_answer_to_an_earlier_renewal_does_not_shorten_the_lease() -> None:
    lease = Lease("workers/w", ttl=15.0, sent_at=110.0)
    assert lease.renewed(15.0, sent_at=105.0) is lease


def test_only_holds_that_are_neither_used_nor_being_acquired_are_strays() -> None:
    listed = [hold_pb2.Hold(request_id=each) for each in ("used", "under way", "given up")]
    assert [hold.request_id for hold in strays(listed, {"used", "under way"})] == ["given up"]
