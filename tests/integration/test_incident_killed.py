"""Recovery dies at every step of an incident; the replica that comes after it ends what was begun.

One replica has an incident at each step when it is killed, so that one death is twelve.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from tests.fixtures.incidents import Doomed, crew_on, each_of
from tests.fixtures.pages import plain_site
from tests.fixtures.points import POINTS, Point
from tests.fixtures.services import Replica, services_in

pytestmark = [pytest.mark.timeout(180), pytest.mark.asyncio(loop_scope="module")]


@dataclass
class Scene:
    """Every incident was stopped at its point, its replica killed, and another one started."""

    doomed: dict[Point, Doomed]
    second: Replica
    at_death: dict[Point, list[str]]
    """The profiles' states when the replica was killed."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    folder: Path = tmp_path_factory.mktemp("killed")
    async with services_in(folder) as services, plain_site() as url, crew_on(services, url) as crew:
        first, second = await services.replica(), await services.replica()
        await first.part.start()
        doomed = await crew.doomed_at(POINTS)
        stops = {point: point.stop(first) for point in POINTS}
        await each_of(list(doomed.values()), Doomed.dies)
        for stop in stops.values():
            await stop.reaches()
        at_death = {point: each.way() for point, each in doomed.items()}
        await first.part.kill()
        for stop in stops.values():
            stop.lose()
        await second.part.start()
        yield Scene(doomed, second, at_death)


@pytest.mark.parametrize("point", POINTS, ids=str)
async def test_an_incident_whose_recovery_is_killed_is_decided_once_by_the_next(
    scene: Scene, point: Point
) -> None:
    doomed = scene.doomed[point]
    decided_before = point == Point("RecordDecision", True)
    assert (scene.at_death[point][-1] == "RETRY") == decided_before
    assert await doomed.ended() == "RETRY"
    doomed.assert_decided_once()
    await doomed.assert_waiter_granted_once()
    await doomed.drives()
    await doomed.assert_refused()
    await doomed.assert_evidence_whole(scene.second)
