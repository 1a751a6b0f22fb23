"""The SDK against the whole system: real etcd, real Chrome, a site with a real login."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import async_playwright

import tenure
from tenure.cdp import CdpClosed, CdpError
from tenure.demo.site import PASSWORD, DemoSite
from tenure.errors import (
    HoldLost,
    InvalidArgument,
    LeaseExpired,
    NavigationFailed,
    ProfileBusy,
    ProfileInReview,
    WaitExpired,
)
from tenure.hold import Result
from tenure.page import Page
from tenure.v1 import hold_pb2, incident_pb2
from tenure.v1.incident_pb2 import Incident
from tests.fixtures.census import until
from tests.fixtures.faults import system_in
from tests.fixtures.system import RunningSystem

pytestmark = [pytest.mark.timeout(180), pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningSystem]:
    """One for all: each test has profiles of its own."""
    async with system_in(tmp_path_factory.mktemp("sdk") / "tenure") as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site() -> AsyncIterator[DemoSite]:
    async with DemoSite() as served:
        yield served


async def sign_in(page: Page) -> None:
    await page.type("#name", "Alice")
    await page.type("#password", PASSWORD)
    async with page.navigation():
        await page.click("#sign-in")


async def shown(page: Page) -> str:
    return str(await page.evaluate("document.querySelector('#who')?.textContent ?? location.pathname"))


async def state(client: tenure.Client, profile: str) -> str:
    [found] = [each for each in await client.profiles() if each.as_sent == profile]
    return hold_pb2.ProfileState.Name(found.state).removeprefix("PROFILE_STATE_")


async def incidents_of(client: tenure.Client, profile: str) -> list[Incident]:
    return [each for each in await client.incidents() if f"/{profile}/" in each.name]


async def ends_in_review(client: tenure.Client, profile: str = "alice:linkedin") -> Incident:
    """The profile's incident, once recovery has left it to a person."""

    async def in_review() -> bool:
        return await state(client, profile) == "MANUAL_REVIEW"

    await until(in_review, "a review")
    return await client.incident((await client.explain(profile)).profile.incident)


async def test_a_login_stays_with_its_profile_from_session_to_session(
    system: RunningSystem, site: DemoSite
) -> None:
    async with tenure.connect(system.gateway) as client:
        async with client.open("alice:linkedin", start_url=f"{site.url}/account") as first:
            assert not first.reused_session
            assert {"acquire", "launch", "navigate"} <= set(first.timings)
            page = await first.cdp()
            assert await shown(page) == "/sign-in"
            await sign_in(page)
        async with client.open("alice_linkedin", start_url=f"{site.url}/account") as second:
            assert second.reused_session
            assert second.profile == first.profile == "tenants/default/profiles/alice_linkedin"
            assert second.fencing_token > first.fencing_token
            assert await shown(await second.cdp()) == "Alice"
        async with client.open(
            "alice:linkedin", start_url=f"{site.url}/account", reuse_session=False
        ) as fresh:
            assert not fresh.reused_session
            assert await shown(await fresh.cdp()) == "Alice"
        assert await state(client, "alice:linkedin") == "AVAILABLE"


async def test_playwright_drives_a_session(system: RunningSystem, site: DemoSite) -> None:
    async with (
        tenure.connect(system.gateway) as client,
        client.open("bob:linkedin", start_url=f"{site.url}/sign-in") as session,
        async_playwright() as playwright,
    ):
        browser = await playwright.chromium.connect_over_cdp(session.cdp_url)
        [page] = browser.contexts[0].pages
        await page.fill("#name", "Alice")
        await page.fill("#password", PASSWORD)
        await page.click("#sign-in")
        assert await page.text_content("#who") == "Alice"
        await browser.close()


async def test_what_is_left_open_under_a_token_is_cut_off_when_its_hold_ends(
    system: RunningSystem, site: DemoSite
) -> None:
    async with (
        tenure.connect(system.gateway) as client,
        client.open("carol:linkedin", start_url=f"{site.url}/account") as session,
    ):
        async with Page.attach(session.cdp_url) as other:
            await client.release(session.profile, session.fencing_token)
            with pytest.raises((HoldLost, CdpClosed)):
                await other.navigate(f"{site.url}/checkout")
        with pytest.raises(CdpClosed):
            async with Page.attach(session.cdp_url):
                raise AssertionError("the secret still opens the browser")
        with pytest.raises(HoldLost):
            await session.verify()


