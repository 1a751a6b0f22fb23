"""A live browser: started, handed from session to session, flushed, closed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from types import TracebackType
from typing import Self

from browserhost import beginning, start_url
from browserhost.body import Body
from browserhost.chrome import LaunchSpec
from browserhost.ends import BrowserEnd, CloseReport, NotAdopted
from browserhost.keepers import Called
from browserhost.page import Observer, Page
from browserhost.picture import Picture, Wish
from browserhost.tree import NotTheSame
from tenure.cdp import CdpClosed, CdpError
from tenure.errors import BrowserCrashed

__all__ = ["Browser", "BrowserEnd", "CloseReport", "LaunchSpec", "NotAdopted"]


REST_S = 3.0
"""How long a page may take to come to what clients sent to it before they were cut."""


class Browser(Body):
    """Owns one Chrome, its display, its keeper. Get it from `launch`; `close` (or `async with`) ends it."""

    @classmethod
    async def launch(cls, spec: LaunchSpec) -> Self:
        """Start a browser on about:blank.

        Raises BrowserMissing, DiskFull, FileNotFoundError (no profile directory) with nothing
        started; BrowserCrashed with nothing left when it ended, or did not answer in time.
        """
        begun = time.monotonic()
        browser = cls(spec, await beginning.start(spec))
        browser.timings = await browser._first_words.to_new(begun)
        browser.pid, browser.start_ticks = browser._tree.chrome.result()
        return browser

    @classmethod
    async def adopt(cls, spec: LaunchSpec, called: Called, *, still: bool) -> Self:
        """Go on with a browser that another host left. Its clients' sessions end with that host, but
        for those that it left in good order, which are parked.

        Its pages are tainted; `still`: they are stilled, for good. `spec` is what it would be started with
        now. Raises NotAdopted, with nothing kept of it: it ends.
        """
        try:
            parts = await beginning.go_on(spec, called, still=still)
        except (NotTheSame, OSError) as error:  # a timeout is one
            raise NotAdopted(str(error)) from error
        browser = cls(spec, parts, called.note)
        await browser._first_words.to_left(still=still)
        browser.pid, browser.start_ticks = browser._tree.chrome.result()
        return browser

    async def in_view(self) -> Page:
        """The newest page that can be seen, of which `picture` takes one. Raises NoPicture, CdpClosed."""
        return await self._camera.in_view()

    def watch(self, observer: Observer) -> None:
        """Tell `observer`, in place of the one before, what happens on the pages from now on."""
        self._pages.documents.observer = observer

    async def put_out(self, reason: str) -> None:
        """End the clients of the host before that are not back yet. Does not raise. Idempotent.

        When this returns the pages have come to all that those sent, or REST_S is over.
        """
        with suppress(CdpError, CdpClosed, TimeoutError):
            await self.mux.put_out(reason)
            async with asyncio.timeout(REST_S):
                await self.come_to_rest()

    def taint(self) -> None:
        """A client is about to do what may leave something in the pages: they are not handed on."""
        self._stilling.taint()

    def stop_loading(self) -> None:
        """Give up what the pages are navigating to, before `still`."""
        self._stilling.stop_loading()

    async def still(self, *, for_good: bool) -> None:
        """Stop what runs in the pages; returns once it has, or after a second. Does not raise. Idempotent.

        Without `for_good` they can be woken with nothing lost.
        """
        await self._stilling.still(for_good=for_good)

    def wake(self) -> None:
        """Let the pages that were stilled go on. Idempotent."""
        self._stilling.wake(*self._pages.all)

    async def prepare(self) -> None:
        """Have a tab ready for the next session where the last one left none. Raises BrowserCrashed."""
        async with self._usable():
            await self._handing.prepare()

    async def warm_up(self) -> None:
        """Have what a first navigation needs running, without a trace in the profile. Does not raise."""
        with suppress(CdpError, CdpClosed, TimeoutError):
            await self._handing.warm_up()

    async def come_to_rest(self) -> None:
        """Return once the pages have come to all that was sent to them before. The caller bounds it."""
        await self._pages.come_to_rest()

    async def answers(self) -> None:
        """Return once the browser has answered. The caller bounds it. Raises BrowserCrashed."""
        async with self._usable():
            await self.mux.root.post("Browser.getVersion")

    async def picture(self, wish: Wish = Wish()) -> Picture:  # noqa: B008 - it is frozen
        """A picture of the page in view with every secret field covered, also in frames of other sites.

        Waits as long as it takes: the caller bounds it. Raises NoPicture, with nothing taken, where it is not
        sure that every secret is covered; InvalidField for a region that is not in view; BrowserCrashed.
        """
        async with self._usable():
            try:
                return await self._camera.take(wish)
            finally:
                self._stilling.thawed()

    async def open(self, url: str) -> dict[str, float]:
        """Navigate the front tab and return once the document landed, with the seconds it took.

        Raises InvalidField, NavigationFailed and ProxyDown (the browser stays usable), BrowserCrashed.
        """
        start_url.check(url, self.spec.egress)
        async with self._usable():
            return await self._handing.open(url)

    def look(self) -> None:
        """Have Chrome say how it stands, for a hand-over that may come at once. Changes nothing.

        Where nobody is in session, and nothing else is done with the browser.
        """
        self._handing.look()

    async def hand_over(self, url: str) -> dict[str, float]:
        """Make a warm browser a new session's own, then open `url`.

        Proves that Chrome and the front page's renderer answer; cuts clients that are left; ends
        downloads, other tabs, other contexts, granted permissions, and every page that a client may have
        left something in. Overrides and interceptions ended with clients' sessions. Raises as `open` does.
        """
        start_url.check(url, self.spec.egress)
        async with self._usable():
            self.mux.drop_all("SESSION_ENDED")
            return await self._handing.hand_over(url)

    async def flush(self) -> float:
        """Have Chrome write its cookies; returns, and keeps in `flushed_at`, the unix time it was asked.

        What was set before that time is on disk. localStorage has no such call: it is written
        some seconds later, or when its origin's last tab closes. Raises BrowserCrashed.
        """
        async with self._usable():
            return await self._flushing.flush()

    def put_down(self, why: str) -> None:
        """Kill it, as it is of no use to anybody: to whoever has it, it ended by itself. Idempotent.

        `why` is a clause, the first of what its end says.
        """
        self._closing.put_down(why)

    async def close(self) -> CloseReport:
        """End the browser and return when nothing of it is left. Idempotent; a cancelled wait ends nothing.

        Flushes, then closes through CDP; past CLOSE_S closes the pipe, then kills, and says so.
        """
        return await self._closing.close()

    async def aclose(self) -> None:
        """As `close`, for those who do not ask how it went."""
        await self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @asynccontextmanager
    async def _usable(self) -> AsyncIterator[None]:
        """Turn what breaks inside into BrowserCrashed."""
        try:
            yield
        except (CdpClosed, CdpError, TimeoutError) as error:
            problem = str(error) or "it does not answer"
            raise BrowserCrashed(problem=problem) from error
