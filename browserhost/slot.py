"""The one browser of a profile directory: started, handed over, closed, and never unaccounted for.

Everything here is called by one at a time (the profile's browser lock). The marker is on disk
before whatever it tells of happens, so that a host that dies at any moment is understood by the
next one.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import structlog

from browserhost import durable, lock, starting
from browserhost import marker as marks
from browserhost.browser import BrowserEnd, CloseReport, LaunchSpec
from browserhost.cache import Cache
from browserhost.inspect.profile import inspect
from browserhost.marker import Marker
from browserhost.paths import ProfilePaths
from browserhost.tasks import in_thread
from tenure.errors import (
    BrowserCrashed,
    BrowserMissing,
    DiskFull,
    NavigationFailed,
    ProfileCorrupt,
    ProfileMissing,
    ProxyDown,
    TenureError,
)

_log = structlog.get_logger("slot")


class LiveBrowser(Protocol):
    """A running browser, as `browserhost.browser.Browser` is one."""

    pid: int
    start_ticks: int
    flushed_at: float | None
    timings: dict[str, float]
    ended: asyncio.Future[BrowserEnd]

    @property
    def url(self) -> str: ...

    async def open(self, url: str) -> dict[str, float]: ...

    async def hand_over(self, url: str) -> dict[str, float]: ...

    async def flush(self) -> float: ...

    async def close(self) -> CloseReport: ...


Launch = Callable[[LaunchSpec], Awaitable[LiveBrowser]]


@dataclass(frozen=True, slots=True)
class Workshop:
    """What all browsers of a host have in common. Times in seconds."""

    launch: Launch
    chrome: str
    xvfb: str
    sandbox: bool
    width: int
    height: int
    tmp_root: Path
    host: str
    boot_id: str
    proxies: dict[str, str]
    launching: asyncio.Semaphore
    cache: Cache
    lock_wait_s: float = 20.0

    def proxy_server(self, key: str) -> str | None:
        """The upstream of a proxy key; None for no proxy. Raises ProxyDown: never opened without it."""
        if not key:
            return None
        if key not in self.proxies:
            raise ProxyDown(proxy_key=key, problem="this host has no upstream of that name")
        return self.proxies[key]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A browser wanted under a token. `used_elsewhere`: the lock service knows of an earlier use."""

    token: int
    url: str
    proxy_key: str
    reuse: bool
    used_elsewhere: bool


@dataclass(slots=True)
class Driven:
    """A browser at its URL. Timings in seconds by phase."""

    browser: LiveBrowser
    reused: bool
    timings: dict[str, float] = field(default_factory=dict)


