"""Rule 20, without I/O; and what goes wrong without its compares."""

from __future__ import annotations

import dataclasses

import pytest

from lockservice.core import move
from lockservice.core.decision import Decision, Write
from lockservice.core.document import decode, encode
from lockservice.core.move import Wanted
from lockservice.core.record import FREE, Holding, Record, State
from lockservice.core.stored import Move
from tenure.errors import (
    HostUnreachable,
    InvalidField,
    NotFound,
    ProfileBusy,
    ProfileDisabled,
    ProfileInReview,
    ProfileQuarantined,
    ResumePending,
    TenureError,
)
from tests.lockservice import scenes
from tests.lockservice.worlds import KEYS, NOW, PROFILE, World

HOLDING = Holding(
    worker="w",
    worker_create=1,
    request_id="1",
    run_id="r",
    as_sent="alice",
    granted_ms=NOW,
    deadline_ms=NOW + 1,
    workflow_id="shop",
)
LIVES = Record(
    state=State.AVAILABLE, epoch=0, since_ms=NOW - 5, as_sent="alice", home="a", used=True, flushed_ms=NOW - 9
)
ATTESTED = {"digest": "", "attested": True}


def at_a(record: Record = LIVES, alive: str = "ab") -> World:
    """A profile at home at host a, and hosts that live."""
    world = World()
    for host in alive:
        world.put(KEYS.host(host), b"{}", lease=ord(host))
    world.put(KEYS.record(PROFILE), encode(record))
    return world


def wanted(world: World, **changes: object) -> Wanted:
    found = world.kvs.get(KEYS.record(PROFILE))
    base = Wanted(
        revision=found.mod_revision if found else 1, to="b", reason="a is full", by="ann", digest="d"
    )
    return dataclasses.replace(base, **changes)  # type: ignore[arg-type]


def decided(world: World, asked: Wanted) -> Decision[int]:
    seen = world.see(move.sight(KEYS, PROFILE, asked, "a"))
    return move.decide(KEYS, PROFILE, seen, asked, NOW)


def moved(world: World, **changes: object) -> int:
    """Move, and return mod(p)."""
    revision = scenes.done(world, decided(world, wanted(world, **changes)))
    assert isinstance(revision, int)
    return revision


def on_record(world: World, revision: int) -> Move:
    return decode(Move, world.kvs[KEYS.move(PROFILE, revision)].value)


@pytest.mark.parametrize("state", sorted(FREE, key=str))
def test_a_free_profile_changes_nothing_but_its_home(state: State) -> None:
    before = dataclasses.replace(LIVES, state=state)
    world = at_a(before)
    asked = wanted(world)
    assert moved(world) == world.revision == asked.revision + 1
    assert world.record() == dataclasses.replace(before, home="b")
    assert on_record(world, asked.revision) == Move(
        source="a", to="b", reason="a is full", by="ann", move_ms=NOW, digest="d"
    )


def test_the_same_again_answers_and_writes_nothing() -> None:
    world = at_a()
    asked = wanted(world)
    revision = moved(world)
    assert scenes.unchanged(decided(world, asked)) == revision


@pytest.mark.parametrize(
    ("state", "error"),
    [
        (State.HELD, ProfileBusy),
        (State.SUSPECTED_STALE, ProfileQuarantined),
        (State.QUARANTINED, ProfileQuarantined),
        (State.INSPECTED, ProfileQuarantined),
        (State.MANUAL_REVIEW, ProfileInReview),
        (State.RESUME_PENDING, ResumePending),
        (State.DISABLED, ProfileDisabled),
    ],
)
@pytest.mark.parametrize("changes", [{}, ATTESTED])
def test_what_is_not_free_stays_where_it_is(
    state: State, error: type[TenureError], changes: dict[str, object]
) -> None:
    world = at_a(dataclasses.replace(LIVES, state=state, holding=HOLDING, incident=3), alive="b")
    refusal = scenes.refused(decided(world, wanted(world, **changes)))
    assert type(refusal) is error
    assert not isinstance(refusal, ProfileBusy) or refusal.holder_run_id == "r"


def test_a_profile_that_was_held_since_is_not_moved() -> None:
    world = at_a()
    asked = wanted(world)
    world.change_record(flushed_ms=NOW)
    refusal = scenes.refused(decided(world, asked))
    assert isinstance(refusal, InvalidField)
    assert refusal.field == "revision"


def test_a_profile_that_was_never_stored_is_not_found() -> None:
    world = World()
    assert isinstance(scenes.refused(decided(world, wanted(world))), NotFound)


def test_the_new_home_must_be_alive() -> None:
    world = at_a(alive="a")
    assert isinstance(scenes.refused(decided(world, wanted(world))), HostUnreachable)


def test_a_used_profile_takes_its_directory_along() -> None:
    world = at_a()
    refusal = scenes.refused(decided(world, wanted(world, digest="")))
    assert isinstance(refusal, InvalidField)
    assert refusal.field == "digest"
    # One that no browser ever ran on has none.
    world = at_a(dataclasses.replace(LIVES, used=False))
    moved(world, digest="")
    # Nor has one that never had a home.
    world = at_a(dataclasses.replace(LIVES, home=""))
    moved(world, digest="")


def test_an_attested_move_is_refused_while_the_old_home_lives() -> None:
    world = at_a()
    refusal = scenes.refused(decided(world, wanted(world, **ATTESTED)))
    assert isinstance(refusal, InvalidField)
    assert refusal.field == "attest_destroyed"
    world = at_a(alive="b")
    asked = wanted(world, **ATTESTED)
    moved(world, **ATTESTED)
    record, noted = world.record(), on_record(world, asked.revision)
    assert record is not None
    # So the next open finds the directory missing, and starts nothing empty.
    assert (record.home, record.used) == ("b", True)
    assert (noted.attested, noted.digest) == (True, "")


# --- the compares, each with the mutant that forgets it -------------------------------------------


def overtaken(world: World, asked: Wanted, happens: str) -> bool:
    """Whether a move that was decided still applies after something came before it."""
    write = decided(world, asked)
    match happens:
        case "a grant":
            world.change_record(state=State.HELD, holding=HOLDING)
        case "a restore":
            world.put(KEYS.epoch, world.kvs[KEYS.epoch].value)
        case "the new home dies":
            del world.kvs[KEYS.host("b")]
        case "the old home lives":
            world.put(KEYS.host("a"), b"{}", lease=7)
        case "the same move":
            world.put(KEYS.move(PROFILE, asked.revision), b"{}")
    assert isinstance(write, Write)
    return world.apply(write)


CASES = [
    ("a grant", "ab", {}, b"/p/"),
    ("a restore", "ab", {}, b"epoch"),
    ("the new home dies", "ab", {}, b"/h/b"),
    ("the old home lives", "b", ATTESTED, b"/h/a"),
    ("the same move", "ab", {}, b"/m/"),
]


@pytest.mark.parametrize(("happens", "alive", "changes", "guard"), CASES)
@pytest.mark.parametrize("mutant", [False, True])
def test_a_move_that_was_overtaken_does_not_apply_and_without_its_compare_does(
    happens: str, alive: str, changes: dict[str, object], guard: bytes, mutant: bool
) -> None:
    world = at_a(alive=alive)
    world.ignored = (guard,) if mutant else ()
    assert overtaken(world, wanted(world, **changes), happens) is mutant
