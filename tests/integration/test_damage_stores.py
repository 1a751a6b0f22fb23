"""Profiles with a login whose browser is killed, and then damaged in every way that we know of.

Recovery is stopped before it inspects, the damage is done, and it goes on: what it finds, what it decides,
and that the directory is left byte for byte as it was found.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from tenure.demo.site import DemoSite
from tenure.errors import ProfileInReview
from tenure.v1.incident_pb2 import Outcome
from tenure.v1.session_service_pb2 import OpenSessionRequest, ShutdownBrowserRequest
from tests.fixtures.census import browser_of, gone, kill, profile_dir, until
from tests.fixtures.damage import DAMAGES, LOCAL_STORAGE, Fingerprint, fingerprint
from tests.fixtures.faults import who
from tests.fixtures.incidents import Crew, Doomed, crew_on, each_of
from tests.fixtures.reading import told
from tests.fixtures.services import Replica, Services, services_in

pytestmark = [pytest.mark.timeout(180), pytest.mark.asyncio(loop_scope="module")]

BASKET = 4_500_000
"""Characters: more than localStorage keeps in a log without a table, less than an origin may store."""
NAMES = {damage: damage.replace(" ", "_") for damage in DAMAGES}


@dataclass
class Scene:
    """Every profile was damaged, inspected and decided on. `before`: its fingerprint as it was damaged."""

    services: Services
    crew: Crew
    recovery: Replica
    doomed: dict[str, Doomed]
    before: dict[str, Fingerprint]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    folder: Path = tmp_path_factory.mktemp("damage")
    async with (
        services_in(folder) as services,
        DemoSite() as site,
        crew_on(services, site.url) as crew,
    ):
        recovery = await services.replica()
        await recovery.part.start()
        each = await asyncio.gather(*(signed_in(crew, name) for name in NAMES.values()))
        doomed = dict(zip(NAMES, each, strict=True))
        await each_of(each, Doomed.flushed)
        stops = {
            damage: recovery.to_host.stop("InspectProfile", f"profiles/{name}")
            for damage, name in NAMES.items()
        }
        browsers = [browser_of(services, name) for name in NAMES.values()]
        for browser in browsers:
            kill(browser.chrome)
        await gone(process for browser in browsers for process in browser.everything)
        for stop in stops.values():
            await stop.reaches()
        before = {}
        for damage, name in NAMES.items():
            directory = profile_dir(services, name)
            await asyncio.to_thread(DAMAGES[damage].do, directory)
            before[damage] = fingerprint(directory)
        for stop in stops.values():
            stop.go()
        yield Scene(services, crew, recovery, doomed, before)


async def signed_in(crew: Crew, name: str) -> Doomed:
    """A worker that signed in, amid a restartable task."""
    doomed = await crew.doomed(name, start="/sign-in", touches=False, waited_for=False)
    if "table" in name:
        doomed = await with_a_table(crew, doomed)
    await doomed.signs_in()
    return doomed


async def with_a_table(crew: Crew, doomed: Doomed) -> Doomed:
    """The same on a browser that found so much in its log of localStorage that it made a table of it."""
    await doomed.page.evaluate(f"localStorage.setItem('basket', 'x'.repeat({BASKET}))")
    name, token = doomed.profile, doomed.token
    tables = profile_dir(crew.services, name) / LOCAL_STORAGE
    # A first write lands after 5 s; a browser that is closed on a busy machine may be ended before it wrote.
    await until(
        lambda: any(log.stat().st_size > BASKET for log in tables.glob("*.log")), "the basket is on disk"
    )
    await crew.call(ShutdownBrowserRequest(profile=name, fencing_token=token))
    request = OpenSessionRequest(profile=name, fencing_token=token, start_url=f"{crew.url}/sign-in")
    opened = await crew.call(request)
    page = await crew.attach(opened.session.cdp_url)
    # Chrome opens the store when somebody asks for it, and answers once it has.
    assert await page.evaluate("localStorage.getItem('basket').length") == BASKET
    await until(lambda: any(tables.glob("*.ldb")), "localStorage has a table")
    return dataclasses.replace(doomed, page=page)


@pytest.mark.parametrize("damage", DAMAGES)
async def test_damage_is_found_and_goes_to_a_person_and_nothing_is_altered(scene: Scene, damage: str) -> None:
    doomed, expected = scene.doomed[damage], DAMAGES[damage]
    outcome = await doomed.ended()
    incident = await told(scene.recovery, doomed.incident)
    evidence = incident.evidence
    assert evidence.directory == expected.directory, incident
    assert any(expected.finding in finding for finding in evidence.findings), evidence.findings
    assert not evidence.browser_alive
    assert outcome == ("RETRY" if expected.harmless else "MANUAL_REVIEW"), incident.decision.reason
    assert incident.decision.outcome == Outcome.Value(f"OUTCOME_{outcome}")
    doomed.assert_decided_once()
    directory = profile_dir(scene.services, doomed.profile)
    assert fingerprint(directory) == scene.before[damage]
    if expected.harmless:
        # The login, which the host had flushed before the kill, among them.
        assert evidence.cookies == 1
        await signed_in_still(scene, doomed)
    else:
        request = OpenSessionRequest(profile=doomed.profile, worker=await scene.crew.worker())
        assert isinstance(await scene.crew.refusal(request), ProfileInReview)
        assert fingerprint(directory) == scene.before[damage]


async def signed_in_still(scene: Scene, doomed: Doomed) -> None:
    request = OpenSessionRequest(
        profile=doomed.profile, worker=await scene.crew.worker(), start_url=f"{scene.crew.url}/account"
    )
    opened = await scene.crew.call(request)
    assert opened.hold.attempt == 2
    page = await scene.crew.attach(opened.session.cdp_url)
    assert await who(page) == doomed.profile
