"""A host is killed, and the next one on its data directory goes on with the browsers it left. Real Chrome."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import aiohttp
import pytest

from browserhost import handover, marker
from browserhost.marker import Marker
from browserhost.paths import DataRoot
from tenure.errors import TenureError
from tenure.names import ProfileName
from tenure.v1.session_pb2 import SESSION_STATE_OPEN
from tests.fixtures.chrome import Site, all_gone, running
from tests.fixtures.host_process import NAME, Bench, on

PROFILE = ProfileName("default", "alice_linkedin")

pytestmark = pytest.mark.timeout(120)


@asynccontextmanager
async def devtools(url: str) -> AsyncIterator[Page]:
    """A client on the first page that it sees."""
    async with aiohttp.ClientSession() as http, http.ws_connect(url) as socket:
        page = Page(socket)
        targets = (await page.call("Target.getTargets"))["targetInfos"]
        target = next(each["targetId"] for each in targets if each["url"].startswith("http"))
        attached = await page.call("Target.attachToTarget", targetId=target, flatten=True)
        page.session = attached["sessionId"]
        yield page


class Page:
    """One client's."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.session = ""
        self._last = 0

    async def call(self, method: str, **params: Any) -> Any:
        self._last += 1
        message = {"id": self._last, "method": method, "params": params}
        await self.socket.send_json(message | ({"sessionId": self.session} if self.session else {}))
        while True:
            answer = json.loads((await self.socket.receive(timeout=30)).data)
            if answer.get("id") == self._last:
                assert "result" in answer, answer
                return answer["result"]

    async def says(self, script: str) -> Any:
        answer = await self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        return answer["result"].get("value")


def custody(bench: Bench) -> Marker:
    found = marker.load(DataRoot.at(bench.data_root.path).profile(PROFILE).marker)
    assert found is not None
    return found


async def test_a_killed_hosts_hold_goes_on_in_the_same_page_at_the_same_address(
    bench: Bench, site: Site
) -> None:
    async with bench.service() as service:
        opened = await service.open(41, f"{site.url}/sign-in")
        address = opened.session.cdp_url
        async with devtools(address) as page:
            # What would stop the page for good were it not to end with its client.
            await page.call("Fetch.enable")
            await page.says("window.kept = 'kept'")
            browser = on(bench.data_root.path)
            await service.kill()
    pid = custody(bench).pid
    assert pid in {each.pid for each in running(browser)}
    async with bench.service() as service:
        async with devtools(address) as page:
            assert await page.says("window.kept") == "kept"
            assert "Hello alice" in await page.says(
                "fetch('/sign-in', {method: 'POST', body: new URLSearchParams({user: 'alice'})})"
                ".then(answer => answer.text())"
            )
        (session,) = await service.sessions()
        assert (session.name, session.state) == (f"{NAME}/sessions/41", SESSION_STATE_OPEN)
        assert session.url == f"{site.url}/sign-in"
        assert (await service.close(41)).flushed_at.seconds > 0
        warm = await service.open(50, f"{site.url}/account")
        assert warm.reused_session
        assert custody(bench).pid == pid
        await service.close(50)
    assert bench.fake.suspects == []
    await all_gone(browser)
    assert custody(bench).end == marker.CLEAN
    assert list((bench.data_root.path / "keepers").iterdir()) == []
    assert list(bench.data_root.tmp.iterdir()) == []


async def test_a_handover_leaves_browser_hold_and_address_to_the_next_host(bench: Bench, site: Site) -> None:
    async with bench.service() as service:
        opened = await service.open(41, f"{site.url}/sign-in")
        async with devtools(opened.session.cdp_url) as page:
            await page.says("window.kept = 'kept'")
            handing = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "browserhost", "handover"),
                *("--data-root", str(bench.data_root.path)),
                stdout=asyncio.subprocess.PIPE,
            )
            said, _ = await handing.communicate()
            assert f"process {service.process.pid}) has gone" in said.decode()
            assert (handing.returncode, await service.process.wait()) == (0, 0)
            closed = await page.socket.receive(timeout=30)
            assert (closed.type, closed.data) == (aiohttp.WSMsgType.CLOSE, 4009)
    pid = custody(bench).pid
    async with bench.service() as service:
        async with devtools(opened.session.cdp_url) as page:
            assert await page.says("window.kept") == "kept"
        assert custody(bench).pid == pid
        await service.close(41)
    assert bench.fake.suspects == []


async def test_nobody_hands_over_where_no_host_runs(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    assert handover.main(["--data-root", str(bench.data_root.path)]) == 1
    assert "no browser host runs" in capsys.readouterr().err


async def test_a_browser_that_no_host_comes_for_ends_cleanly_and_its_hold_becomes_an_incident(
    bench: Bench, site: Site
) -> None:
    async with bench.service("--adopt-s=0.5") as service:
        await service.open(41, f"{site.url}/sign-in")
        browser = [each for each in on(bench.data_root.path) if each.pid != service.process.pid]
        await service.kill()
    await all_gone(browser)
    assert list((bench.data_root.path / "keepers").iterdir()) == []
    async with bench.service() as service:
        with pytest.raises(TenureError):
            await service.close(41)
    assert [each.fencing_token for each in bench.fake.suspects] == [41]


async def test_a_browser_that_the_marker_does_not_name_ends_and_its_hold_becomes_an_incident(
    bench: Bench, site: Site
) -> None:
    async with bench.service() as service:
        await service.open(41, f"{site.url}/sign-in")
        browser = [each for each in on(bench.data_root.path) if each.pid != service.process.pid]
        await service.kill()
    path = DataRoot.at(bench.data_root.path).profile(PROFILE).marker
    marker.store(path, replace(custody(bench), start_ticks=1))
    async with bench.service() as service:
        await all_gone(browser)
        assert [each.state for each in await service.sessions()] == []
    assert [each.fencing_token for each in bench.fake.suspects] == [41]
