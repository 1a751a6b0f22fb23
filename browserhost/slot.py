"""The one browser of a profile directory: started, handed over, closed, and never unaccounted for.

Everything here is called by one at a time (the profile's browser lock). The marker is on disk
before whatever it tells of happens, so that a host that dies at any moment is understood by the
next one.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import structlog

from browserhost import fitting, start_url, starting
from browserhost import marker as marks
from browserhost.browser import CloseReport, LaunchSpec
from browserhost.directory import Directory
from browserhost.egress.upstream import Upstream
from browserhost.fitting import Born
from browserhost.keepers import Called
from browserhost.launching import Launching
from browserhost.marker import Marker
from browserhost.paths import ProfilePaths
from browserhost.record import Record
from browserhost.workshop import Driven, LiveBrowser, Wanted, Workshop
from tenure.errors import (
    BrowserCrashed,
    DiskFull,
    NavigationFailed,
    ProxyDown,
    TenureError,
)

OnEnd = Callable[[LiveBrowser], None]

_log = structlog.get_logger("slot")


class Slot:
    """Holds at most one live browser. `keep_warm`: it stays when its session ends, unless the host drains.
    `prewarmed`: it was launched ahead, and nobody has used it since.
    """

    def __init__(self, paths: ProfilePaths, workshop: Workshop, record: Record) -> None:
        self.browser: LiveBrowser | None = None
        self.record = record
        self.keep_warm = True
        self.last_used = 0.0
        self.prewarmed = False
        self._born = Born(0.0)
        self.directory = Directory(paths, workshop)
        self._launching = Launching(paths, workshop, record)
        self._paths = paths
        self._workshop = workshop
        self._key = str(paths.name)

    @property
    def scratch(self) -> Path:
        """Where an inspection may put its copies."""
        return self._workshop.scratch

    async def drive(
        self,
        wanted: Wanted,
        gate: Callable[[], None],
        on_end: OnEnd,
        follow: Callable[[int, LiveBrowser], None],
    ) -> Driven:
        """A browser for the token at its URL: the live one handed over, or a new one.

        `gate` raises when the token may not act any more, and is asked right before it does. `on_end`
        is called when a browser that this starts has ended, `follow` right before one is sent to the URL.
        Raises what `gate` does, InvalidField, ProxyDown, NoRoom, DiskFull (nothing was changed),
        BrowserMissing, BrowserOutdated, NavigationFailed (the browser stays), ProfileMissing, ProfileCorrupt,
        BrowserCrashed.
        """
        start_url.check(wanted.url, self._workshop.egress)
        upstream = await self._workshop.upstream(wanted.proxy_key, self._paths.name)
        timings: dict[str, float] = {}
        if self.browser is not None and self.browser.ended.done():
            await self.lost(self.browser.ended.result().how)
            if self.lost_under(wanted.token):
                raise BrowserCrashed(profile=self._key, problem="it ended by itself")
        if self.browser is not None and not self._fits(wanted, upstream):
            await self.close()
        if self.browser is not None:
            await self._proven(upstream, timings)
            driven = await self._hand_over(self.browser, wanted, gate, follow, timings)
            if driven is not None:
                return driven
        browser = await self._start(wanted, upstream, timings, on_end)
        timings.update(browser.timings)
        await self._proven(upstream, timings)
        gate()
        follow(wanted.token, browser)
        try:
            timings.update(await browser.open(wanted.url))
        except BrowserCrashed:
            await self.close()
            raise
        return Driven(browser, reused=False, timings=timings)

    async def prewarm(self, wanted: Wanted, on_end: OnEnd, timings: dict[str, float]) -> bool:
        """Have a browser ready that fits what is wanted, with no page opened; whether it was there before.

        The caller has seen to it that nobody holds the profile. Raises as `drive` does.
        """
        upstream = await self._workshop.upstream(wanted.proxy_key, self._paths.name)
        if self.browser is not None and self.browser.ended.done():
            await self.lost(self.browser.ended.result().how)
        if self.browser is not None and self._fits(wanted, upstream):
            return True
        await self.close()
        browser = await self._start(wanted, upstream, timings, on_end, ahead=True)
        timings.update(browser.timings)
        self.prewarmed, self.last_used = True, time.monotonic()
        browser.remember(prewarmed=True)
        began = time.monotonic()
        await browser.warm_up()
        timings["warm_up"] = time.monotonic() - began
        return False

    async def adopt(self, called: Called, upstream: Upstream | None, on_end: OnEnd, *, still: bool) -> None:
        """Go on with a browser that another host left, which is the one that the marker names.

        `still`: nothing runs in its pages any more. Raises NotAdopted: it ends.
        """
        self._workshop.cache.take(self._key)
        try:
            spec = self._launching.adopted(called.note, upstream)
            browser = await self._workshop.adopt(spec, called, still=still)
        except BaseException:
            self._workshop.cache.free(self._key)
            raise
        self.browser, self.keep_warm = browser, called.note.keep_warm
        self._born = Born(called.note.launched_at)
        self.prewarmed = called.note.prewarmed
        self.last_used = time.monotonic()
        browser.ended.add_done_callback(lambda _: on_end(browser))

    def lost_under(self, token: int) -> bool:
        """Whether the browser is gone, not cleanly, while the token's hold drove it."""
        marker = self.record.marker
        unclean = marker is not None and marker.held and marker.token == token and marker.end == marks.UNCLEAN
        return self.browser is None and unclean

    async def flush(self) -> float | None:
        """Flush as well as can be had; the time before which all cookies are on disk. Does not raise."""
        if self.browser is None:
            return None
        try:
            return await self.browser.flush()
        except TenureError as error:
            _log.warning("not flushed", profile=self._key, why=str(error))
            return self.browser.flushed_at

    async def prepare(self) -> None:
        """Have the live browser, if there is one, ready for the next hold, or closed where it cannot be.

        Does not raise.
        """
        if self.browser is None or self.browser.ended.done():
            return
        try:
            await self.browser.prepare()
        except TenureError as error:
            _log.warning("not prepared, closing instead", profile=self._key, why=str(error))
            await self.close()

    async def settle(self, token: int) -> None:
        """A hold at or below `token` is closed: flush, or close what is not to stay, and say so on disk.

        Raises BrowserCrashed when neither a flush nor a clean end could be had: then cookies may be
        lost, and the marker still says held. Raises DiskFull likewise; call again. Idempotent.
        """
        marker = self.record.marker
        if marker is None or not marker.held or marker.token > token:
            return
        if self.browser is None and marker.token < token:
            # What an earlier hold left behind is judged at the next start, and this one never drove it.
            return
        if self.browser is not None and self.keep_warm and not self._workshop.cache.draining:
            try:
                await self.browser.flush()
            except TenureError as error:
                _log.warning("no flush, closing instead", profile=self._key, why=str(error))
                await self.close()
        elif self.browser is not None:
            await self.close()
        if self.browser is not None:
            self.last_used = time.monotonic()
            flushed_at = self.browser.flushed_at
        elif self.record.known.end == marks.CLEAN or self.record.known.flushed_at is not None:
            flushed_at = self.record.known.flushed_at
        else:
            raise BrowserCrashed(
                profile=self._key, problem="it did not write its cookies when its hold ended"
            )
        await self.record.change(lambda now: replace(now, held=False, flushed_at=flushed_at))

    async def close(self) -> CloseReport | None:
        """Close the browser, if there is one, and record how it ended; the hold goes on. Does not raise."""
        browser = self.browser
        if browser is None:
            return None
        began = time.time()
        report = await browser.close()
        self.browser = None
        self._workshop.cache.free(self._key)
        # Of an unclean end only a flush made while closing proves that the last cookies were saved.
        flushed = report.flushed_at is not None and (report.clean or report.flushed_at >= began)
        end = marks.CLEAN if report.clean else marks.UNCLEAN
        flushed_at = report.flushed_at if flushed else self._flushed_before()
        await self.record.note(lambda now: replace(now, end=end, flushed_at=flushed_at))
        _log.info("browser closed", profile=self._key, clean=report.clean, how=report.how)
        return report

    async def lost(self, how: str) -> None:
        """The browser ended by itself. Does not raise."""
        self.browser = None
        self._workshop.cache.free(self._key)
        flushed_at = self._flushed_before()
        await self.record.note(lambda now: replace(now, end=marks.UNCLEAN, flushed_at=flushed_at))
        _log.warning("browser lost", profile=self._key, held=self.record.known.held, how=how)

    def _flushed_before(self) -> float | None:
        """What an unproven end leaves of the last flush: all that mattered if nobody has held it since."""
        return None if self.record.known.held else self.record.known.flushed_at

    # --- a live browser -----------------------------------------------------------------

    def _fits(self, wanted: Wanted, upstream: Upstream | None) -> bool:
        if self.browser is None:
            return False
        known, shop = self.record.known, self._workshop
        why = fitting.why_not(self._key, self.browser, self._born, known, wanted, upstream, shop)
        if why:
            _log.info("not handed on", profile=self._key, why=why)
        return not why

    async def _proven(self, upstream: Upstream | None, timings: dict[str, float]) -> None:
        """Wait for the proof of where the upstream comes out. Raises ProxyDown; a browser stays."""
        if upstream is not None and upstream.exit is not None:
            began = time.monotonic()
            await self._workshop.proven(upstream)
            timings["proxy"] = time.monotonic() - began

    async def _hand_over(
        self,
        browser: LiveBrowser,
        wanted: Wanted,
        gate: Callable[[], None],
        follow: Callable[[int, LiveBrowser], None],
        timings: dict[str, float],
    ) -> Driven | None:
        """The live browser at the URL; None when it proved unusable and is closed."""
        before = self.record.known
        token = wanted.token
        await self.record.change(lambda now: now.begun(token))
        gate()
        follow(wanted.token, browser)
        try:
            timings.update(await browser.hand_over(wanted.url))
        except (NavigationFailed, ProxyDown):
            raise
        except TenureError as error:
            _log.warning("warm browser is unusable", profile=self._key, why=str(error))
            await self.close()
            await self.record.change(lambda now: now.taken_back(before, token))
            return None
        ahead, self.prewarmed = self.prewarmed, False
        if ahead:
            browser.remember(prewarmed=False)
        return Driven(browser, reused=not ahead, timings=timings, prewarmed=ahead)

    # --- a new browser ------------------------------------------------------------------

    async def _start(
        self,
        wanted: Wanted,
        upstream: Upstream | None,
        timings: dict[str, float],
        on_end: OnEnd,
        *,
        ahead: bool = False,
    ) -> LiveBrowser:
        before = self.record.marker
        question = self.directory.before_start(before, used_elsewhere=wanted.used_elsewhere)
        await self.directory.refuse_older_browser()
        await self.directory.refuse_unmet(wanted.look)
        await self._workshop.cache.reserve(self._key)
        try:
            lock_fd = await self.directory.lock(timings)
            try:
                if question is starting.Start.INSPECT:
                    await self.directory.look(self.record.marker, wanted.token, timings)
                spec = self._launching.spec(wanted, upstream, lock_fd)
                begin = self._launching.marker_ahead if ahead else self._launching.marker
                return await self._launch(begin(wanted), spec, on_end, keep_warm=wanted.reuse)
            finally:
                # From here on keeper and Chrome have it; see browserhost.lock.
                os.close(lock_fd)
        except BaseException:
            if self.browser is None:
                self._workshop.cache.free(self._key)
            raise

    async def _launch(
        self, marker: Marker, spec: LaunchSpec, on_end: OnEnd, *, keep_warm: bool
    ) -> LiveBrowser:
        before = self.record.marker
        browser = await self._launching.launch(spec, marker)
        # All at once, before anything is awaited: whoever cancels this leaves a browser that is watched.
        self.browser, self.keep_warm, self.prewarmed = browser, keep_warm, False
        self._born = Born.now(self._workshop)
        browser.remember(keep_warm=keep_warm)
        browser.ended.add_done_callback(lambda _: on_end(browser))
        try:
            await self._launching.launched(browser, marker)
        except DiskFull:
            await self.close()
            self.record.take_back(before, marker, ran=True)
            raise
        return browser
