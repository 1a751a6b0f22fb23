"""Whose a grant is, as an acquire's own decision tells."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from lockservice.acquires import Acquires
from lockservice.core import caps
from lockservice.core.decision import Refuse, Write
from lockservice.core.keys import Keys
from lockservice.core.record import Record, State
from lockservice.core.snapshot import Consumed, EpochSeen, Snapshot, Waiter, WorkerSeen
from lockservice.core.stored import Ask, Worker
from lockservice.replica import Replica
from tenure.errors import HostUnreachable
from tenure.names import ProfileName

ALICE = ProfileName("default", "alice")
ASK = Ask(request_id="n2", worker="w", run_id="r", as_sent="", max_runtime_ms=1000, worker_create=3)
FREE = Record(state=State.AVAILABLE, epoch=1, since_ms=0, as_sent="alice", home="a")


def snapshot(consumed: str, place: Waiter | None) -> Snapshot:
    return Snapshot(
        epoch=EpochSeen(1, 1),
        record=FREE,
        mod=7,
        workers={"w": WorkerSeen(Worker(tenant="default", lease=9, ttl_s=60, registered_ms=0), 3)},
        consumed=Consumed(consumed, 5 if consumed else 0),
        place=place,
        head=place,
        proven=True,
    )


@pytest.fixture
def acquires() -> Acquires:
    nothing = lambda *_: None  # noqa: E731
    replica = SimpleNamespace(
        keys=Keys("/t"),
        mirror=SimpleNamespace(lease_keys=lambda _: 1),
        metrics=SimpleNamespace(acquired=nothing, granted_to_head=nothing),
        room=lambda _: caps.ALL,
        committer=None,
    )
    return Acquires(cast("Replica", replica))


def decided(acquires: Acquires, seen: Snapshot, told: list[str], **more: Any) -> Any:
    case = acquires.acquiring(
        ALICE,
        ASK,
        tenant="default",
        waits=True,
        resume=False,
        begun=lambda: told.append("begun"),
        **more,
    )
    return case.decide(seen)


def test_what_used_the_request_id_up_began_once_it_is_known_to_be_applied(acquires: Acquires) -> None:
    told: list[str] = []
    decision = decided(acquires, snapshot("n1", None), told)
    assert isinstance(decision, Write)
    assert not told
    decision.then(11)
    assert told == ["begun"]


def test_a_grant_to_a_place_that_was_there_is_of_whoever_took_it(acquires: Acquires) -> None:
    told: list[str] = []
    decision = decided(acquires, snapshot("n2", Waiter(4, "n2", ASK)), told)
    assert isinstance(decision, Write)
    decision.then(11)
    assert not told


def test_a_home_is_asked_for_what_is_new_alone(acquires: Acquires) -> None:
    asked: list[str] = []

    def away(current: str) -> str:
        asked.append(current)
        raise HostUnreachable(host=current)

    assert isinstance(decided(acquires, snapshot("n1", None), [], home=away), Refuse)
    assert isinstance(decided(acquires, snapshot("n2", Waiter(4, "n2", ASK)), [], home=away), Write)
    assert asked == ["a"]
