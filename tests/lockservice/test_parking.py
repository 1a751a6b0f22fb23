"""A change wakes those whom it brings something, and nobody else, however many are parked."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from lockservice.core.document import encode
from lockservice.core.record import Holding, State
from lockservice.core.snapshot import KeyValue
from lockservice.core.stored import Ask
from lockservice.mirror import Mirror
from lockservice.parking import Parking
from tenure.etcdwire.v1 import etcdwire_pb2 as wire
from tests.lockservice.test_states import holding, record
from tests.lockservice.worlds import KEYS, PROFILE

MANY = 500


class Parked:
    """A profile that `MANY` wait for, all of them parked here; every tenth of one workflow."""

    def __init__(self, stack: ExitStack) -> None:
        self.mirror = Mirror(KEYS)
        self.parking = Parking(self.mirror)
        self.revision = 0
        self.change(self.holds(State.HELD, "holder"))
        self.change(*(self.joins(f"{i:04}", "w" if i % 10 == 0 else "") for i in range(MANY)))
        self.events = {
            f"{i:04}": stack.enter_context(self.parking.park(PROFILE, f"{i:04}")) for i in range(MANY)
        }

    def put(self, key: bytes, value: bytes) -> wire.Event:
        self.revision += 1
        return wire.Event(
            kv=KeyValue(key=key, value=value, create_revision=self.revision, mod_revision=self.revision)
        )

    def holds(self, state: State, request_id: str) -> wire.Event:
        held: Holding = dataclasses.replace(holding(), request_id=request_id)
        return self.put(KEYS.record(PROFILE), encode(record(state, held)))

    def joins(self, request_id: str, workflow: str = "") -> wire.Event:
        ask = Ask(
            request_id=request_id,
            worker=f"of-{request_id}",
            run_id="r",
            as_sent="",
            max_runtime_ms=1,
            workflow_id=workflow,
        )
        return self.put(KEYS.place(PROFILE, request_id), encode(ask))

    def leaves(self, request_id: str) -> wire.Event:
        self.revision += 1
        gone = KeyValue(key=KEYS.place(PROFILE, request_id), mod_revision=self.revision)
        return wire.Event(type=wire.Event.EVENT_TYPE_DELETE, kv=gone)

    def change(self, *events: wire.Event) -> None:
        self.parking.wake(self.mirror.apply(events))

    def woken(self) -> list[str]:
        found = [request_id for request_id, event in self.events.items() if event.is_set()]
        for request_id in found:
            self.events[request_id].clear()
        return found


EVERYBODY = [f"{i:04}" for i in range(MANY)]


@pytest.mark.parametrize(
    ("changes", "woken"),
    [
        pytest.param(lambda p: [p.holds(State.HELD, "0000"), p.leaves("0000")], ["0000"], id="a hand-over"),
        pytest.param(lambda p: [p.joins("9999")], [], id="a join"),
        pytest.param(lambda p: [p.leaves("0250")], ["0250"], id="a place that is gone"),
        pytest.param(lambda p: [p.holds(State.AVAILABLE, "")], ["0000"], id="a free profile"),
        pytest.param(lambda p: [p.holds(State.QUARANTINED, "")], [], id="recovery at work"),
        pytest.param(lambda p: [p.holds(State.RESUME_PENDING, "")], EVERYBODY[::10], id="a workflow awaited"),
        pytest.param(lambda p: [p.holds(State.DISABLED, "")], EVERYBODY, id="a profile taken out of use"),
    ],
)
async def test_a_change_wakes_whom_it_brings_something(
    changes: Callable[[Parked], list[wire.Event]], woken: list[str]
) -> None:
    with ExitStack() as stack:
        parked = Parked(stack)
        parked.woken()
        parked.change(*changes(parked))
        assert parked.woken() == woken


async def test_each_hand_over_wakes_one() -> None:
    with ExitStack() as stack:
        parked = Parked(stack)
        parked.woken()
        for request_id in EVERYBODY:
            parked.change(parked.holds(State.HELD, request_id), parked.leaves(request_id))
            assert parked.woken() == [request_id]


async def test_while_a_workflow_is_awaited_a_place_that_changes_wakes_itself_alone() -> None:
    with ExitStack() as stack:
        parked = Parked(stack)
        parked.change(parked.holds(State.RESUME_PENDING, ""))
        parked.woken()
        parked.change(parked.leaves("0003"))
        assert parked.woken() == ["0003"]


async def test_those_parked_are_counted_and_all_are_woken_when_the_service_stops() -> None:
    with ExitStack() as stack:
        parked = Parked(stack)
        parked.woken()
        assert parked.parking.count() == MANY
        parked.parking.close()
        assert parked.woken() == EVERYBODY
    assert parked.parking.count() == 0
