"""A host with real Chrome: opened, closed, warm, killed, missing, corrupt. The lock service is a fake."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from browserhost import marker
from browserhost.opening import Opened, Opening
from browserhost.session import State
from tenure.errors import BrowserCrashed, ProfileCorrupt, ProfileMissing, ProfileQuarantined, TokenSuperseded
from tests.browserhost.fakes import ALICE, BOB, CAROL
from tests.fixtures.chrome import Site
from tests.fixtures.rig import Rig


async def signed_in(opened: Opened, site: Site) -> str:
    """What the account page says, asked through the session's own CDP address."""
    async with aiohttp.ClientSession() as client, client.ws_connect(opened.session.cdp_url) as socket:
        numbers = iter(range(1, 99))

        async def call(method: str, session: str = "", **params: Any) -> Any:
            number = next(numbers)
            message = {"id": number, "method": method, "params": params}
            await socket.send_json(message | ({"sessionId": session} if session else {}))
            while True:
                answer = json.loads((await socket.receive()).data)
                if answer.get("id") == number:
                    return answer["result"]

        targets = (await call("Target.getTargets"))["targetInfos"]
        page = next(each for each in targets if each["type"] == "page")
        session = (await call("Target.attachToTarget", targetId=page["targetId"], flatten=True))["sessionId"]
        script = (
            f"fetch('{site.url}/sign-in', {{method: 'POST', body: new URLSearchParams({{user: 'alice'}})}})"
            ".then(answer => answer.text())"
        )
        answer = await call("Runtime.evaluate", session, expression=script, awaitPromise=True)
        return str(answer["result"]["value"])


async def test_a_sign_in_lasts_over_warm_cold_and_restart(rig: Rig, site: Site) -> None:
    async with rig.host() as running:
        first = await running.open(41, f"{site.url}/sign-in")
        assert not first.reused
        assert first.timings.keys() >= {"verify", "launch", "attach", "navigate"}
        assert "Hello alice" in await signed_in(first, site)
        await running.close(41)
        warm = await running.open(50, f"{site.url}/account")
        assert warm.reused
        assert "inspect" not in warm.timings
        await running.close(50)
    assert rig.custody()[1].end == marker.CLEAN
    async with rig.host() as running:
        cold = await running.open(60, f"{site.url}/account")
        assert not cold.reused
        cookies = await running.browser().mux.root.call("Storage.getCookies")
        assert [each["value"] for each in cookies["cookies"] if each["name"] == "user"] == ["alice"]
        await running.close(60)


async def test_the_socket_of_a_closed_hold_is_shut_with_its_reason(rig: Rig, site: Site) -> None:
    async with rig.host() as running, aiohttp.ClientSession() as client:
        opened = await running.open(41, f"{site.url}/a")
        socket = await client.ws_connect(opened.session.cdp_url)
        await running.open(50, f"{site.url}/b")
        frame = await socket.receive()
        assert (frame.type, frame.extra) == (aiohttp.WSMsgType.CLOSE, "TOKEN_SUPERSEDED")
        with pytest.raises(TokenSuperseded):
            await running.host.profile(ALICE).open(Opening(41, f"{site.url}/c", "", reuse=True))
        assert "GET /c" not in site.requests


async def test_another_proxy_key_gets_a_browser_of_its_own_after_a_clean_end(rig: Rig, site: Site) -> None:
    async with rig.host() as running:
        await running.open(41, f"{site.url}/a")
        old = running.browser()
        await running.close(41)
        opened = await running.open(50, "about:blank", proxy_key="miami__fl")
        assert not opened.reused
        assert old.ended.done()
        assert str(running.browser().spec.upstream) == "127.0.0.1:9"


