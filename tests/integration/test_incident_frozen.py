"""The browser host stands still for longer than a proof lasts, in the middle of incidents; then it wakes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import grpc.aio
import pytest
import pytest_asyncio

from tenure.cdp import CdpClosed
from tenure.errors import HoldLost, InvalidField, from_rpc_error
from tenure.fencing import SERVE_S
from tests.fixtures.incidents import Crew, Doomed, crew_on, each_of
from tests.fixtures.pages import plain_site
from tests.fixtures.points import Point
from tests.fixtures.reading import told
from tests.fixtures.services import Replica, Services, services_in

pytestmark = [pytest.mark.timeout(180), pytest.mark.asyncio(loop_scope="module")]

POINTS = [
    Point("QuarantineHold", False),
    Point("QuarantineHold", True),
    Point("QuarantineIncident", False),
    Point("InspectProfile", False),
]
UNTOLD, *ACKNOWLEDGED = POINTS


@dataclass
class Scene:
    """The first old worker sent a frame once the host stood still. `asked`: the paths that the site was."""

    services: Services
    crew: Crew
    recovery: Replica
    doomed: dict[Point, Doomed]
    frame: asyncio.Task[object]
    asked: list[str]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    """The host stands still from each incident's point on."""
    folder: Path = tmp_path_factory.mktemp("host-frozen")
    asked: list[str] = []
    async with services_in(folder) as services, plain_site(asked) as url, crew_on(services, url) as crew:
        recovery = await services.replica()
        await recovery.part.start()
        doomed = await crew.doomed_at(POINTS)
        stops = {point: point.stop(recovery) for point in POINTS}
        await each_of(list(doomed.values()), Doomed.dies)
        for stop in stops.values():
            await stop.reaches()
        services.browserhost.freeze()
        for stop in stops.values():
            stop.go()
        first = doomed[UNTOLD]
        frame = asyncio.create_task(first.page.evaluate("fetch('/frame').then(() => 1)", timeout=120))
        crew.tasks.append(frame)
        yield Scene(services, crew, recovery, doomed, frame, asked)


@pytest.mark.parametrize("point", POINTS, ids=str)
async def test_a_host_that_stands_still_leaves_the_decision_to_a_person(scene: Scene, point: Point) -> None:
    doomed = scene.doomed[point]
    assert await doomed.ended() == "MANUAL_REVIEW"
    doomed.assert_decided_once()
    assert doomed.grants() == 0
    incident = await told(scene.recovery, doomed.incident)
    assert incident.acknowledged == (point in ACKNOWLEDGED)
    assert incident.evidence.missing
    # Without an acknowledgement nothing but time says that the host serves the token no more.
    waited = doomed.moment("QUARANTINED") - doomed.moment("SUSPECTED_STALE")
    assert waited >= SERVE_S or incident.acknowledged


async def test_nobody_frees_a_profile_whose_host_never_acknowledged_without_saying_why_he_may(
    scene: Scene,
) -> None:
    doomed = scene.doomed[UNTOLD]
    assert await doomed.ended() == "MANUAL_REVIEW"
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await scene.crew.free(scene.recovery, doomed)
    refusal = from_rpc_error(refused.value)
    assert isinstance(refusal, InvalidField)
    assert refusal.field == "attest_destroyed"
    assert doomed.grants() == 0


async def test_a_host_that_wakes_acknowledges_late_and_does_nothing_of_what_reached_it_meanwhile(
    scene: Scene,
) -> None:
    history = scene.services.history
    scene.services.browserhost.thaw()
    doomed = scene.doomed[UNTOLD]
    late = f"e/default/{doomed.profile}/"
    await history.until(
        lambda: [each for each in history.of(late) if each.key.endswith("/acknowledged")],
        "the late acknowledgement",
    )
    for doomed in scene.doomed.values():
        await doomed.assert_refused()
        doomed.assert_decided_once()
        assert doomed.grants() == 0
    with pytest.raises((HoldLost, CdpClosed)):
        await scene.frame
    assert "/frame" not in scene.asked


@pytest.mark.parametrize("point", POINTS, ids=str)
async def test_after_the_late_acknowledgement_a_person_frees_it_without_more(
    scene: Scene, point: Point
) -> None:
    doomed = scene.doomed[point]
    await scene.crew.free(scene.recovery, doomed)
    await doomed.assert_waiter_granted_once()
    await doomed.drives()
    await doomed.assert_refused()
    await doomed.assert_evidence_whole(scene.recovery)
