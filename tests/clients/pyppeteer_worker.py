"""A worker with pyppeteer, in an environment of its own: `pyppeteer_worker.py CDP_URL SITE_URL`.

Says one JSON object a line: what it did, that it waits inside a page, how its call and its socket ended.
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
    [page] = await browser.pages()
    await page.goto(f"{site}/sign-in")
    await page.type("input[name=user]", "alice")
    await asyncio.gather(page.waitForNavigation(), page.click("button"))
    say(did="signed in", page=await page.evaluate("document.querySelector('p').textContent"))
    tab = await browser.newPage()
    await tab.goto(f"{site}/another")
    say(did="another tab", title=await tab.title(), picture=len(await tab.screenshot()))
    await tab.close()
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
