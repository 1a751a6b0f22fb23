"""One profile on this host: its fence, its browser and its session, one queue for what changes them.

Two locks, always taken in this order. The *queue* guards the floor: checks of verify answers,
Close, a lost browser. The *browser lock* guards the directory: one launch, hand-over, flush or
close at a time. An open waits for the lock service holding neither, so that a Close can overtake
it; the floor is checked again after every wait.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial

import structlog

from browserhost import fence as fences
from browserhost.cache import Standing
from browserhost.clock import boottime
from browserhost.gatekeeper import Gatekeeper
from browserhost.neighbours import Endpoint, LockService
from browserhost.opening import Closed, Opened, Opening
from browserhost.paths import ProfilePaths
from browserhost.session import Session, State
from browserhost.slot import Slot
from browserhost.tasks import Tasks
from browserhost.workshop import LiveBrowser, Wanted
from tenure.errors import (
    BrowserCrashed,
    HostUnreachable,
    ProfileCorrupt,
    ProfileMissing,
    ProfileQuarantined,
    StoreUnavailable,
    TenureError,
)
from tenure.names import SessionName

REPORT_WAIT_S = 5.0
SESSION_ENDED, HOST_STOPPING = "SESSION_ENDED", "HOST_STOPPING"

_log = structlog.get_logger("profile")


class Profile:
    """Owns a profile's browser on this host. `aclose` when done."""

    def __init__(
        self, paths: ProfilePaths, slot: Slot, locks: LockService, endpoint: Endpoint, host: str
    ) -> None:
        self.name = paths.name
        self._slot = slot
        self._locks = locks
        self._endpoint = endpoint
        self._host = host
        self._fence = Gatekeeper(paths.name, paths.floor, locks, host, self._drain)
        self._browser_lock = asyncio.Lock()
        self._tasks = Tasks()
        self._openings: dict[int, asyncio.Task[Opened]] = {}
        self._report: asyncio.Task[None] | None = None
        self._verifying: asyncio.Task[None] | None = None
        self._stopping = False
        self.session: Session | None = None

    # --- what the service asks for -------------------------------------------------------

    async def open(self, opening: Opening) -> Opened:
        """The session of a token, opened once however often it is asked for.

        It goes on when the caller gives up: the same token finds it. Raises what OpenBrowser documents.
        """
        self._refuse_when_stopping()
        running = self._openings.get(opening.token)
        if running is None:
            running = self._tasks.spawn(self._open(opening))
            self._openings[opening.token] = running
            running.add_done_callback(partial(self._opened, opening.token))
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            if running.cancelled():
                self._refuse_when_stopping()
                # Not this call was given up: the token ended while its browser was being opened.
                raise self._fence.superseded(opening.token) from None
            raise

    async def close_hold(self, token: int) -> Closed:
        """End a token here (rule 16). Idempotent; a late one never touches a later hold.

        Raises DiskFull (nothing was changed), ProfileQuarantined when the hold has already become an
        incident here, BrowserCrashed when cookies may be lost (it becomes one), and what a verify
        raises for a token that this host never served.
        """
        self._refuse_when_stopping()
        return await self._tasks.whole(self._close_hold(token))

    async def end_session(self, token: int) -> Session | None:
        """End the token's session, keeping its hold; None when there is none. Idempotent."""
        self._refuse_when_stopping()
        return await self._tasks.whole(self._end_session(token))

    async def shut_down(self, token: int) -> bool:
        """End the token's session and close its browser, keeping the hold; whether one was running."""
        self._refuse_when_stopping()
        return await self._tasks.whole(self._shut_down(token))

    # --- what the host asks for ----------------------------------------------------------

    def standing(self) -> Standing:
        """Its claim to stay in the cache."""
        marker = self._slot.record.marker
        busy = bool(self._openings) or self._browser_lock.locked() or self._fence.queue.locked()
        return Standing(str(self.name), marker is not None and marker.held, busy, self._slot.last_used)

    @property
    def warm(self) -> bool:
        return self._slot.browser is not None

    async def evict(self) -> bool:
        """Close the browser if it is unheld and idle (rule 18); whether it is gone.

        The floor is above every token that this host has closed, and a new hold's open waits for the
        browser lock; so nobody's browser is closed under him.
        """
        try:
            free = await self._locks.free_here(self.name)
        except TenureError as error:
            _log.warning("not evicted", profile=str(self.name), why=str(error))
            return False
        standing = self.standing()
        if not free or standing.held or standing.busy:
            return False
        async with self._browser_lock:
            await self._slot.close()
        return True

    async def recover(self) -> None:
        """At the start of the service, before anything is served (rule 17). Raises DiskFull."""
        marker = self._slot.record.marker
        if marker is None or not marker.held or marker.suspected:
            return
        detail = marker.detail or "the browser host restarted while the hold lasted"
        await self._condemn(marker.token, marker.report or "HOST_RESTARTED", detail, self._quarantined())

    def tick(self) -> None:
        """Verify again what is served, and cut what has outlived its proof. Call it often."""
        session, now = self.session, boottime()
        is_open = session is not None and session.state is State.OPEN
        if is_open and session is not None and fences.expired(self._fence.state, now):
            self._tasks.spawn(self._expire(session), detached=True)
            return
        # A launch may take longer than a proof lasts, so a token whose open is under way is renewed too.
        wanted = is_open or self._fence.state.floor in self._openings
        asking = self._verifying is not None and not self._verifying.done()
        if wanted and not asking and fences.verify_due(self._fence.state, now):
            self._verifying = self._tasks.spawn(self._fence.renew(self._fence.state.floor), detached=True)

    async def aclose(self) -> None:
        """Cut everybody, close the browser cleanly, stop. The marker of a hold that goes on stays held."""
        self._stopping = True
        for task in list(self._openings.values()):
            task.cancel()
        if self.session is not None:
            await self._cut(self.session, State.CUT, HOST_STOPPING)
        async with self._browser_lock:
            await self._slot.close()
        await self._tasks.aclose()

    # --- opening -------------------------------------------------------------------------

    def _opened(self, token: int, task: asyncio.Task[Opened]) -> None:
        if self._openings.get(token) is task:
            del self._openings[token]

    async def _open(self, opening: Opening) -> Opened:
        token, timings = opening.token, dict[str, float]()
        began = time.monotonic()
        await self._fence.admit(token)
        timings["verify"] = time.monotonic() - began
        await self._wait_for_report()
        try:
            async with self._browser_lock:
                self._fence.gate(token)
                self._refuse_when_stopping()
                session = self.session
                if session is not None and session.token == token and session.page is not None:
                    return self._again(session, self._slot.browser, timings)
                return await self._drive(opening, timings)
        except ProfileMissing as error:
            await self._condemn(token, "PROFILE_MISSING", str(error), error)
            raise
        except ProfileCorrupt as error:
            await self._condemn(token, "PROFILE_UNSOUND", error.finding, error)
            raise
        except BrowserCrashed as error:
            error.profile = str(self.name)
            if self._slot.lost_under(token):
                await self._condemn(token, "BROWSER_LOST", str(error), error)
            raise

    def _again(self, session: Session, browser: LiveBrowser | None, timings: dict[str, float]) -> Opened:
        """The session that is open already; one that was cut for want of a proof is let in again."""
        if session.state is State.CUT:
            self._issue(session, browser)
            session.state = State.OPEN
        return Opened(session, reused=True, timings=timings)

    async def _drive(self, opening: Opening, timings: dict[str, float]) -> Opened:
        token = opening.token
        wanted = Wanted(
            token,
            opening.url,
            opening.proxy_key,
            opening.reuse,
            used_elsewhere=self._fence.used_elsewhere,
        )
        driven = await self._slot.drive(wanted, partial(self._fence.gate, token), self._on_browser_end)
        self._slot.last_used = time.monotonic()
        timings.update(driven.timings)
        session = Session(
            SessionName(self.name, token), self._host, opening.proxy_key, time.time(), driven.browser
        )
        self._issue(session, driven.browser)
        self.session = session
        return Opened(session, driven.reused, timings)

    def _issue(self, session: Session, browser: LiveBrowser | None) -> None:
        grant = self._endpoint.issue(
            browser,
            partial(self._fence.gate, session.token),
            partial(self._client_ended, session),
            lambda _: None,
        )
        session.secret, session.cdp_url = grant.secret, grant.url

    def _client_ended(self, session: Session) -> None:
        """A client sent Browser.close: its session ends for every client, the browser stays."""
        secret = session.secret
        session.end(State.CLOSED)
        self._tasks.spawn(self._endpoint.cut(secret, SESSION_ENDED), detached=True)

    # --- the fence -----------------------------------------------------------------------

    async def _drain(self, cut: int, state: State, reason: str) -> None:
        """Cut off every token at or below `cut`, and wait until nothing of it is under way."""
        if self.session is not None and self.session.token <= cut:
            await self._cut(self.session, state, reason)
        current = asyncio.current_task()
        openings = [t for token, t in self._openings.items() if token <= cut and t is not current]
        for opening in openings:
            opening.cancel()
        await asyncio.gather(*openings, return_exceptions=True)

    async def _cut(self, session: Session, state: State, reason: str) -> None:
        secret, page = session.secret, session.page
        session.end(state)
        if state is State.CUT and not self._fence.is_over(session.token):
            # The browser is still its own, should the token be proven again.
            session.page = page
        if secret:
            await self._endpoint.cut(secret, reason)

    async def _expire(self, session: Session) -> None:
        async with self._fence.queue:
            if session.state is State.OPEN and fences.expired(self._fence.state, boottime()):
                _log.warning("cut: no proof", profile=str(self.name), token=session.token)
                await self._cut(session, State.CUT, StoreUnavailable.reason)

    # --- ending --------------------------------------------------------------------------

    async def _close_hold(self, token: int) -> Closed:
        if not self._is_known(token):
            await self._fence.verified(token)
        try:
            async with self._fence.queue:
                if self._is_incident(token):
                    raise self._quarantined()
                await self._fence.take(fences.ended(self._fence.state, token), State.CLOSED, SESSION_ENDED)
                async with self._browser_lock:
                    await self._slot.settle(token)
        except BrowserCrashed as error:
            await self._condemn(token, "BROWSER_LOST", str(error), error)
            raise
        except ProfileQuarantined:
            # Acknowledged only as what it is: a release before the report would free an unproven end.
            await self._wait_for_report()
            raise
        marker = self._slot.record.marker
        session = self.session if self.session is not None and self.session.token == token else None
        if session is not None:
            session.end(State.CLOSED)
        return Closed(
            used=marker is not None and marker.used,
            flushed_at=marker.flushed_at if marker is not None else None,
            session=session,
        )

    def _is_known(self, token: int) -> bool:
        """Whether the token is over, or was proven, here: a number made up by a caller is neither."""
        if self._fence.is_over(token) or self._fence.was_proven(token):
            return True
        return self._slot.record.marker is not None and self._slot.record.marker.token == token

    def _is_incident(self, token: int) -> bool:
        marker = self._slot.record.marker
        return (
            marker is not None
            and marker.token == token
            and marker.held
            and bool(marker.report or marker.suspected)
        )

    async def _end_session(self, token: int) -> Session | None:
        async with self._fence.queue:
            if self._fence.is_over(token):
                raise self._fence.superseded(token)
            if token in self._openings:
                await self._drain_opening(token)
            session = self.session
            if session is None or session.token != token:
                return None
            was_open = session.page is not None
            await self._cut(session, State.CLOSED, SESSION_ENDED)
            async with self._browser_lock:
                if not self._slot.keep_warm:
                    await self._slot.close()
                elif was_open:
                    session.flushed_at = await self._slot.flush() or session.flushed_at
            return session

    async def _shut_down(self, token: int) -> bool:
        await self._fence.admit(token)
        async with self._fence.queue:
            self._fence.gate(token)
            await self._drain_opening(token)
            if self.session is not None and self.session.token == token:
                await self._cut(self.session, State.CLOSED, SESSION_ENDED)
            async with self._browser_lock:
                return await self._slot.close() is not None

    async def _drain_opening(self, token: int) -> None:
        opening = self._openings.get(token)
        if opening is not None:
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)

    # --- what goes wrong -----------------------------------------------------------------

    def _on_browser_end(self, browser: LiveBrowser) -> None:
        if not browser.ended.result().expected:
            self._tasks.spawn(self._browser_ended(browser, browser.ended.result().how), detached=True)

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
        if self.session is not None and self.session.token == token:
            await self._cut(self.session, State.CRASHED, BrowserCrashed.reason)
        error = BrowserCrashed(profile=str(self.name), problem=how)
        await self._condemn(token, "BROWSER_LOST", f"the browser ended by itself: {how}", error)

    async def _condemn(self, token: int, cause: str, detail: str, error: TenureError) -> None:
        """End a token whose hold went wrong here, and report it until that is heard. Does not raise."""
        async with self._fence.queue:
            marker = self._slot.record.marker
            if marker is not None and marker.token > token:
                # A later hold was let in meanwhile, so a decision has dealt with this one.
                return
            if self._report is not None and self._is_incident(token):
                # Its browser's end and what it broke are both seen: one incident, told once.
                return
            await self._fence.end(token, error)
            await self._slot.record.condemn(token, cause, detail)
            self._report = self._tasks.spawn(self._tell(token, cause, detail), detached=True)

    async def _tell(self, token: int, cause: str, detail: str) -> None:
        suspected = await self._locks.suspect(self.name, token, cause, detail)
        async with self._fence.queue:
            await self._slot.record.reported(token, suspected)

    async def _wait_for_report(self) -> None:
        """Nothing is served before the lock service has heard of what went wrong. Raises StoreUnavailable."""
        if self._report is not None and not self._report.done():
            await asyncio.wait([self._report], timeout=REPORT_WAIT_S)
            if not self._report.done():
                raise StoreUnavailable("The last hold's end is not yet reported to the lock service.")

    def _quarantined(self) -> ProfileQuarantined:
        return ProfileQuarantined(profile=str(self.name), state="SUSPECTED_STALE")

    def _refuse_when_stopping(self) -> None:
        if self._stopping:
            raise HostUnreachable(f"host '{self._host}' is stopping. Try again.", host=self._host)
