"""Stored documents."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockservice.core.document import MAY_BE_LOST, Unreadable, _Made, decode, encode
from lockservice.core.record import Holding, Origin, Record, State
from lockservice.core.stored import Acknowledgement, Step, StepEnd, Worker

texts = st.text(max_size=20)
numbers = st.integers(0, 2**53)
holdings = st.builds(
    Holding,
    worker=texts,
    worker_create=numbers,
    request_id=texts,
    run_id=texts,
    as_sent=texts,
    granted_ms=numbers,
    deadline_ms=numbers,
    workflow_id=texts,
    proxy_key=texts,
    origin=st.sampled_from(Origin),
    attempt=numbers,
)
records = st.builds(
    Record,
    state=st.sampled_from(State),
    epoch=st.integers(0, 1023),
    since_ms=numbers,
    as_sent=texts,
    holding=st.none() | holdings,
    home=texts,
    used=st.booleans(),
    flushed_ms=numbers,
    incident=numbers,
    failed_attempts=numbers,
    resume_until_ms=numbers,
)


@given(records)
def test_a_record_survives_storing(record: Record) -> None:
    stored = encode(record)
    assert decode(Record, stored) == record
    # What was encoded here is remembered for a while; elsewhere it is read.
    with pytest.MonkeyPatch.context() as elsewhere:
        elsewhere.setattr("lockservice.core.document._made", _Made())
        assert decode(Record, stored) == record


def test_only_so_many_are_remembered_and_each_as_what_it_is() -> None:
    made = _Made(most=2)
    for number in range(5):
        made.remember(b"%d" % number, number + 1)
    assert [made.find(b"%d" % number) for number in range(5)] == [None, None, 3, 4, 5]
    stored = encode(StepEnd(finish_ms=5))
    assert decode(Acknowledgement, stored.replace(b"finish", b"acknowledge")).acknowledge_ms == 5
    with pytest.raises(Unreadable):
        decode(Acknowledgement, stored)


@pytest.mark.parametrize("sensitive", [None, True, False])
def test_an_undeclared_step_stays_undeclared(sensitive: bool | None) -> None:
    step = Step(name="pay", start_ms=5, sensitive=sensitive)
    assert decode(Step, encode(step)) == step


def test_it_is_small_json_that_says_its_version() -> None:
    stored = encode(Record(state=State.AVAILABLE, epoch=0, since_ms=5, as_sent="alice:linkedin"))
    assert stored == b'{"v":1,"state":"AVAILABLE","epoch":0,"since_ms":5,"as_sent":"alice:linkedin"}'
    worker = Worker(tenant="t", lease=1, ttl_s=15, registered_ms=5, labels={"pod": "x"})
    assert decode(Worker, encode(worker)) == worker


@dataclass(frozen=True, slots=True, kw_only=True)
class NextStep:
    """A step as a later version may store it."""

    name: str
    start_ms: int
    sensitive: bool | None = None
    mood: str | None = field(default=None, metadata=MAY_BE_LOST)


def test_a_field_that_may_be_lost_is_kept_by_who_knows_it_and_dropped_by_who_does_not() -> None:
    later = NextStep(name="pay", start_ms=5, mood="calm")
    stored = encode(later)
    assert stored == b'{"v":1,"name":"pay","start_ms":5,"mood?":"calm"}'
    assert decode(NextStep, stored) == later
    assert decode(Step, stored) == Step(name="pay", start_ms=5)
    assert decode(NextStep, encode(Step(name="pay", start_ms=5))) == NextStep(name="pay", start_ms=5)


@pytest.mark.parametrize(
    ("stored", "why"),
    [
        (b"", "not a stored Record"),
        (b"[]", "not a stored Record"),
        (b"{}", "not a stored Record"),
        (b'{"v":1,"state":"GONE","epoch":0,"since_ms":5,"as_sent":""}', "GONE"),
        (b'{"v":1,"state":"HELD","epoch":0,"since_ms":5,"as_sent":"","colour":"red"}', "colour"),
        (b'{"v":2}', "upgrade this replica"),
    ],
)
def test_what_it_does_not_know_is_refused_not_guessed(stored: bytes, why: str) -> None:
    with pytest.raises(Unreadable, match=why):
        decode(Record, stored)
