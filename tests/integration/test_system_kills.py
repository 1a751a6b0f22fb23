"""Any one process of the running system is killed: no orphan, no hold set free, no login lost."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator

import pytest

from tenure.demo.site import COOKIE, DemoSite
from tests.fixtures.census import Census, browser_of, gone, kill, profile_dir, running
from tests.fixtures.faults import AN_INCIDENT, Holder, Thief, logins_on_disk, still_signed_in, warm
from tests.fixtures.system import RunningSystem

pytestmark = pytest.mark.timeout(180)

HELD, WARM = "alice:shop", "bob:shop"
LOGIN = [("127.0.0.1", COOKIE)]


@pytest.fixture
async def site() -> AsyncIterator[DemoSite]:
    async with DemoSite() as opened:
        yield opened


def logins(system: RunningSystem, profile: str) -> list[tuple[str, str]]:
    return logins_on_disk(profile_dir(system, profile))


@pytest.mark.parametrize("part", ["etcd", "lockservice", "recovery", "gateway"])
async def test_killing_a_part_that_has_no_browser_takes_no_session(
    system: RunningSystem, site: DemoSite, part: str
) -> None:
    await warm(system, site, WARM)
    # Longer than any part is away.
    async with Holder.on(system, site, HELD, lease_ttl=60) as holder:
        async with Thief(system, HELD) as thief:
            browsers = [*browser_of(system, HELD).main, *browser_of(system, WARM).main]
            census = Census(system)
            os.kill(system.part(part), signal.SIGKILL)
            await system.says(f"{part} is back at")
            await thief.hears("PROFILE_BUSY")
            await holder.session.verify()
            await still_signed_in(system, site, WARM)
            await census.no_strays()
            assert running(browsers) == browsers
        await holder.releases_it()
    await still_signed_in(system, site, HELD)
    assert await system.stop() == 0
    assert (logins(system, HELD), logins(system, WARM)) == (LOGIN, LOGIN)


@pytest.mark.parametrize("victim", ["keeper", "chrome", "xvfb"])
async def test_killing_what_a_browser_is_made_of_ends_all_of_it_and_frees_no_hold(
    system: RunningSystem, site: DemoSite, victim: str
) -> None:
    await warm(system, site, WARM)
    async with Holder.on(system, site, HELD) as holder, Thief(system, HELD) as thief:
        census = Census(system)
        browser = browser_of(system, HELD)
        kill(browser.named(victim))
        await gone(browser.everything)
        assert logins(system, HELD) == LOGIN
        await thief.hears(*AN_INCIDENT)
        await holder.loses_it()

        unheld = browser_of(system, WARM)
        kill(unheld.named(victim))
        await gone(unheld.everything)
        assert logins(system, WARM) == LOGIN
        await still_signed_in(system, site, WARM)
        await thief.hears(*AN_INCIDENT)
        await census.no_strays()
    assert await system.stop() == 0
    assert logins(system, HELD) == LOGIN


async def test_killing_the_browser_host_keeps_its_browsers_its_holds_and_its_logins(
    system: RunningSystem, site: DemoSite
) -> None:
    await warm(system, site, WARM)
    # Longer than the host is away.
    async with Holder.on(system, site, HELD, lease_ttl=60) as holder:
        async with Thief(system, HELD) as thief:
            census = Census(system)
            browsers = [*browser_of(system, HELD).main, *browser_of(system, WARM).main]
            os.kill(system.part("browserhost"), signal.SIGKILL)
            await system.says("browserhost is back at")
            await thief.hears("PROFILE_BUSY")
            await holder.comes_back(HELD)
            await still_signed_in(system, site, WARM)
            await census.no_strays()
            assert {each.pid for each in running(browsers)} == {each.pid for each in browsers}
        await holder.releases_it()
    await still_signed_in(system, site, HELD)
    assert await system.stop() == 0
    assert (logins(system, HELD), logins(system, WARM)) == (LOGIN, LOGIN)


async def test_killing_the_supervisor_ends_everything_and_a_new_one_frees_no_hold(
    system: RunningSystem, site: DemoSite
) -> None:
    await warm(system, site, WARM)
    async with Holder.on(system, site, HELD) as holder:
        before = Census(system)
        await system.kill()
        await gone(before.everything)
        assert (logins(system, HELD), logins(system, WARM)) == (LOGIN, LOGIN)
        await system.start()
        async with Thief(system, HELD) as thief:
            await thief.hears("PROFILE_BUSY", *AN_INCIDENT)
            await still_signed_in(system, site, WARM)
            await thief.hears("PROFILE_BUSY", *AN_INCIDENT)
            await Census(system).no_strays()
        # It answers elsewhere now; its worker has to know by itself when its lease is over.
        await holder.loses_it()
