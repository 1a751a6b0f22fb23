"""The lock service dies as it makes a hold suspect, before that write and after it; the write comes late."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from tests.fixtures.incidents import Crew, Doomed, crew_on, each_of
from tests.fixtures.pages import plain_site
from tests.fixtures.services import Replica, services_in
from tests.fixtures.wire import Stop

pytestmark = [pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="module")]

MOMENTS = ("before", "after")


@dataclass
class Scene:
    crew: Crew
    recovery: Replica
    doomed: dict[str, Doomed]
    stops: dict[str, Stop]
    at_death: dict[str, list[str]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    folder: Path = tmp_path_factory.mktemp("suspect")
    async with (
        services_in(folder, gated_store=True) as services,
        plain_site() as url,
        crew_on(services, url) as crew,
    ):
        recovery = await services.replica()
        await recovery.part.start()
        # A call that waits is cut when its server dies, so nobody waits here.
        doomed = {moment: await crew.doomed(moment, waited_for=False) for moment in MOMENTS}
        stops = {
            moment: services.to_store.stop("Txn", f"/i/default/{moment}/", once_answered=moment == "after")
            for moment in MOMENTS
        }
        await each_of(list(doomed.values()), Doomed.dies)
        for stop in stops.values():
            await stop.reaches()
        at_death = {moment: each.way() for moment, each in doomed.items()}
        await services.lockservice.kill()
        stops["after"].lose()
        await services.lockservice.start()
        yield Scene(crew, recovery, doomed, stops, at_death)


@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_hold_that_was_being_made_suspect_is_one_incident(scene: Scene, moment: str) -> None:
    doomed, stop = scene.doomed[moment], scene.stops[moment]
    assert scene.at_death[moment] == ([] if moment == "before" else ["SUSPECTED_STALE"])
    # The dead one's write arrives first, or after the decision; and then once more.
    stop.go()
    assert await doomed.ended() == "RETRY"
    before = doomed.way()
    await stop.again()
    assert doomed.way() == before
    doomed.assert_decided_once()
    await doomed.assert_refused()
    await doomed.assert_evidence_whole(scene.recovery)
    await scene.crew.leave(doomed)
    assert doomed.grants() == 1