async def test_a_waiting_open_takes_over_from_a_session_that_ends(
    system: RunningSystem, site: DemoSite
) -> None:
    async def take_over() -> int:
        async with client.open("dave:linkedin", start_url=f"{site.url}/account", wait=30) as second:
            return second.fencing_token

    async with tenure.connect(system.gateway) as client:
        async with client.open("dave:linkedin", run_id="r-1") as first:
            with pytest.raises(ProfileBusy, match="held by run_id='r-1'"):
                async with client.open("dave:linkedin"):
                    raise AssertionError("two owners")
            with pytest.raises(WaitExpired):
                async with client.open("dave:linkedin", wait=1):
                    raise AssertionError("two owners")
            waiting = asyncio.create_task(take_over())
            await asyncio.sleep(0)
        assert await waiting > first.fencing_token


async def test_an_open_that_fails_leaves_the_profile_free(system: RunningSystem, site: DemoSite) -> None:
    async with tenure.connect(system.gateway) as client:
        with pytest.raises(NavigationFailed):
            async with client.open("erin:linkedin", start_url="http://127.0.0.1:1/"):
                raise AssertionError("it did not load")
        assert await state(client, "erin:linkedin") == "AVAILABLE"
        with pytest.raises(InvalidArgument):
            async with client.open("erin:linkedin", start_url="file:///etc/passwd"):
                raise AssertionError("a local file")
        async with client.open("erin:linkedin", start_url=site.url) as session:
            assert await shown(await session.cdp()) == "/sign-in"


async def test_a_cancelled_wait_leaves_no_place_in_the_queue(system: RunningSystem) -> None:
    async with (
        tenure.connect(system.gateway) as one,
        tenure.connect(system.gateway) as two,
        one.acquire("frank:linkedin"),
    ):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1), two.acquire("frank:linkedin", wait=60):
                raise AssertionError("two owners")
        [profile] = [each for each in await one.profiles() if each.as_sent == "frank:linkedin"]
        assert profile.waiters == 0


async def test_a_run_that_does_not_vouch_frees_nothing(system: RunningSystem) -> None:
    async with tenure.connect(system.gateway) as client:
        with pytest.raises(ZeroDivisionError):
            async with client.open("grace:linkedin"):
                raise ZeroDivisionError
        incident = await ends_in_review(client, "grace:linkedin")
        assert incident.cause == incident_pb2.SUSPICION_CAUSE_UNTRUSTED_RELEASE


async def test_a_run_that_failed_untouched_frees_its_profile(system: RunningSystem) -> None:
    async with tenure.connect(system.gateway) as client:
        with pytest.raises(ZeroDivisionError):
            async with client.open("heidi:linkedin") as session:
                session.result = Result.FAILED_UNTOUCHED
                raise ZeroDivisionError
        assert await state(client, "heidi:linkedin") == "AVAILABLE"


async def test_steps_and_checkpoints_are_kept_with_the_workflow(system: RunningSystem) -> None:
    async with tenure.connect(system.gateway) as client:
        async with client.open("ivan:linkedin", workflow_id="orders") as session:
            async with session.step("fill the cart", sensitive=False) as first:
                assert first.seq == 1
            async with session.step("checkout", sensitive=True) as second:
                assert second.seq == 2
            await session.checkpoint("cart", b"7 items", plan="v1", safe=True)
        async with client.open("ivan:linkedin", workflow_id="orders", resume_state=True) as again:
            assert again.restored is not None
            assert (again.restored.step, again.restored.payload) == ("cart", b"7 items")


async def test_closing_the_browser_from_a_session_does_not_close_it(
    system: RunningSystem, site: DemoSite
) -> None:
    async with tenure.connect(system.gateway) as client:
        async with client.open("judy:linkedin", start_url=f"{site.url}/sign-in") as session:
            page = await session.cdp()
            with pytest.raises((CdpError, CdpClosed, HoldLost)):
                await page._client.call("Browser.close")
                await page.evaluate("1")
        async with client.open("judy:linkedin", start_url=f"{site.url}/sign-in") as again:
            assert again.reused_session


