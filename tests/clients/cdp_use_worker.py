"""A worker with cdp-use, in an environment of its own: `cdp_use_worker.py CDP_URL SITE_URL`.

See tests/clients/README.md.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from cdp_use.client import CDPClient  # type: ignore[import-not-found]


def say(**what: object) -> None:
    print(json.dumps(what), flush=True)


class Tab:
    """A page, driven by typed DevTools calls alone."""

    def __init__(self, client: Any, session: str) -> None:
        self.client, self.session = client, session

    async def evaluate(self, expression: str) -> Any:
        params = {"expression": expression, "returnByValue": True, "awaitPromise": True}
        answer = await self.client.send.Runtime.evaluate(params=params, session_id=self.session)
        return answer["result"].get("value")

    def loaded(self) -> asyncio.Future[None]:
        """Resolves at the page's next load event."""
        there: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def hear(event: object, session: str | None) -> None:
            if session == self.session and not there.done():
                there.set_result(None)

        self.client.register.Page.loadEventFired(hear)
        return there

    async def goto(self, url: str) -> None:
        loaded = self.loaded()
        await self.client.send.Page.navigate(params={"url": url}, session_id=self.session)
        await loaded

    async def click(self, selector: str) -> None:
        place = await self.evaluate(
            f"(({{x, y, width, height}}) => [x + width / 2, y + height / 2])"
            f"(document.querySelector('{selector}').getBoundingClientRect())"
        )
        for kind in ("mousePressed", "mouseReleased"):
            event = {"type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": 1}
            await self.client.send.Input.dispatchMouseEvent(params=event, session_id=self.session)

    async def type(self, text: str) -> None:
        for letter in text:
            event = {"type": "keyDown", "text": letter, "key": letter}
            await self.client.send.Input.dispatchKeyEvent(params=event, session_id=self.session)
            event = {"type": "keyUp", "key": letter}
            await self.client.send.Input.dispatchKeyEvent(params=event, session_id=self.session)


async def main(cdp_url: str, site: str) -> None:
    client = CDPClient(cdp_url)
    await client.start()
    target = (await client.send.Target.createTarget(params={"url": "about:blank"}))["targetId"]
    attach = {"targetId": target, "flatten": True}
    tab = Tab(client, (await client.send.Target.attachToTarget(params=attach))["sessionId"])
    await client.send.Page.enable(session_id=tab.session)
    await tab.goto(f"{site}/sign-in")
    await tab.click("input")
    await tab.type("cdp-use")
    loaded = tab.loaded()
    await tab.click("button")
    await loaded
    say(did="signed in", page=await tab.evaluate("document.querySelector('p').textContent"))
    await tab.goto(f"{site}/attached")
    downloading = asyncio.get_running_loop().create_future()
    client.register.Page.downloadWillBegin(lambda event, _: downloading.set_result(event))
    await tab.click("a")
    say(did="downloaded", name=(await downloading)["suggestedFilename"])
    acting = asyncio.ensure_future(tab.evaluate("new Promise(() => 0)"))
    await tab.evaluate("1")
    say(did="acts")
    try:
        await acting
    except ConnectionError as error:
        say(did="ended", error=str(error), code=client.ws.close_code, reason=client.ws.close_reason)


asyncio.run(main(*sys.argv[1:]))
