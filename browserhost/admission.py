"""How a token is let in to a profile: proven, its browser driven, its session begun, its proof kept fresh."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial

import structlog

from browserhost import fence as fences
from browserhost.clock import boottime
from browserhost.gatekeeper import Gatekeeper
from browserhost.incidents import Incidents
from browserhost.opening import Opened, Opening
from browserhost.session import Session, State
from browserhost.sitting import Sitting
from browserhost.slot import Slot
from browserhost.tasks import Tasks
from browserhost.underway import Underway
from browserhost.witness.witness import Witness
from browserhost.workshop import LiveBrowser, Wanted
from tenure.errors import BrowserCrashed, ProfileCorrupt, ProfileMissing, StoreUnavailable
from tenure.names import ProfileName, SessionName

_log = structlog.get_logger("admission")


class Admission:
    """One profile's. `refuse_when_stopping` raises once the host stops."""

    def __init__(
        self,
        name: ProfileName,
        host: str,
        fence: Gatekeeper,
        sitting: Sitting,
        underway: Underway,
        slot: Slot,
        browser_lock: asyncio.Lock,
        incidents: Incidents,
        witness: Witness,
        tasks: Tasks,
        refuse_when_stopping: Callable[[], None],
    ) -> None:
        self._name = name
        self._host = host
        self._fence = fence
        self._sitting = sitting
        self._underway = underway
        self._slot = slot
        self._browser_lock = browser_lock
        self._incidents = incidents
        self._witness = witness
        self._tasks = tasks
        self._refuse_when_stopping = refuse_when_stopping
        self._verifying: asyncio.Task[None] | None = None

    async def open(self, opening: Opening) -> Opened:
        """As `Profile.open`."""
        self._refuse_when_stopping()
        running = self._underway.opening(opening.token, partial(self._open, opening))
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            if running.cancelled():
                self._refuse_when_stopping()
                # Not this call was given up: the token ended while its browser was being opened.
                raise self._fence.superseded(opening.token) from None
            raise

    def tick(self) -> None:
        """Verify again what is served, and cut what has outlived its proof. Call it often."""
        session, now = self._sitting.session, boottime()
        is_open = session is not None and session.state is State.OPEN
        if is_open and session is not None and fences.expired(self._fence.state, now):
            self._tasks.spawn(self._expire(session), detached=True)
            return
        # A launch may take longer than a proof lasts, so a token whose open is under way is renewed too.
        wanted = is_open or self._underway.is_opening(self._fence.state.floor)
        asking = self._verifying is not None and not self._verifying.done()
        if wanted and not asking and fences.verify_due(self._fence.state, now):
            self._verifying = self._tasks.spawn(self._fence.renew(self._fence.state.floor), detached=True)

    def on_browser_end(self, browser: LiveBrowser) -> None:
        """A browser of the profile's has ended: look after what it leaves, when nobody asked it to."""
        if not browser.ended.result().expected:
            self._tasks.spawn(self._browser_ended(browser, browser.ended.result().how), detached=True)

    async def _open(self, opening: Opening) -> Opened:
        token, timings = opening.token, dict[str, float]()
        began = time.monotonic()
        self._look_ahead(token)
        await self._fence.admit(token)
        timings["verify"] = time.monotonic() - began
        await self._incidents.wait_until_told()
        try:
            async with self._browser_lock:
                self._fence.gate(token)
                self._refuse_when_stopping()
                session = self._sitting.again(token, self._slot.browser)
                if session is not None:
                    return Opened(session, reused=True, timings=timings)
                return await self._drive(opening, timings)
        except ProfileMissing as error:
            await self._incidents.condemn(token, "PROFILE_MISSING", str(error), error)
            raise
        except ProfileCorrupt as error:
            await self._incidents.condemn(token, "PROFILE_UNSOUND", error.finding, error)
            raise
        except BrowserCrashed as error:
            error.profile = str(self._name)
            if self._slot.lost_under(token):
                await self._incidents.condemn(token, "BROWSER_LOST", str(error), error)
            raise

    def _look_ahead(self, token: int) -> None:
        """While the token is proven, have a warm browser say how it stands: asking does no harm.

        Only where nobody has it, so that nothing changes between the look and the hand-over.
        """
        browser, marker = self._slot.browser, self._slot.record.marker
        if self._fence.is_over(token) or browser is None or browser.ended.done():
            return
        if marker is not None and not marker.held and not self._browser_lock.locked():
            browser.look()

    async def _drive(self, opening: Opening, timings: dict[str, float]) -> Opened:
        token = opening.token
        wanted = Wanted(
            token,
            opening.url,
            opening.proxy_key,
            opening.reuse,
            used_elsewhere=self._fence.used_elsewhere,
            look=opening.look,
        )
        recording = self._witness.recording(token)
        recording.opens(opening.url)
        if self._slot.browser is None:
            recording.put_on_disk()
        driven = await self._slot.drive(
            wanted, partial(self._fence.gate, token), self.on_browser_end, self._follow
        )
        self._slot.last_used = time.monotonic()
        timings.update(driven.timings)
        name = SessionName(self._name, token)
        session = Session(name, self._host, opening.proxy_key, time.time(), driven.browser)
        self._sitting.begin(session, driven.browser)
        return Opened(session, driven.reused, timings, driven.prewarmed)

    def _follow(self, token: int, browser: LiveBrowser) -> None:
        """The browser is about to be sent to the token's URL, with folders of its own, and watched."""
        browser.begin_files(token)
        self._witness.follow(token, browser)
        # Beside the navigation, and not beside what that waits for: the marker is of the same disk.
        self._witness.recording(token).put_on_disk()

    async def _expire(self, session: Session) -> None:
        async with self._fence.queue:
            if session.state is State.OPEN and fences.expired(self._fence.state, boottime()):
                _log.warning("cut: no proof", profile=str(self._name), token=session.token)
                await self._sitting.cut(session, State.CUT, StoreUnavailable.reason)

    async def _browser_ended(self, browser: LiveBrowser, how: str) -> None:
        async with self._browser_lock:
            # An open that was at work with it may have dealt with it.
            if self._slot.browser is not browser:
                return
            await self._slot.lost(how)
        marker = self._slot.record.marker
        if marker is None or not marker.held or self._fence.is_over(marker.token):
            return
        token = marker.token
        session = self._sitting.of(token)
        if session is not None:
            await self._sitting.cut(session, State.CRASHED, BrowserCrashed.reason)
        error = BrowserCrashed(profile=str(self._name), problem=how)
        await self._incidents.condemn(token, "BROWSER_LOST", f"the browser ended by itself: {how}", error)
