"""Cordons and drains, without I/O."""

from __future__ import annotations

import pytest

from lockservice.core import schedule
from lockservice.core.decision import Decision, Write
from lockservice.core.document import Unreadable, encode
from lockservice.core.schedule import CORDONED, DRAINING, READY
from lockservice.core.stored import Schedule
from tenure.errors import NotFound
from tenure.etcdwire.v1 import etcdwire_pb2 as wire
from tests.lockservice import scenes
from tests.lockservice.worlds import KEYS, NOW, World


def with_hosts(*alive: str) -> World:
    world = World()
    for host in alive:
        world.put(KEYS.host(host), b"{}")
    return world


def by(who: str, state: str) -> Schedule:
    return Schedule(state=state, by=who, since_ms=NOW)


def decided(world: World, host: str, wanted: Schedule) -> Decision[Schedule]:
    rows = [world._range(op.message()) for op in schedule.reads(KEYS, host)]
    answers = [wire.ResponseOp(response_range=wire.RangeResponse(kvs=kvs)) for kvs in rows]
    return schedule.decide(KEYS, host, schedule.seen(answers), wanted)


def scheduled(world: World, host: str, wanted: Schedule) -> object:
    return scenes.done(world, decided(world, host, wanted))


def test_whoever_said_it_first_stays_on_record() -> None:
    world = with_hosts("a")
    first = by("ann", CORDONED)
    assert scheduled(world, "a", first) == first
    assert scenes.unchanged(decided(world, "a", by("bob", CORDONED))) == first
    assert world.kvs[KEYS.schedule("a")].value == encode(first)


def test_a_host_goes_from_each_state_to_each_other() -> None:
    world = with_hosts("a")
    for state in (CORDONED, DRAINING, CORDONED, READY, DRAINING, READY):
        assert scheduled(world, "a", by(state, state)) == by(state, state)
    # Who took it back is on record too.
    assert world.kvs[KEYS.schedule("a")].value == encode(by(READY, READY))


@pytest.mark.parametrize("state", [CORDONED, DRAINING])
def test_a_host_that_is_not_alive_is_not_cordoned_but_stays_so(state: str) -> None:
    world = with_hosts("a")
    assert isinstance(scenes.refused(decided(world, "b", by("ann", state))), NotFound)
    first = scheduled(world, "a", by("ann", state))
    del world.kvs[KEYS.host("a")]
    assert scenes.unchanged(decided(world, "a", by("bob", state))) == first


def test_a_cordon_is_taken_back_from_a_dead_host_and_from_no_unknown_one() -> None:
    world = with_hosts("a")
    scheduled(world, "a", by("ann", CORDONED))
    del world.kvs[KEYS.host("a")]
    assert scheduled(world, "a", by("bob", READY)) == by("bob", READY)
    assert isinstance(scenes.refused(decided(world, "b", by("ann", READY))), NotFound)


def test_a_host_that_nobody_ever_cordoned_is_ready_without_a_write() -> None:
    assert scenes.unchanged(decided(with_hosts("a"), "a", by("ann", READY))) == by("ann", READY)


@pytest.mark.parametrize(
    ("overtaken_by", "guard"), [("another", b"/x/"), ("a restore", b"epoch"), ("its end", b"/h/")]
)
@pytest.mark.parametrize("mutant", [False, True])
def test_what_came_before_stops_it_and_without_its_compare_does_not(
    overtaken_by: str, guard: bytes, mutant: bool
) -> None:
    world = with_hosts("a")
    world.ignored = (guard,) if mutant else ()
    write = decided(world, "a", by("ann", CORDONED))
    assert isinstance(write, Write)
    match overtaken_by:
        case "another":
            world.put(KEYS.schedule("a"), encode(by("bob", DRAINING)))
        case "a restore":
            world.put(KEYS.epoch, world.kvs[KEYS.epoch].value)
        case _:
            del world.kvs[KEYS.host("a")]
    assert world.apply(write) is mutant


@pytest.mark.parametrize("stored", [b'{"v":1,"state":"ASLEEP","by":"ann","since_ms":1}', b'{"v":2}'])
def test_what_a_newer_replica_said_of_a_host_is_not_understood_by_half(stored: bytes) -> None:
    world = with_hosts("a")
    world.put(KEYS.schedule("a"), stored)
    with pytest.raises(Unreadable, match="upgrade"):
        decided(world, "a", by("ann", READY))
