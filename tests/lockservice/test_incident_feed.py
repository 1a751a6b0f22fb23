"""Who follows incidents hears a level: what there is, then what changes, the last state of each."""

from __future__ import annotations

import asyncio
import dataclasses

from lockservice.core.document import encode
from lockservice.core.record import State
from lockservice.incident_feed import IncidentFeed
from lockservice.mirror import Mirror, Touched
from tenure.etcdwire.v1 import etcdwire_pb2 as wire
from tenure.names import IncidentName, ProfileName
from tests.lockservice.test_states import holding, record
from tests.lockservice.worlds import KEYS

ALICE, BOB = ProfileName("t", "alice"), ProfileName("u", "bob")


def changed(
    mirror: Mirror,
    profile: ProfileName,
    state: State,
    revision: int,
    incident: int = 7,
    acknowledged: bool = True,
) -> list[Touched]:
    stored = record(state, holding("1"))
    if stored.incident:
        stored = dataclasses.replace(stored, incident=incident, acknowledged=acknowledged)
    kv = wire.KeyValue(key=KEYS.record(profile), value=encode(stored), mod_revision=revision)
    return mirror.apply([wire.Event(kv=kv)])


def name(profile: ProfileName, token: int = 7) -> IncidentName:
    return IncidentName(profile, token)


async def test_what_there_is_then_each_change_once_and_the_end() -> None:
    mirror = Mirror(KEYS)
    feed = IncidentFeed(mirror)
    changed(mirror, ALICE, State.QUARANTINED, 5)
    changed(mirror, BOB, State.MANUAL_REVIEW, 6)
    told = feed.follow()
    assert [await anext(told) for _ in range(2)] == [(name(ALICE), State.QUARANTINED), None]
    waiting = asyncio.ensure_future(anext(told))
    # Own news a second time, something that needs no work, then a change.
    feed.look_at(changed(mirror, ALICE, State.QUARANTINED, 7))
    feed.look_at(changed(mirror, BOB, State.AVAILABLE, 8))
    feed.look_at(changed(mirror, ALICE, State.INSPECTED, 9))
    assert await waiting == (name(ALICE), State.INSPECTED)
    # Two changes before anybody listens: the last one counts.
    feed.look_at(changed(mirror, BOB, State.SUSPECTED_STALE, 10, 9))
    feed.look_at(changed(mirror, BOB, State.QUARANTINED, 11, 9))
    assert await anext(told) == (name(BOB, 9), State.QUARANTINED)
    feed.close()
    assert [each async for each in told] == []


async def test_one_that_is_closed_tells_what_there_is_and_ends() -> None:
    mirror = Mirror(KEYS)
    changed(mirror, ALICE, State.SUSPECTED_STALE, 5)
    feed = IncidentFeed(mirror)
    feed.close()
    assert [each async for each in feed.follow()] == [(name(ALICE), State.SUSPECTED_STALE), None]


async def test_a_review_without_an_acknowledgement_still_needs_one() -> None:
    mirror = Mirror(KEYS)
    changed(mirror, ALICE, State.MANUAL_REVIEW, 5, acknowledged=False)
    feed = IncidentFeed(mirror)
    told = feed.follow()
    assert [await anext(told) for _ in range(2)] == [(name(ALICE), State.MANUAL_REVIEW), None]
    feed.look_at(changed(mirror, ALICE, State.AVAILABLE, 6))
    feed.look_at(changed(mirror, BOB, State.MANUAL_REVIEW, 7, acknowledged=False))
    assert await anext(told) == (name(BOB), State.MANUAL_REVIEW)
    feed.close()
    assert [each async for each in told] == []
