"""Recovery stands still at every step of an incident while another replica ends it; then its words come late.

The one who waited for the profile drives it by then, and must not notice: neither of the calls that the
frozen replica had under way, nor of copies of them, nor of what it does when it goes on.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
import pytest_asyncio

from tests.fixtures.history import Written
from tests.fixtures.incidents import Crew, Doomed, crew_on, each_of
from tests.fixtures.pages import plain_site
from tests.fixtures.points import POINTS, Point
from tests.fixtures.services import Replica, Services, services_in
from tests.fixtures.wire import Stop

pytestmark = [pytest.mark.timeout(180), pytest.mark.asyncio(loop_scope="module")]

# What a late call may be told: that it was done, by whomever, or that it is too late for it.
_FINE = (grpc.StatusCode.OK, grpc.StatusCode.ABORTED, grpc.StatusCode.FAILED_PRECONDITION)


@dataclass
class Scene:
    """Two replicas; every incident was stopped in the first one at its point, and that one frozen."""

    services: Services
    crew: Crew
    first: Replica
    second: Replica
    doomed: dict[Point, Doomed]
    stops: dict[Point, Stop]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    folder: Path = tmp_path_factory.mktemp("late")
    async with services_in(folder) as services, plain_site() as url, crew_on(services, url) as crew:
        first, second = await services.replica(), await services.replica()
        await first.part.start()
        doomed = await crew.doomed_at(POINTS)
        stops = {point: point.stop(first) for point in POINTS}
        await each_of(list(doomed.values()), Doomed.dies)
        for stop in stops.values():
            await stop.reaches()
        first.part.freeze()
        await second.part.start()
        yield Scene(services, crew, first, second, doomed, stops)


def about(scene: Scene, profile: str) -> list[Written]:
    """All that was ever written about a profile; not of the workers that come and go."""
    return [each for each in scene.services.history.written if f"/{profile}" in each.key]


async def test_the_other_replica_decides_each_of_them_once(scene: Scene) -> None:
    for doomed in scene.doomed.values():
        assert await doomed.ended() == "RETRY"
        doomed.assert_decided_once()
        await doomed.assert_waiter_granted_once()


@pytest.mark.parametrize("point", POINTS, ids=str)
async def test_a_call_that_comes_after_the_decision_changes_nothing(scene: Scene, point: Point) -> None:
    doomed, stop = scene.doomed[point], scene.stops[point]
    await doomed.assert_waiter_granted_once()
    before = about(scene, point.profile)
    assert await stop.again() in _FINE
    stop.go()
    await stop.ends()
    assert await stop.again() in _FINE
    assert about(scene, point.profile) == before
    await doomed.drives()
    await doomed.assert_refused()


async def test_the_replica_that_goes_on_finds_its_work_done(scene: Scene) -> None:
    before = {point: about(scene, point.profile) for point in POINTS}
    scene.first.part.thaw()
    # One more incident, which the second replica cannot decide: so the first is back at work.
    await scene.second.part.kill()
    last = await scene.crew.doomed("last", waited_for=False)
    await last.dies()
    assert await last.ended() == "RETRY"
    last.assert_decided_once()
    for point, doomed in scene.doomed.items():
        assert about(scene, point.profile) == before[point]
        doomed.assert_decided_once()
        await doomed.assert_waiter_granted_once()
        await doomed.drives()
        await doomed.assert_refused()
        await doomed.assert_evidence_whole(scene.first)
