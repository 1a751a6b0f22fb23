"""Chrome is killed half a second, five seconds and thirty-five seconds after a sign-in.

Chrome by itself writes cookies after 30 s; the host has it write them after each navigation. So the login
is lost only with a host's acknowledgement that says so, and recovery frees the profile either way: what is
on disk is sound. The three wait side by side.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from tenure.demo.site import COOKIE, DemoSite
from tenure.v1.incident_pb2 import DirectoryFinding, SuspicionCause
from tests.fixtures.census import browser_of, gone, kill, profile_dir
from tests.fixtures.damage import Fingerprint, fingerprint
from tests.fixtures.faults import LOGGED_IN_AT, logins_on_disk, who
from tests.fixtures.incidents import Doomed, crew_on
from tests.fixtures.reading import told
from tests.fixtures.services import Replica, Services, services_in

pytestmark = [pytest.mark.timeout(180), pytest.mark.asyncio(loop_scope="module")]

SECONDS = (0.5, 5.0, 35.0)


@dataclass
class Killed:
    """What was left of one: whether the host had told that the login was on disk, and what was there."""

    doomed: Doomed
    acknowledged: bool
    logins: list[tuple[str, str]]
    at_death: Fingerprint
    at_decision: Fingerprint


@dataclass
class Scene:
    recovery: Replica
    killed: dict[float, Killed]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    folder: Path = tmp_path_factory.mktemp("kills")
    async with (
        services_in(folder) as services,
        DemoSite() as site,
        crew_on(services, site.url) as crew,
    ):
        recovery = await services.replica()
        await recovery.part.start()
        doomed = {
            seconds: await crew.doomed(f"after-{seconds}", start="/sign-in", touches=False)
            for seconds in SECONDS
        }
        ends = [ended(services, recovery, each, seconds) for seconds, each in doomed.items()]
        killed = await asyncio.gather(*ends)
        yield Scene(recovery, dict(zip(SECONDS, killed, strict=True)))


async def ended(services: Services, recovery: Replica, doomed: Doomed, seconds: float) -> Killed:
    """Sign in, kill Chrome so many seconds later, and follow it to its decision."""
    name, directory = f"profiles/{doomed.profile}", profile_dir(services, doomed.profile)
    inspecting = recovery.to_host.stop("InspectProfile", name)
    deciding = recovery.to_lock.stop("RecordDecision", name)
    browser = browser_of(services, doomed.profile)
    await doomed.signs_in()
    login = float(await doomed.page.evaluate(LOGGED_IN_AT)) / 1000
    await moment(seconds)
    flushed_at = await doomed.flushed_at()
    kill(browser.chrome)
    await gone(browser.everything)
    await inspecting.reaches()
    at_death = fingerprint(directory)
    inspecting.go()
    await deciding.reaches()
    at_decision = fingerprint(directory)
    logins = logins_on_disk(directory)
    deciding.go()
    return Killed(doomed, flushed_at >= login, logins, at_death, at_decision)


async def moment(seconds: float) -> None:
    """Let real time pass: there is no event in what is to be shown, only Chrome's own timers."""
    loop = asyncio.get_running_loop()
    passed = loop.create_future()
    loop.call_later(seconds, passed.set_result, None)
    await passed


@pytest.mark.parametrize("seconds", SECONDS)
async def test_a_profile_whose_chrome_is_killed_is_found_sound_and_started_over(
    scene: Scene, seconds: float
) -> None:
    killed, doomed = scene.killed[seconds], scene.killed[seconds].doomed
    assert await doomed.ended() == "RETRY"
    doomed.assert_decided_once()
    incident = await told(scene.recovery, doomed.incident)
    evidence = incident.evidence
    assert incident.cause == SuspicionCause.SUSPICION_CAUSE_BROWSER_LOST
    assert evidence.directory == DirectoryFinding.DIRECTORY_FINDING_UNCLEAN_CONSISTENT, evidence
    assert (evidence.browser_alive, evidence.cookies) == (False, len(killed.logins))
    assert killed.at_decision == killed.at_death
    await doomed.assert_waiter_granted_once()
    await doomed.assert_refused()
    await doomed.assert_evidence_whole(scene.recovery)


@pytest.mark.parametrize("seconds", SECONDS)
async def test_the_login_is_there_when_the_host_said_so_and_nothing_is_made_up_when_not(
    scene: Scene, seconds: float
) -> None:
    killed, doomed = scene.killed[seconds], scene.killed[seconds].doomed
    signed_in = killed.logins == [("127.0.0.1", COOKIE)]
    # Half a second may be too short for it; five seconds are not.
    assert killed.acknowledged or seconds < 5
    assert signed_in or not killed.acknowledged
    await doomed.assert_waiter_granted_once()
    assert doomed.waiter is not None
    page = await doomed.crew.attach(doomed.waiter.result().session.cdp_url)
    await page.navigate(f"{doomed.crew.url}/account")
    assert await who(page) == (doomed.profile if signed_in else "/sign-in")
