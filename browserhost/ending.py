"""How a token ends at this host: released, quarantined, or only its session, the hold going on."""

from __future__ import annotations

import asyncio

from browserhost import fence as fences
from browserhost.examiner import Examiner
from browserhost.gatekeeper import Gatekeeper
from browserhost.incidents import Incidents
from browserhost.opening import Closed, Quarantined
from browserhost.session import Session, State
from browserhost.sitting import SESSION_ENDED, Sitting
from browserhost.slot import Slot
from browserhost.tasks import Tasks
from browserhost.underway import Underway
from browserhost.witness.ledger import NOTE
from browserhost.witness.witness import Witness
from browserhost.workshop import LiveBrowser
from tenure.errors import BrowserCrashed, OutcomeUnknown, ProfileQuarantined, TokenSuperseded

REST_S = 1.0
"""What a quarantine gives the pages, beyond the cut's own time, to be done with what was sent to them."""
CAPTURE_S = 1.5
"""What a quarantine spends at most, once the token is cut off, on a last look at the browser."""


class Ending:
    """One profile's; what each raises, `Profile` documents."""

    def __init__(
        self,
        fence: Gatekeeper,
        sitting: Sitting,
        underway: Underway,
        slot: Slot,
        browser_lock: asyncio.Lock,
        incidents: Incidents,
        witness: Witness,
        examiner: Examiner,
        tasks: Tasks,
    ) -> None:
        self._fence = fence
        self._sitting = sitting
        self._underway = underway
        self._slot = slot
        self._browser_lock = browser_lock
        self._incidents = incidents
        self._witness = witness
        self._examiner = examiner
        self._tasks = tasks

    async def close_hold(self, token: int, *, passed_on: bool = False) -> Closed:
        if not self._is_known(token):
            await self._fence.verified(token)
        try:
            async with self._fence.queue:
                if self._incidents.is_one(token):
                    raise self._incidents.quarantined()
                why = TokenSuperseded.reason if passed_on else SESSION_ENDED
                await self._fence.take(fences.ended(self._fence.state, token), State.CLOSED, why)
                async with self._browser_lock:
                    await self._slot.settle(token)
                    if self._slot.browser is not None:
                        self._slot.browser.end_files(token)
        except BrowserCrashed as error:
            await self._incidents.condemn(token, "BROWSER_LOST", str(error), error)
            raise
        except ProfileQuarantined:
            # Acknowledged only as what it is: a release before the report would free an unproven end.
            await self._incidents.wait_until_told()
            raise
        # Not waited for: it is the next session's time that this saves.
        self._tasks.spawn(self._prepare(token), detached=True)
        marker = self._slot.record.marker
        session = self._sitting.of(token)
        if session is not None:
            session.end(State.CLOSED)
        return Closed(
            used=marker is not None and marker.used,
            flushed_at=marker.flushed_at if marker is not None else None,
            session=session,
        )

    async def _prepare(self, token: int) -> None:
        async with self._browser_lock:
            marker = self._slot.record.marker
            # Unless a later hold was quicker.
            if marker is not None and marker.token == token and not marker.held:
                await self._slot.prepare()

    def _is_known(self, token: int) -> bool:
        """Whether the token is over, or was proven, here: a number made up by a caller is neither."""
        if self._fence.is_over(token) or self._fence.was_proven(token):
            return True
        return self._slot.record.marker is not None and self._slot.record.marker.token == token

    async def quarantine(self, token: int) -> Quarantined:
        async with self._fence.queue:
            floor = await self._fence.quarantine(token, self._incidents.revoked(token))
            await self._slot.record.quarantine(token)
        browser = self._slot.browser
        if browser is None or not self._examiner.drove(token):
            # Nothing of the token's is left to look at, or what there is belongs to a later hold.
            await self._witness.flag(token)
            return Quarantined(floor, browser_alive=browser is not None and not browser.ended.done())
        await self._come_to_rest(token, browser)
        alive = await self._last_look(token, browser)
        await self._witness.flag(token)
        return Quarantined(floor, alive)

    async def _come_to_rest(self, token: int, browser: LiveBrowser) -> None:
        """Return once the pages are done with all that was sent under the token, or the browser has ended.

        Raises OutcomeUnknown while one of them is busy: what waits in it would be done after the
        acknowledgement.
        """
        # Without the browser's lock, which a launch may have for long; asking a page does no harm.
        try:
            async with asyncio.timeout(REST_S):
                await browser.come_to_rest()
        except TimeoutError:
            raise OutcomeUnknown(
                f"fencing_token {token} is cut off, but a page is busy with what was sent to it before. "
                "Call again."
            ) from None

    async def _last_look(self, token: int, browser: LiveBrowser) -> bool:
        """Where the browser stands, with a picture; whether it answers. Bounded, and never raises."""
        recording, alive = self._witness.recording(token), False
        try:
            # The lock keeps the next session's page out of the picture.
            async with asyncio.timeout(CAPTURE_S), self._browser_lock:
                if self._examiner.drove(token) and self._slot.browser is browser:
                    await browser.answers()
                    alive = True
                    recording.say(NOTE, f"quarantined at {browser.url}")
                    await self._witness.last_picture("as it was quarantined")
        except (BrowserCrashed, TimeoutError) as error:
            why = str(error) or f"it took longer than {CAPTURE_S:g} s"
            recording.say(NOTE, f"the last look at the browser was cut short: {why}")
        await recording.on_disk()
        return alive

    async def end_session(self, token: int) -> Session | None:
        async with self._fence.queue:
            if self._fence.is_over(token):
                raise self._fence.superseded(token)
            await self._underway.end_opening(token)
            session = self._sitting.of(token)
            if session is None:
                return None
            was_open = session.page is not None
            await self._sitting.cut(session, State.CLOSED, SESSION_ENDED)
            async with self._browser_lock:
                if not self._slot.keep_warm:
                    await self._slot.close()
                elif was_open:
                    session.flushed_at = await self._slot.flush() or session.flushed_at
            return session

    async def shut_down(self, token: int) -> bool:
        await self._fence.admit(token)
        async with self._fence.queue:
            self._fence.gate(token)
            await self._underway.end_opening(token)
            session = self._sitting.of(token)
            if session is not None:
                await self._sitting.cut(session, State.CLOSED, SESSION_ENDED)
            async with self._browser_lock:
                return await self._slot.close() is not None
