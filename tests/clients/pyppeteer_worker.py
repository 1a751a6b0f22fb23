"""A worker with pyppeteer, in an environment of its own: `pyppeteer_worker.py CDP_URL SITE_URL`.

See tests/clients/README.md.
"""

from __future__ import annotations

import asyncio
import json
import sys

from pyppeteer import connect  # type: ignore[import-not-found]


def say(**what: object) -> None:
    print(json.dumps(what), flush=True)


async def refusal(call: object) -> str:
    try:
        await call  # type: ignore[misc]
    except Exception as error:
        return str(error)
    return ""


async def main(cdp_url: str, site: str) -> None:
    browser = await connect(browserWSEndpoint=cdp_url, defaultViewport=None)
    page = await browser.newPage()
    await page.goto(f"{site}/sign-in")
    await page.type("input[name=user]", "pyppeteer")
    await asyncio.gather(page.waitForNavigation(), page.click("button"))
    say(did="signed in", page=await page.evaluate("document.querySelector('p').textContent"))
    await page.goto(f"{site}/attached")
    downloading = asyncio.get_event_loop().create_future()
    page._client.once("Page.downloadWillBegin", downloading.set_result)
    await page.click("a")
    say(did="downloaded", name=(await downloading)["suggestedFilename"])
    say(did="was refused", file=await refusal(page.goto("file:///etc/passwd")))
    say(did="was refused", cookies=await refusal(page._client.send("Network.clearBrowserCookies")))
    acting = asyncio.ensure_future(refusal(page.evaluate("() => new Promise(() => 0)")))
    await page.evaluate("1")
    say(did="acts")
    error = await acting
    socket = browser._connection.connection
    await socket.wait_closed()
    say(did="ended", error=error, code=socket.close_code, reason=socket.close_reason)


asyncio.get_event_loop().run_until_complete(main(*sys.argv[1:]))
