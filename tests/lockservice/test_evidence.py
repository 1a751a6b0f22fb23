"""Rule 9, the host's evidence, without I/O."""

from __future__ import annotations

from lockservice.core import evidence
from tenure.names import IncidentName
from tests.lockservice import scenes
from tests.lockservice.worlds import KEYS, PROFILE, World, written


def add(world: World, name: IncidentName, *items: tuple[str, bytes]) -> bool:
    return world.apply(written(evidence.add(KEYS, name, items)))


def stored(world: World, name: IncidentName) -> dict[str, bytes]:
    start = KEYS.host_items(PROFILE, name.fencing_token).start
    return {key[len(start) :].decode(): kv.value for key, kv in world.kvs.items() if key.startswith(start)}


def test_each_item_is_stored_once_at_any_time_before_the_decision() -> None:
    for world, name in (scenes.suspected(), scenes.quarantined(), scenes.looked_at()):
        assert add(world, name, ("1", b"one"))
        assert add(world, name, ("1", b"other"), ("2", b"two"))
        assert stored(world, name) == {"1": b"one", "2": b"two"}


def test_there_is_none_after_it_nor_of_what_is_no_incident() -> None:
    for world, name in (scenes.in_review(), scenes.held()):
        assert not add(world, name, ("1", b"one"))
        assert not stored(world, name)