class Slot:
    """Holds at most one live browser. `keep_warm`: it stays when its session ends."""

    def __init__(self, paths: ProfilePaths, workshop: Workshop, marker: Marker | None) -> None:
        self.browser: LiveBrowser | None = None
        self.marker = marker
        self.keep_warm = True
        self.last_used = 0.0
        self._paths = paths
        self._workshop = workshop
        self._key = str(paths.name)

    async def drive(
        self, wanted: Wanted, gate: Callable[[], None], on_end: Callable[[LiveBrowser], None]
    ) -> Driven:
        """A browser for the token at its URL: the live one handed over, or a new one.

        `gate` raises when the token may not act any more, and is asked right before it does. `on_end`
        is called when a browser that this starts has ended. Raises what `gate` does, ProxyDown, NoRoom,
        DiskFull (nothing was changed), BrowserMissing, NavigationFailed (the browser stays),
        ProfileMissing, ProfileCorrupt, BrowserCrashed.
        """
        proxy_server = self._workshop.proxy_server(wanted.proxy_key)
        timings: dict[str, float] = {}
        if self.browser is not None and self.browser.ended.done():
            await self.lost(self.browser.ended.result().how)
            if self.lost_under(wanted.token):
                raise BrowserCrashed(profile=self._key, problem="it ended by itself")
        if self.browser is not None and not self._fits(wanted):
            await self.close()
        if self.browser is not None:
            driven = await self._hand_over(self.browser, wanted, gate, timings)
            if driven is not None:
                return driven
        browser = await self._start(wanted, proxy_server, timings)
        browser.ended.add_done_callback(lambda _: on_end(browser))
        self.keep_warm = wanted.reuse
        timings.update(browser.timings)
        gate()
        try:
            timings.update(await browser.open(wanted.url))
        except BrowserCrashed:
            await self.close()
            raise
        return Driven(browser, reused=False, timings=timings)

    def lost_under(self, token: int) -> bool:
        """Whether the browser is gone, not cleanly, while the token's hold drove it."""
        marker = self.marker
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

    async def settle(self, token: int) -> None:
        """A hold at or below `token` is closed: flush, or close what is not to stay, and say so on disk.

        Raises BrowserCrashed when neither a flush nor a clean end could be had: then cookies may be
        lost, and the marker still says held. Raises DiskFull likewise; call again. Idempotent.
        """
        marker = self.marker
        if marker is None or not marker.held or marker.token > token:
            return
        if self.browser is None and marker.token < token:
            # What an earlier hold left behind is judged at the next start, and this one never drove it.
            return
        if self.browser is not None and self.keep_warm:
            try:
                await self.browser.flush()
            except TenureError as error:
                _log.warning("no flush, closing instead", profile=self._key, why=str(error))
                await self.close()
        elif self.browser is not None:
            await self.close()
        if self.browser is not None:
            marker = replace(self._marker, held=False, flushed_at=self.browser.flushed_at)
        elif self._marker.end == marks.CLEAN or self._marker.flushed_at is not None:
            marker = replace(self._marker, held=False)
        else:
            raise BrowserCrashed(
                profile=self._key, problem="it did not write its cookies when its hold ended"
            )
        await self._mark(marker)

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
        marker = replace(
            self._marker,
            end=marks.CLEAN if report.clean else marks.UNCLEAN,
            flushed_at=report.flushed_at if flushed else self._flushed_before(),
        )
        await self._try_to_mark(marker)
        _log.info("browser closed", profile=self._key, clean=report.clean, how=report.how)
        return report

    async def lost(self, how: str) -> None:
        """The browser ended by itself. Does not raise."""
        self.browser = None
        self._workshop.cache.free(self._key)
        await self._try_to_mark(replace(self._marker, end=marks.UNCLEAN))
        _log.warning("browser lost", profile=self._key, held=self._marker.held, how=how)

    async def condemn(self, token: int, cause: str, detail: str) -> None:
        """Record that `token` must be made suspect; lasts until `reported`. Does not raise."""
        base = self.marker or Marker(token, held=True, boot_id=self._workshop.boot_id, end=marks.UNCLEAN)
        used = base.used or cause == "PROFILE_MISSING"
        await self._try_to_mark(
            replace(base, token=token, held=True, used=used, report=cause, detail=detail, suspected=False)
        )

    async def reported(self, suspected: bool) -> None:
        """The lock service has answered the report. Does not raise.

        When it knows of no incident, no decision can have freed the profile either: then only a
        clean directory may start.
        """
        marker = replace(self._marker, report="", suspected=suspected)
        if not suspected:
            marker = replace(marker, held=False, flushed_at=None)
        await self._try_to_mark(marker)

    def _flushed_before(self) -> float | None:
        """What an unproven end leaves of the last flush: all that mattered if nobody has held it since."""
        return None if self._marker.held else self._marker.flushed_at

    # --- a live browser -----------------------------------------------------------------

    def _fits(self, wanted: Wanted) -> bool:
        return wanted.reuse and self._marker.proxy_key == wanted.proxy_key

    async def _hand_over(
        self, browser: LiveBrowser, wanted: Wanted, gate: Callable[[], None], timings: dict[str, float]
    ) -> Driven | None:
        """The live browser at the URL; None when it proved unusable and is closed."""
        before = self._marker
        await self._mark(replace(before, token=wanted.token, held=True, suspected=False))
        gate()
        try:
            timings.update(await browser.hand_over(wanted.url))
        except NavigationFailed:
            raise
        except TenureError as error:
            _log.warning("warm browser is unusable", profile=self._key, why=str(error))
            await self.close()
            # Nothing was done under the new hold yet, so the end is judged as that of the old one.
            await self._mark(replace(before, end=self._marker.end))
            return None
        return Driven(browser, reused=True, timings=timings)

    # --- a new browser ------------------------------------------------------------------

    async def _start(
        self, wanted: Wanted, proxy_server: str | None, timings: dict[str, float]
    ) -> LiveBrowser:
        before = self.marker
        question = starting.before_start(_filled(self._paths.profile_dir), before, wanted.used_elsewhere)
        if question is starting.Start.MISSING:
            raise ProfileMissing(profile=self._key, host=self._workshop.host)
        await self._workshop.cache.reserve(self._key)
        try:
            lock_fd = await self._take_lock(timings)
            try:
                if question is starting.Start.INSPECT:
                    await self._inspect(wanted.token, timings)
                return await self._launch(wanted, proxy_server, lock_fd)
            finally:
                # From here on keeper and Chrome have it; see browserhost.lock.
                os.close(lock_fd)
        except BaseException:
            if self.browser is None:
                self._workshop.cache.free(self._key)
            raise

    async def _take_lock(self, timings: dict[str, float]) -> int:
        began = time.monotonic()
        descriptor = await lock.wait_for_lock(self._paths.lock, self._workshop.lock_wait_s)
        if descriptor is None:
            raise ProfileCorrupt(
                profile=self._key,
                finding=f"LIVE: an earlier browser did not end within {self._workshop.lock_wait_s:g} s",
            )
        waited = time.monotonic() - began
        if waited > 0.001:
            timings["lock"] = waited
        return descriptor

    async def _inspect(self, token: int, timings: dict[str, float]) -> None:
        began = time.monotonic()
        found = await asyncio.to_thread(inspect, self._paths.profile_dir, self._workshop.tmp_root)
        timings["inspect"] = time.monotonic() - began
        judgement = starting.after_inspection(found, self.marker, token)
        if judgement.finding:
            _log.warning("finding", profile=self._key, token=token, finding=judgement.finding)
            line = f"{time.time():.3f} {token} {judgement.finding}".encode()
            await in_thread(durable.append, self._paths.findings, line)
        if not judgement.start:
            raise ProfileCorrupt(profile=self._key, finding=judgement.finding)

    async def _launch(self, wanted: Wanted, proxy_server: str | None, lock_fd: int) -> LiveBrowser:
        before, shop = self.marker, self._workshop
        marker = Marker(
            wanted.token,
            held=True,
            boot_id=shop.boot_id,
            proxy_key=wanted.proxy_key,
            flushed_at=before.flushed_at if before else None,
            used=wanted.used_elsewhere or (before is not None and before.used),
        )
        spec = LaunchSpec(
            profile_dir=self._paths.profile_dir,
            lock_fd=lock_fd,
            proxy_key=wanted.proxy_key,
            proxy_server=proxy_server,
            tmp_root=shop.tmp_root,
            chrome=shop.chrome,
            xvfb=shop.xvfb,
            sandbox=shop.sandbox,
            width=shop.width,
            height=shop.height,
        )
        tried = False
        try:
            await self._mark(marker)
            with durable.disk_full_is_refused(self._paths.profile_dir):
                durable.make_directory(self._paths.profile_dir)
            async with shop.launching:
                tried = True
                browser = await shop.launch(spec)
        except BaseException as error:
            # Those two are raised with nothing started.
            ran = tried and not isinstance(error, (BrowserMissing, DiskFull))
            self._launch_failed(before, marker, ran=ran)
            raise
        self.browser = browser
        marker = replace(marker, used=True, pid=browser.pid, start_ticks=browser.start_ticks)
        try:
            await self._mark(marker)
        except DiskFull:
            self.marker = marker
            await self.close()
            self._launch_failed(before, marker, ran=True)
            raise
        return browser

    def _launch_failed(self, before: Marker | None, tried: Marker, *, ran: bool) -> None:
        """Put the marker back: no hold drove a browser, but Chrome may have touched the directory.

        Blocks for one write, since it must also run while its task is being cancelled.
        """
        if before is None and not ran:
            with suppress(OSError):
                self._paths.marker.unlink()
            self.marker = None
            return
        back = before or replace(tried, held=False, used=False)
        self.marker = replace(back, end=marks.UNCLEAN) if ran else back
        with suppress(DiskFull):
            # Left as it is, it says held and unproven: the least comfortable reading.
            marks.store(self._paths.marker, self.marker)

    # --- the marker ---------------------------------------------------------------------

    @property
    def _marker(self) -> Marker:
        if self.marker is None:
            raise RuntimeError("a browser without a marker")
        return self.marker

    async def _mark(self, marker: Marker) -> None:
        if marker != self.marker:
            await in_thread(self._store, marker)

    def _store(self, marker: Marker) -> None:
        marks.store(self._paths.marker, marker)
        self.marker = marker

    async def _try_to_mark(self, marker: Marker) -> None:
        """Record what has happened already. What disk has without it reads as worse, never as better."""
        try:
            await self._mark(marker)
        except DiskFull as error:
            _log.error("marker not written", profile=self._key, why=str(error))
            self.marker = marker


def _filled(directory: Path) -> bool:
    """Whether there is a profile: an empty directory is as good as none."""
    try:
        with os.scandir(directory) as entries:
            return any(entries)
    except FileNotFoundError:
        return False