WORKER = """
import asyncio, sys, tenure
from tenure.errors import LeaseExpired
async def main():
    async with tenure.connect(sys.argv[1], lease_ttl=8) as client:
        try:
            async with client.open(sys.argv[2]) as session:
                print(session.fencing_token, session.hold.worker, flush=True)
                await asyncio.Event().wait()
        except LeaseExpired as lost:
            async with client.acquire("another:linkedin") as other:
                print(lost.reason, other.hold.worker, flush=True)
asyncio.run(main())
"""


async def test_a_worker_that_was_stopped_past_its_lease_wakes_up_without_its_hold_and_its_name(
    system: RunningSystem,
) -> None:
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WORKER, system.gateway, "mallory:linkedin", stdout=PIPE, stderr=PIPE
    )
    assert worker.stdout is not None
    token, old_name = (await worker.stdout.readline()).decode().split()
    os.kill(worker.pid, signal.SIGSTOP)
    async with tenure.connect(system.gateway) as client:

        async def suspected() -> bool:
            return bool(await incidents_of(client, "mallory_linkedin"))

        await until(suspected, "an incident")
        [incident] = await incidents_of(client, "mallory_linkedin")
        assert incident.hold.fencing_token == int(token)
        assert incident.cause == incident_pb2.SUSPICION_CAUSE_LEASE_ENDED
    os.kill(worker.pid, signal.SIGCONT)
    out, err = await worker.communicate()
    assert worker.returncode == 0, err
    reason, new_name = out.decode().split()
    assert reason == LeaseExpired.reason
    assert new_name != old_name, "an id whose lease was lost is never used again"


async def test_a_revoked_hold_ends_its_body_and_a_person_frees_the_profile(
    system: RunningSystem, site: DemoSite
) -> None:
    async with (
        tenure.connect(system.gateway, lease_ttl=10) as worker,
        tenure.connect(system.gateway) as operator,
    ):
        with pytest.raises(HoldLost):
            async with worker.open("niaj:linkedin", start_url=f"{site.url}/sign-in") as session:
                await sign_in(await session.cdp())
                name = await operator.revoke("niaj:linkedin", "it spins")
                await asyncio.Event().wait()
        incident = await ends_in_review(operator, "niaj:linkedin")
        assert incident.name == name
        assert incident.cause == incident_pb2.SUSPICION_CAUSE_REVOKED
        with pytest.raises(ProfileInReview):
            async with worker.open("niaj:linkedin"):
                raise AssertionError("nobody gets a profile in review")
        await operator.resolve(name, incident_pb2.OUTCOME_AVAILABLE, "it is in order", etag=incident.etag)
        async with worker.open("niaj:linkedin", start_url=f"{site.url}/account") as again:
            assert again.fencing_token > session.fencing_token
            assert await shown(await again.cdp()) == "Alice"


async def test_a_run_that_takes_longer_than_it_may_is_ended(system: RunningSystem, site: DemoSite) -> None:
    async with tenure.connect(system.gateway, lease_ttl=10) as client:
        opening = client.open("olivia:linkedin", start_url=f"{site.url}/account", max_runtime=6)
        with pytest.raises(HoldLost):
            async with opening as session, session.step("dawdle", sensitive=False):
                await asyncio.Event().wait()

        async def free() -> bool:
            return await state(client, "olivia:linkedin") == "AVAILABLE"

        await until(free, "the decision")
        [incident] = await incidents_of(client, "olivia_linkedin")
        assert incident.cause == incident_pb2.SUSPICION_CAUSE_MAX_RUNTIME


async def test_a_worker_interrupted_by_ctrl_c_closes_its_session(system: RunningSystem) -> None:
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WORKER, system.gateway, "peggy:linkedin", stdout=PIPE, stderr=PIPE
    )
    assert worker.stdout is not None
    await worker.stdout.readline()
    worker.send_signal(signal.SIGINT)
    await worker.communicate()
    async with tenure.connect(system.gateway) as client:
        incident = await ends_in_review(client, "peggy:linkedin")
        assert incident.cause == incident_pb2.SUSPICION_CAUSE_UNTRUSTED_RELEASE
