"""Which holds are suspect by themselves; and an operator's word."""

from __future__ import annotations

import pytest

from lockservice.core import revoke
from lockservice.core.hold import hold_seen
from lockservice.core.oversight import suspicion
from lockservice.core.snapshot import Sight, WorkerSeen
from lockservice.core.stored import Worker
from tenure.errors import NotFound, TokenSuperseded
from tenure.names import IncidentName
from tests.lockservice import scenes
from tests.lockservice.worlds import KEYS, NOW, PROFILE, World

WORKER = Worker(tenant="default", lease=1, ttl_s=15, registered_ms=NOW)


@pytest.mark.parametrize(
    ("created", "epoch", "after_ms", "cause"),
    [
        (0, 0, 999, None),
        (0, 0, 1000, "MAX_RUNTIME"),
        (None, 0, 999, "LEASE_ENDED"),
        (1, 0, 999, "LEASE_ENDED"),
        (0, 1, 999, "RESTORED"),
        (None, 1, 1000, "RESTORED"),
    ],
)
def test_a_hold_is_suspect_when_its_worker_its_time_or_its_epoch_is_gone(
    created: int | None, epoch: int, after_ms: int, cause: str | None
) -> None:
    world, _ = scenes.held()
    hold = hold_seen(PROFILE, world.see(Sight(keys=KEYS, profile=PROFILE)))
    assert hold is not None
    worker = None if created is None else WorkerSeen(WORKER, hold.holding.worker_create + created)
    found = suspicion(hold.record, hold.holding, worker, epoch, NOW + after_ms)
    assert (found.cause if found else None) == cause


def decide(world: World, token: int) -> object:
    seen = world.see(Sight(keys=KEYS, profile=PROFILE, token=token))
    return scenes.done(world, revoke.decide(KEYS, PROFILE, seen, token=token, detail="why", now_ms=NOW))


def test_the_current_hold_is_revoked_and_again_is_the_same() -> None:
    world, name = scenes.held()
    seen = world.see(Sight(keys=KEYS, profile=PROFILE))
    assert scenes.done(world, revoke.current(PROFILE, seen)) == name.fencing_token
    assert decide(world, name.fencing_token) == name
    revision = world.revision
    assert decide(world, name.fencing_token) == name
    assert world.revision == revision


def test_nobodys_hold_is_not_the_current_one() -> None:
    world, _ = scenes.in_review()
    for there in (world, World()):
        with pytest.raises(NotFound):
            scenes.done(there, revoke.current(PROFILE, there.see(Sight(keys=KEYS, profile=PROFILE))))


def test_what_is_an_incident_already_stays_that_one() -> None:
    world, name = scenes.in_review()
    assert decide(world, name.fencing_token) == name


def test_a_token_that_nobody_has_revokes_nothing() -> None:
    world, name = scenes.held()
    with pytest.raises(TokenSuperseded):
        decide(world, name.fencing_token + 1)
    with pytest.raises(NotFound):
        decide(World(), IncidentName(PROFILE, 5).fencing_token)
