"""A worker with Playwright: `playwright_worker.py CDP_URL SITE_URL`; see tests/clients/README.md."""

from __future__ import annotations

import asyncio
import json
import sys

from playwright.async_api import Error, async_playwright


def say(**what: object) -> None:
    print(json.dumps(what), flush=True)


async def main(cdp_url: str, site: str) -> None:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.connect_over_cdp(cdp_url)
        gone = asyncio.Event()
        browser.on("disconnected", lambda _: gone.set())
        page = await browser.contexts[0].new_page()
        await page.goto(f"{site}/sign-in")
        await page.type("input[name=user]", "playwright")
        await page.click("button")
        await page.wait_for_selector("p")
        say(did="signed in", page=await page.inner_text("p"))
        await page.goto(f"{site}/attached")
        async with page.expect_download() as coming:
            await page.click("a")
        download = await coming.value
        say(did="downloaded", name=download.suggested_filename)
        acting = asyncio.ensure_future(page.evaluate("new Promise(() => 0)"))
        await page.evaluate("1")
        say(did="acts")
        try:
            await acting
        except Error as error:
            await gone.wait()
            say(did="ended", error=str(error))


asyncio.run(main(*sys.argv[1:]))
