"""Has Chrome write its cookies: when asked, and by itself after pages have settled."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

from browserhost.page import Page
from browserhost.pages import Pages
from tenure.cdp import CdpClient, CdpClosed, CdpError

FLUSH_DELAY_S = 0.5
"""From a commit or load to the flush that follows: one flush for a burst of them."""
FLUSH_S = 5.0

# On a page's session this returns once the cookie database is committed, and there is nothing to
# delete there. It is a side effect: a test guards it against the next Chrome.
_FLUSH = "Storage.clearDataForOrigin"
_FLUSH_ARGUMENTS = {"origin": "https://flush.invalid", "storageTypes": "cookies"}


class Flushing:
    """One browser's. `at` is the unix time of the last flush: what was set before it is on disk."""

    def __init__(self, root: CdpClient, pages: Pages) -> None:
        self.at: float | None = None
        self._root, self._pages = root, pages
        self._timer: asyncio.TimerHandle | None = None
        self._flush: asyncio.Task[None] | None = None
        self._over = False
        pages.documents.on_settled = self._soon

    async def flush(self) -> float:
        """Flush now; returns the unix time it was asked. Raises CdpError, CdpClosed, TimeoutError."""
        try:
            return await self._flush_on(self._pages.front or await self._pages.open_tab())
        except CdpError:
            # A client had just closed that tab.
            return await self._flush_on(await self._pages.open_tab())

    def stop(self) -> None:
        """No more flushes by themselves: the browser closes, or is gone. Idempotent."""
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _flush_on(self, page: Page) -> float:
        asked = time.time()
        await self._root.call(_FLUSH, _FLUSH_ARGUMENTS, page.session, timeout=FLUSH_S)
        self.at = max(asked, self.at or asked)
        return asked

    def _soon(self) -> None:
        if self._timer is None and not self._over:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_DELAY_S, self._now)

    def _now(self) -> None:
        self._timer = None
        front = self._pages.front
        if front is not None:  # a client that closed every tab would be surprised by a new one
            self._flush = asyncio.create_task(self._try_flush(front), name=f"flush {front.target}")

    async def _try_flush(self, page: Page) -> None:
        with suppress(CdpError, CdpClosed, TimeoutError):  # then `at` stays as it is: the truth
            await self._flush_on(page)
