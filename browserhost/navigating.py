"""Sends a page to an address, and returns once a document has landed there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import urldefrag

from browserhost.page import Page
from tenure.cdp import CdpClient
from tenure.errors import NavigationFailed

COMMIT_S = 30.0
"""How long a page may take to answer."""
LOAD_S = 10.0
"""How long it may then go on loading before it counts as landed all the same."""

BLANK = "about:blank"


class Navigating:
    """One browser's. `tell` hears of a document (page, loader, address) once it is known whose it is."""

    def __init__(self, root: CdpClient, tell: Callable[[Page, str, str], None]) -> None:
        self._root, self._tell = root, tell

    async def navigate(self, page: Page, url: str) -> None:
        """Navigate a page and return when a document has landed, not merely been accepted.

        Raises NavigationFailed, CdpError, CdpClosed.
        """
        page.leaving = True
        try:
            async with asyncio.timeout(COMMIT_S):
                loader = await self._start(page, url)
                while loader not in page.loaders:
                    await _change(page, url)
            with suppress(TimeoutError):
                async with asyncio.timeout(LOAD_S):
                    while not page.landed(loader):
                        await _change(page, url)
        except TimeoutError:
            raise NavigationFailed(url=url, error=f"no answer within {COMMIT_S:g} s") from None
        finally:
            page.leaving = False
        if page.failed:
            raise NavigationFailed(url=url, error="it led to an address that did not load")

    async def _start(self, page: Page, url: str) -> str:
        if "#" in url and urldefrag(url).url == urldefrag(page.url).url:
            # Chrome would only scroll, and leave the last run's document in place.
            # Not as its own: this document stands for nothing that was asked for.
            await self._root.call("Page.navigate", {"url": BLANK}, page.session, timeout=COMMIT_S)
        page.unsaid = []
        try:
            answer = await self._root.call("Page.navigate", {"url": url}, page.session, timeout=COMMIT_S)
            page.own = str(answer.get("loaderId", ""))
        finally:
            unsaid, page.unsaid = page.unsaid, None
            for loader, committed in unsaid:
                self._tell(page, loader, committed)
        if "errorText" in answer:
            raise NavigationFailed(url=url, error=answer["errorText"])
        return page.own


async def _change(page: Page, url: str) -> None:
    if page.broken:
        raise NavigationFailed(url=url, error="its tab crashed or was closed")
    page.changed.clear()
    await page.changed.wait()