async def test_opens_of_one_profile_share_a_launch_and_others_run_beside_it(rig: Rig, site: Site) -> None:
    async with rig.host() as running:
        names = (ALICE, ALICE, BOB, CAROL)
        opened = await asyncio.gather(
            *(running.open(41, f"{site.url}/{each.profile}", name=each) for each in names)
        )
        assert opened[0].session is opened[1].session
        assert site.requests.count("GET /alice") == 1
        assert running.host.cache.taken == 3


async def test_chrome_killed_while_held_ends_the_hold(rig: Rig, site: Site) -> None:
    async with rig.host() as running:
        await running.establish()
        opened = await running.open(41, f"{site.url}/a")
        await running.kill_chrome()
        assert opened.session.state is State.CRASHED
        assert running.locks.suspects == [(ALICE, 41, "BROWSER_LOST")]
        with pytest.raises(BrowserCrashed):
            await running.open(41, f"{site.url}/b")
        with pytest.raises(ProfileQuarantined):
            await running.close(41)
        # A later hold stands for a decision that freed the profile: it is inspected, and starts.
        again = await running.open(50, f"{site.url}/c")
        assert "inspect" in again.timings
        await running.close(50)
    assert rig.root.profile(ALICE).findings.read_text().count("a decision freed it") == 1


async def test_chrome_killed_while_warm_is_inspected_and_starts_with_the_finding_kept(
    rig: Rig, site: Site
) -> None:
    async with rig.host() as running:
        await running.establish()
        await running.open(41, f"{site.url}/a")
        await running.close(41)
        await running.kill_chrome()
        assert running.locks.suspects == []
        again = await running.open(50, f"{site.url}/b")
        assert not again.reused
        assert "inspect" in again.timings
        await running.close(50)
    assert "UNCLEAN_CONSISTENT" in rig.root.profile(ALICE).findings.read_text()


def remove(profile: Path) -> None:
    profile.rename(profile.with_name("moved-away"))


def corrupt(profile: Path) -> None:
    cookies = profile / "Default/Cookies"
    cookies.write_bytes(cookies.read_bytes()[:100] + bytes(8192))


@pytest.mark.parametrize(
    ("harm", "error", "cause"),
    [(remove, ProfileMissing, "PROFILE_MISSING"), (corrupt, ProfileCorrupt, "PROFILE_UNSOUND")],
)
async def test_a_harmed_profile_is_refused_reported_and_never_started_empty(
    rig: Rig,
    site: Site,
    harm: Callable[[Path], None],
    error: type[ProfileMissing | ProfileCorrupt],
    cause: str,
) -> None:
    async with rig.host() as running:
        await running.establish()
        await running.open(41, f"{site.url}/a")
        await running.close(41)
        await running.kill_chrome()
        harm(rig.profile_dir)
        for _ in range(2):
            with pytest.raises(error):
                await running.open(50, f"{site.url}/b")
        assert running.locks.suspects == [(ALICE, 50, cause)]
        assert not running.host.profile(ALICE).warm
    assert rig.custody()[0] == 51
    assert "GET /b" not in site.requests


async def test_a_stop_while_held_closes_cleanly_and_the_next_start_reports_the_hold(
    rig: Rig, site: Site
) -> None:
    async with rig.host() as running:
        await running.open(41, f"{site.url}/a")
    found = rig.custody()[1]
    assert (found.held, found.end) == (True, marker.CLEAN)
    async with rig.host() as running:
        while not running.locks.suspects:
            await running.locks.told.wait()
            await asyncio.sleep(0)
        assert running.locks.suspects == [(ALICE, 41, "HOST_RESTARTED")]
        with pytest.raises(ProfileQuarantined):
            await running.close(41)
    assert rig.custody()[0] == 42


async def test_without_reuse_the_browser_ends_with_its_hold(rig: Rig, site: Site) -> None:
    async with rig.host() as running:
        await running.open(41, f"{site.url}/a", reuse=False)
        browser = running.browser()
        await running.close(41)
        assert browser.ended.done()
        assert (await running.open(50, f"{site.url}/b", reuse=False)).timings.keys() >= {"launch"}
        await running.close(50)
