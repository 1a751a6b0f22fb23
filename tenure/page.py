"""A small DevTools client on one page: enough to drive a site without a browser library."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tenure.cdp import CdpClient, CdpClosed, CdpError, Params, Result, connect
from tenure.errors import HoldLost, HoldRevoked, LeaseExpired, NavigationFailed, TokenSuperseded

_LOST: dict[str, type[HoldLost]] = {
    **{kind.reason: kind for kind in (TokenSuperseded, LeaseExpired, HoldRevoked)},
    # Said of the profile, and to the worker whose hold ended in it.
    "PROFILE_QUARANTINED": HoldRevoked,
}

_CENTRE = """(selector => {
  const element = document.querySelector(selector);
  if (!element) return null;
  element.scrollIntoView({block: "center", behavior: "instant"});
  const box = element.getBoundingClientRect();
  return [box.x + box.width / 2, box.y + box.height / 2];
})"""


class Page:
    """The page in front. Made by `Session.cdp`.

    Every method raises HoldLost once the host has cut the session off, CdpClosed when the
    connection ended otherwise, CdpError when the browser or the session's policy refuses.
    """

    def __init__(self, client: CdpClient, session: str) -> None:
        self._client = client
        self._session = session

    @classmethod
    @asynccontextmanager
    async def attach(cls, cdp_url: str) -> AsyncIterator[Page]:
        """A client on the front page of the browser behind `cdp_url`, closed with the block."""
        async with connect(cdp_url) as client:
            targets = (await client.call("Target.getTargets"))["targetInfos"]
            # Newest first: the oldest page is the one that the session was opened on.
            target = [each["targetId"] for each in targets if each["type"] == "page"][-1]
            attached = await client.call("Target.attachToTarget", {"targetId": target, "flatten": True})
            page = cls(client, attached["sessionId"])
            await page.send("Page.enable")
            yield page

    async def send(self, method: str, params: Params | None = None, *, timeout: float = 30.0) -> Result:
        """Send any DevTools method to the page; `timeout` in seconds, then TimeoutError."""
        try:
            return await self._client.call(method, params, self._session, timeout)
        except CdpClosed as closed:
            raise _cause(closed) from closed

    async def navigate(self, url: str, *, timeout: float = 30.0) -> None:
        """Go to `url` and return once it has loaded. Raises NavigationFailed."""
        async with self._next_load(timeout) as loaded:
            answer = await self.send("Page.navigate", {"url": url}, timeout=timeout)
            if error := answer.get("errorText"):
                raise NavigationFailed(url=url, error=error)
            if not answer.get("loaderId"):
                loaded.set_result(None)  # within the document: nothing is loaded

    @asynccontextmanager
    async def navigation(self, *, timeout: float = 30.0) -> AsyncIterator[None]:
        """The body does what leads to another document; returns once that has loaded."""
        async with self._next_load(timeout):
            yield

    async def evaluate(self, expression: str, *, timeout: float = 30.0) -> Any:
        """Evaluate JavaScript, await what it promises, and return its value as JSON has it.

        Raises CdpError with the exception's text when it throws.
        """
        params = {"expression": expression, "returnByValue": True, "awaitPromise": True, "userGesture": True}
        answer = await self.send("Runtime.evaluate", params, timeout=timeout)
        if thrown := answer.get("exceptionDetails"):
            text = thrown.get("exception", {}).get("description") or thrown.get("text", "")
            raise CdpError("Runtime.evaluate", 0, text)
        return answer["result"].get("value")

    async def click(self, selector: str) -> None:
        """Press and release the left button in the middle of the first element that matches."""
        centre = await self.evaluate(f"{_CENTRE}({json.dumps(selector)})")
        if centre is None:
            raise CdpError("click", 0, f"nothing matches {selector}")
        button = {"x": centre[0], "y": centre[1], "button": "left", "clickCount": 1}
        for kind in ("mousePressed", "mouseReleased"):
            await self.send("Input.dispatchMouseEvent", {"type": kind, **button})

    async def type(self, selector: str, text: str) -> None:
        """Click the first element that matches and type into it."""
        await self.click(selector)
        await self.send("Input.insertText", {"text": text})

    @asynccontextmanager
    async def _next_load(self, timeout: float) -> AsyncIterator[asyncio.Future[None]]:
        loaded: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        committed = False

        def hear(method: str, params: Result, session: str) -> None:
            nonlocal committed
            if session != self._session or loaded.done():
                return
            if method == "Page.frameNavigated" and "parentId" not in params["frame"]:
                committed = True
            elif method == "Page.loadEventFired" and committed:
                loaded.set_result(None)

        def lost(why: CdpClosed) -> None:
            if not loaded.done():
                loaded.set_exception(_cause(why))
                loaded.exception()  # marks it as seen: the body may have failed first

        stops = (self._client.listen(hear), self._client.when_lost(lost))
        try:
            yield loaded
            async with asyncio.timeout(timeout):
                await loaded
        finally:
            loaded.cancel()
            for stop in stops:
                stop()


def _cause(closed: CdpClosed) -> Exception:
    kind = _LOST.get(closed.reason)
    return closed if kind is None else kind()
