"""The browser host is killed in the middle of incidents, one at every step, and comes back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from tests.fixtures.incidents import Crew, Doomed, crew_on, each_of
from tests.fixtures.pages import plain_site
from tests.fixtures.points import POINTS as EVERY_POINT
from tests.fixtures.points import Point
from tests.fixtures.services import Replica, Services, services_in

pytestmark = [pytest.mark.timeout(180), pytest.mark.asyncio(loop_scope="module")]

# Once it is decided the incident is over: what a host's death does then is another one's beginning.
POINTS = EVERY_POINT[:-1]
# What the host told, its death does not take away. A new process of it saw nothing, so it cannot vouch.
TOLD = POINTS[POINTS.index(Point("InspectProfile", True)) :]


@dataclass
class Scene:
    services: Services
    crew: Crew
    recovery: Replica
    doomed: dict[Point, Doomed]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def killed(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    """The host was killed while each incident was stopped at its point, and is back when it goes on."""
    folder: Path = tmp_path_factory.mktemp("host-killed")
    async with services_in(folder) as services, plain_site() as url, crew_on(services, url) as crew:
        recovery = await services.replica()
        await recovery.part.start()
        doomed = await crew.doomed_at(POINTS)
        stops = {point: point.stop(recovery) for point in POINTS}
        await each_of(list(doomed.values()), Doomed.dies)
        for stop in stops.values():
            await stop.reaches()
        await services.browserhost.kill()
        await services.start_host()
        for stop in stops.values():
            stop.go()
        yield Scene(services, crew, recovery, doomed)


@pytest.mark.parametrize("point", POINTS, ids=str)
async def test_a_host_that_is_killed_amid_an_incident_costs_no_evidence_that_it_told(
    killed: Scene, point: Point
) -> None:
    doomed = killed.doomed[point]
    outcome = await doomed.ended()
    assert outcome == ("RETRY" if point in TOLD else "MANUAL_REVIEW")
    doomed.assert_decided_once()
    await doomed.assert_refused()
    await doomed.assert_evidence_whole(killed.recovery)
    if outcome == "MANUAL_REVIEW":
        assert doomed.grants() == 0
        await killed.crew.free(killed.recovery, doomed)
    await doomed.assert_waiter_granted_once()
    await doomed.drives()
    await doomed.assert_refused()
