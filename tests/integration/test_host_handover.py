"""A browser host hands over, and DevTools clients at the gateway work on with the next. Real Chrome."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator

import grpc.aio
import pytest
from playwright.async_api import async_playwright

from tenure.demo.site import DemoSite
from tenure.v1.session_service_pb2 import CloseSessionRequest, OpenSessionRequest
from tenure.v1.session_service_pb2_grpc import SessionServiceStub
from tests.fixtures.census import until
from tests.fixtures.system import RunningSystem

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
async def site() -> AsyncIterator[DemoSite]:
    async with DemoSite() as opened:
        yield opened


async def hand_over(system: RunningSystem) -> None:
    """Have the host go; the supervisor starts the next one."""
    handing = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "browserhost", "handover"),
        *("--data-root", str(system.data_root)),
    )
    assert await handing.wait() == 0


async def test_a_playwright_client_at_the_gateway_works_on_as_if_nothing_had_happened(
    system: RunningSystem, site: DemoSite
) -> None:
    async with grpc.aio.insecure_channel(system.gateway) as channel, async_playwright() as playwright:
        sessions = SessionServiceStub(channel)
        opened = await sessions.OpenSession(
            OpenSessionRequest(profile="alice:shop", start_url=f"{site.url}/sign-in")
        )
        browser = await playwright.chromium.connect_over_cdp(opened.session.gateway_cdp_url)
        page = browser.contexts[0].pages[0]
        said: list[int] = []
        page.on("console", lambda message: said.append(int(message.text)))
        await page.evaluate("window.ran = []; let said = 0; setInterval(() => console.log(said++), 20)")
        # Asked of the one host, answered to the other.
        waiting = asyncio.create_task(page.evaluate("new Promise(finish => { window.finish = finish })"))
        host, over = system.part("browserhost"), asyncio.Event()

        async def works() -> int:
            number = 0
            while not over.is_set():
                answers = [page.evaluate(f"window.ran.push({number + each})") for each in range(10)]
                number += len(answers)
                assert await asyncio.gather(*answers) == list(range(number - 9, number + 1))
            return number

        working = asyncio.create_task(works())
        await until(lambda: bool(said), "it talks")
        await hand_over(system)
        await until(lambda: system.part("browserhost") not in (0, host), "there is a next host")
        before = len(said)
        await until(lambda: len(said) > before + 10, "it is heard again")
        over.set()
        number = await working
        assert await page.evaluate("window.ran") == list(range(number))
        assert said == list(range(len(said)))
        assert not waiting.done()
        await page.evaluate("window.finish('finished')")
        assert await waiting == "finished"
        assert page.url == f"{site.url}/sign-in"
        await page.fill("#name", "alice")
        assert await page.input_value("#name") == "alice"
        await browser.close()
        await sessions.CloseSession(
            CloseSessionRequest(session=opened.session.name, fencing_token=opened.hold.fencing_token)
        )
