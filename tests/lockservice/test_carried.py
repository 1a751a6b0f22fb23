"""What of a profile's record outlives a hold. Each field has its place here: a new one must be given one."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from lockservice.core import release
from lockservice.core.document import encode
from lockservice.core.record import Holding, Origin, Record, State
from lockservice.core.release import Ending
from lockservice.core.snapshot import Sight
from lockservice.core.stored import Ask, Epoch
from tenure import token as tokens
from tests.lockservice.scenes import done
from tests.lockservice.worlds import KEYS, NOW, PROFILE, World

EPOCH = 3
# No field is as it would be by default, though no HELD record has all of them.
FILLED: dict[str, Any] = {
    "state": State.HELD,
    "epoch": EPOCH,
    "since_ms": NOW - 5000,
    "as_sent": "Alice",
    "holding": Holding(
        worker="a",
        worker_create=0,
        request_id="1",
        run_id="r1",
        as_sent="ALICE",
        granted_ms=NOW - 5000,
        deadline_ms=NOW + 5000,
        workflow_id="shop",
        proxy_key="miami__fl",
        origin=Origin.RETRY,
        attempt=3,
        plan="p1",
        restartable=True,
    ),
    "home": "h1",
    "used": True,
    "flushed_ms": NOW - 1000,
    "incident": 41,
    "failed_attempts": 2,
    "resume_until_ms": NOW + 9000,
    "resume_plan": "p0",
    "acknowledged": True,
    "evidence_missing": True,
    "touched": True,
}
# The profile's own.
OUTLIVE = {"as_sent", "home", "used", "flushed_ms"}
# Each state's own: said anew.
SAID_ANEW = {"state", "epoch", "since_ms", "holding"}
# The task's, which has ended well, and an incident's.
END = {
    "failed_attempts",
    *("incident", "resume_until_ms", "resume_plan", "acknowledged", "evidence_missing", "touched"),
}


def after(*, waits: bool) -> Record:
    """The record once the hold of FILLED was released, to one who waits or to nobody."""
    world = World()
    world.put(KEYS.epoch, encode(Epoch(number=EPOCH, cluster="c")))
    for worker in "ab":
        world.register(worker)
    creates = {worker: world.kvs[KEYS.worker(worker)].create_revision for worker in "ab"}
    holding = dataclasses.replace(FILLED["holding"], worker_create=creates["a"])
    world.put(KEYS.record(PROFILE), encode(Record(**{**FILLED, "holding": holding})))
    token = tokens.pack(EPOCH, world.revision)
    if waits:
        ask = Ask(
            request_id="2",
            worker="b",
            run_id="r2",
            as_sent="aLICE",
            max_runtime_ms=7000,
            worker_create=creates["b"],
            workflow_id="mail",
            proxy_key="reno__nv",
            home_hint="h2",
            joined_ms=NOW - 100,
            plan="p2",
            restartable=True,
        )
        world.put(KEYS.place(PROFILE, "2"), encode(ask))
    seen = world.see(Sight(keys=KEYS, profile=PROFILE, worker="a", token=token))
    done(world, release.decide(KEYS, PROFILE, seen, Ending(token=token, drained=True), NOW))
    record = world.record()
    assert record is not None
    return record


def test_every_field_has_its_place_and_is_tried() -> None:
    fields = {field.name: field.default for field in dataclasses.fields(Record)}
    assert sorted([*OUTLIVE, *SAID_ANEW, *END]) == sorted(fields), "each in one of them"
    assert set(FILLED) == set(fields)
    assert [name for name, default in fields.items() if FILLED[name] == default] == []


@pytest.mark.parametrize("waits", [True, False], ids=["hand-over", "release"])
def test_of_a_hold_that_ends_the_profiles_own_goes_on_and_the_rest_does_not(*, waits: bool) -> None:
    record = after(waits=waits)
    defaults = {field.name: field.default for field in dataclasses.fields(Record)}
    for name in OUTLIVE:
        assert getattr(record, name) == FILLED[name], name
    for name in END:
        assert getattr(record, name) == defaults[name], name
    state = State.HELD if waits else State.AVAILABLE
    assert (record.state, record.epoch, record.since_ms) == (state, EPOCH, NOW)
    assert (record.holding is not None) is waits


def test_a_hold_that_was_handed_over_is_all_its_askers() -> None:
    given = after(waits=True).holding
    assert given is not None
    told: dict[str, Any] = {
        "worker": "b",
        "worker_create": given.worker_create,
        "request_id": "2",
        "run_id": "r2",
        "as_sent": "aLICE",
        "granted_ms": NOW,
        "deadline_ms": NOW + 7000,
        "workflow_id": "mail",
        "proxy_key": "reno__nv",
        "origin": Origin.NEW,
        "attempt": 1,
        "plan": "p2",
        "restartable": True,
    }
    assert {field.name: getattr(given, field.name) for field in dataclasses.fields(Holding)} == told
