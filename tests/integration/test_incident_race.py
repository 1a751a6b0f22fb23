"""Two recovery replicas at work on the same incidents: in step, and as it comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from tests.fixtures.incidents import Crew, Doomed, crew_on, each_of
from tests.fixtures.pages import plain_site
from tests.fixtures.points import STEPS, Point
from tests.fixtures.reading import told
from tests.fixtures.services import Replica, services_in

pytestmark = [pytest.mark.timeout(180), pytest.mark.asyncio(loop_scope="module")]

FREE_FOR_ALL = 6


@dataclass
class Scene:
    crew: Crew
    replicas: tuple[Replica, Replica]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    folder: Path = tmp_path_factory.mktemp("race")
    async with services_in(folder) as services, plain_site() as url, crew_on(services, url) as crew:
        replicas = (await services.replica(), await services.replica())
        await asyncio.gather(*(replica.part.start() for replica in replicas))
        yield Scene(crew, replicas)


async def over(scene: Scene, doomed: Doomed) -> None:
    assert await doomed.ended() == "RETRY"
    doomed.assert_decided_once()
    await doomed.assert_waiter_granted_once()
    await doomed.drives()
    await doomed.assert_refused()
    await doomed.assert_evidence_whole(scene.replicas[0])
    one, other = [await told(replica, doomed.incident) for replica in scene.replicas]
    assert one == other


@pytest.mark.parametrize("method", STEPS)
async def test_two_replicas_that_take_a_step_in_the_same_moment_take_it_once(
    scene: Scene, method: str
) -> None:
    point = Point(method, once_answered=False)
    doomed = await scene.crew.doomed(point.profile)
    stops = [point.stop(replica) for replica in scene.replicas]
    await doomed.dies()
    for stop in stops:
        await stop.reaches()
    for stop in stops:
        stop.go()
    await over(scene, doomed)


async def test_of_many_incidents_at_once_each_is_decided_once(scene: Scene) -> None:
    crowd = [await scene.crew.doomed(f"crowd-{number}") for number in range(FREE_FOR_ALL)]
    await each_of(crowd, Doomed.dies)
    await each_of(crowd, lambda doomed: over(scene, doomed))


async def test_one_who_touched_nothing_leaves_the_profile_available_to_the_one_who_waits(
    scene: Scene,
) -> None:
    doomed = await scene.crew.doomed("untouched", touches=False)
    await doomed.dies()
    assert await doomed.ended() == "AVAILABLE"
    doomed.assert_decided_once()
    await doomed.assert_waiter_granted_once()
    await doomed.drives()
    await doomed.assert_refused()


async def test_one_who_died_in_a_sensitive_step_leaves_the_one_who_waits_waiting(scene: Scene) -> None:
    doomed = await scene.crew.doomed("sensitive", sensitive=True)
    await doomed.dies()
    assert await doomed.ended() == "MANUAL_REVIEW"
    doomed.assert_decided_once()
    await doomed.assert_refused()
    assert doomed.grants() == 0
    await scene.crew.free(scene.replicas[0], doomed)
    await doomed.assert_waiter_granted_once()
    await doomed.drives()
    await doomed.assert_refused()
