"""Rule 22, without I/O."""

from __future__ import annotations

import pytest

from lockservice.core import quarantine
from lockservice.core.document import decode
from lockservice.core.record import State
from lockservice.core.stored import Acknowledgement, Quarantine
from tenure.errors import NotFound
from tenure.names import IncidentName
from tests.lockservice import scenes
from tests.lockservice.worlds import KEYS, NOW, PROFILE, World


def decide(world: World, name: IncidentName, *, acknowledged: bool) -> object:
    seen = world.see(quarantine.sight(KEYS, name))
    return scenes.done(world, quarantine.decide(KEYS, name, seen, acknowledged=acknowledged, now_ms=NOW + 5))


@pytest.mark.parametrize("acknowledged", [True, False])
def test_it_is_put_on_record_how_the_old_worker_was_cut_off(acknowledged: bool) -> None:
    world, name = scenes.suspected()
    assert decide(world, name, acknowledged=acknowledged) is State.QUARANTINED
    record = world.record()
    assert record is not None
    assert (record.state, record.acknowledged, record.incident) == (
        State.QUARANTINED,
        acknowledged,
        name.fencing_token,
    )
    stored = decode(Quarantine, world.kvs[KEYS.quarantined(PROFILE, name.fencing_token)].value)
    assert stored == Quarantine(acknowledged=acknowledged, quarantine_ms=NOW + 5)


@pytest.mark.parametrize("first", [True, False])
def test_the_first_one_stays(first: bool) -> None:
    world, name = scenes.quarantined(acknowledged=first)
    before = world.record()
    assert decide(world, name, acknowledged=not first) is State.QUARANTINED
    assert world.record() == before


def test_a_late_acknowledgement_is_stored_once_beside_the_record() -> None:
    world, name = scenes.in_review(acknowledged=False)
    etag = world.see(quarantine.sight(KEYS, name)).mod
    assert decide(world, name, acknowledged=True) is State.MANUAL_REVIEW
    seen = world.see(quarantine.sight(KEYS, name))
    assert seen.mod == etag
    found = seen.found(0)
    assert found is not None
    assert decode(Acknowledgement, found.value).acknowledge_ms == NOW + 5
    revision = world.revision
    decide(world, name, acknowledged=True)
    assert world.revision == revision


def test_what_was_never_suspected_is_not_quarantined() -> None:
    world, name = scenes.held()
    with pytest.raises(NotFound):
        decide(world, name, acknowledged=True)
