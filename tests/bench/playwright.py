"""What one would use instead of an open: Playwright on a browser that runs already.

`launchServer` and `connect`: a context and a page of its own in a warm browser, which has no login. And
`connectOverCDP` to a warm Chrome that keeps a profile: its page is navigated. All three are driven by the
same client and end with a page that has landed.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import tempfile
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright._impl._driver import compute_driver_executable
from playwright.async_api import async_playwright

import tenure
from tests.bench import report
from tests.bench.bare import FLAGS, NO_BAR, BareBrowser, start_display
from tests.bench.browser_rig import Bench
from tests.bench.parts import Measured

OPENS = 20
START_S = 60.0


async def opens(bench: Bench) -> Measured:
    """From nothing to Playwright's page at the address: ours, theirs, in turns."""
    ours, server, over_cdp = [], [], []
    async with (
        launch_server() as endpoint,
        BareBrowser(port=True) as bare,
        async_playwright() as playwright,
        tenure.connect(bench.gateway) as client,
    ):
        chromium = playwright.chromium
        for turn in range(OPENS + 1):
            began = await report.rested()
            async with client.open("playwright", start_url=f"{bench.url}?ours={turn}") as session:
                browser = await chromium.connect_over_cdp(session.cdp_url)
                page = browser.contexts[0].pages[0]
                assert page.url.endswith(f"?ours={turn}")
                ours.append((report.now() - began) * 1000)
                await browser.close()
            began = await report.rested()
            browser = await chromium.connect(endpoint)
            page = await (await browser.new_context()).new_page()
            await page.goto(f"{bench.url}?server={turn}")
            server.append((report.now() - began) * 1000)
            await browser.close()
            began = await report.rested()
            browser = await chromium.connect_over_cdp(bare.http)
            await browser.contexts[0].pages[0].goto(f"{bench.url}?cdp={turn}")
            over_cdp.append((report.now() - began) * 1000)
            await browser.close()
        await bench.close_browser(client, "playwright")
    return [
        report.paired("open_vs_playwright", ours[1:], server[1:]),
        report.paired("open_vs_playwright_over_cdp", ours[1:], over_cdp[1:]),
    ], ["open_vs_playwright: launchServer gives an empty context, connect_over_cdp a warm Chrome's own page"]


@asynccontextmanager
async def launch_server() -> AsyncIterator[str]:
    """Playwright's own browser server (Node) on a display of its own; its WebSocket address."""
    shown, name = await start_display()
    wishes = {
        "headless": False,
        "executablePath": shutil.which("chromium"),
        "chromiumSandbox": os.geteuid() != 0,
        # The pipe it asks for itself; and of features it has a list of its own, which another would replace.
        "args": [flag for flag in FLAGS if flag not in ("--remote-debugging-pipe", NO_BAR)],
        "env": {**os.environ, "DISPLAY": name},
    }
    with tempfile.NamedTemporaryFile("w", suffix=".json") as config:
        json.dump(wishes, config)
        config.flush()
        process = await asyncio.create_subprocess_exec(
            *(*compute_driver_executable(), "launch-server", "--browser", "chromium"),
            *("--config", config.name),
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=DEVNULL,
        )
        assert process.stdout is not None
        try:
            async with asyncio.timeout(START_S):
                endpoint = (await process.stdout.readline()).decode().strip()
            yield endpoint
        finally:
            for each in (process, shown):
                each.terminate()
                await each.wait()
