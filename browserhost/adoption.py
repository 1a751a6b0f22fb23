"""Whether a profile goes on with a browser that an earlier host left alive, and how its hold goes on there.

Rules 14, 15 and 17 of the protocol stand: only a browser that the marker names is taken, and its
hold is verified anew before anybody is served.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

import structlog

from browserhost import lock
from browserhost import marker as marks
from browserhost.addresses import Addresses
from browserhost.browser import NotAdopted
from browserhost.gatekeeper import Gatekeeper
from browserhost.keepers import Called
from browserhost.marker import Marker
from browserhost.note import Note, Seat
from browserhost.paths import ProfilePaths
from browserhost.session import Session, State
from browserhost.sitting import Sitting
from browserhost.slot import OnEnd, Slot
from browserhost.tasks import Tasks
from browserhost.witness.witness import Witness
from browserhost.workshop import Workshop
from tenure.errors import ProxyDown, StoreUnavailable, TenureError
from tenure.names import SessionName

PROOF_S = 3.0
"""How long the start waits for the proof of a hold."""
RETRY_S = 0.5

_log = structlog.get_logger("adoption")


def mismatch(marker: Marker | None, pid: int, start_ticks: int, boot_id: str) -> str:
    """Why a running Chrome is not the one that a profile's marker names, as a clause; "" when it is. Pure."""
    if marker is None or marker.end != marks.RUNNING:
        return "its profile has no running browser on record"
    if marker.boot_id != boot_id:
        return "its profile's browser ran before this machine's boot"
    if (marker.pid, marker.start_ticks) != (pid, start_ticks):
        return "its profile's browser on record is another process"
    if marker.report:
        return "its hold has gone wrong"
    return ""


class Adoption:
    """One profile's."""

    def __init__(
        self,
        paths: ProfilePaths,
        workshop: Workshop,
        fence: Gatekeeper,
        sitting: Sitting,
        slot: Slot,
        browser_lock: asyncio.Lock,
        witness: Witness,
        tasks: Tasks,
        on_end: OnEnd,
        refuse_when_stopping: Callable[[], None],
    ) -> None:
        self._paths = paths
        self._workshop = workshop
        self._fence = fence
        self._sitting = sitting
        self._slot = slot
        self._browser_lock = browser_lock
        self._witness = witness
        self._tasks = tasks
        self._on_end = on_end
        self._refuse_when_stopping = refuse_when_stopping

    async def adopt(self, called: Called) -> None:
        """Go on with a browser, before anything is served. Raises NotAdopted: it ends, and rule 17 is next.

        Whatever else is raised is the same to it. `called` is taken over either way.
        """
        try:
            await self._take(called)
            await self._go_on(called.note)
        except BaseException as error:
            called.close()
            if isinstance(error, Exception):
                # From where the slot has it the browser is not the keeper's to end, but ours.
                async with self._browser_lock:
                    await self._slot.close()
            raise

    async def _go_on(self, note: Note) -> None:
        marker, seat = self._slot.record.known, self._seat_of(note)
        _log.info("adopted", profile=str(self._paths.name), pid=marker.pid, held=marker.held)
        if not marker.held:
            return
        token = marker.token
        # Nobody saw what the pages did while no host was there, so what was done in it is not known.
        self._witness.recording(token).whole = False
        if self._slot.browser is not None:
            self._witness.follow(token, self._slot.browser)
            self._witness.stop()
        if marker.suspected or self._fence.is_over(token):
            return
        if seat is not None:
            self._sit(seat)
        admitting = self._tasks.spawn(self._admit(token), detached=True)
        # So that clients that come again at once find it served; without an answer the others do not wait.
        await asyncio.wait([admitting], timeout=PROOF_S)

    async def _take(self, called: Called) -> None:
        marker = self._slot.record.marker
        why = mismatch(marker, *called.chrome, self._workshop.boot_id)
        if not why and await asyncio.to_thread(self._is_free):
            why = "nobody has its profile's lock"
        if why or marker is None:
            raise NotAdopted(why)
        try:
            upstream = await self._workshop.upstream(marker.proxy_key, self._paths.name)
        except ProxyDown as error:
            raise NotAdopted(f"its proxy is not there any more: {error}") from error
        if called.note.fingerprint != (upstream.fingerprint if upstream is not None else ""):
            raise NotAdopted("its proxy's upstream is another one now")
        # Only what may be let in again is to go on as it was.
        still = self._seat_of(called.note) is None
        await self._slot.adopt(called, upstream, self._on_end, still=still)
        if self._slot.browser is not None:
            try:
                self._slot.browser.begin_files(0 if still else marker.token)
            except TenureError as error:
                raise NotAdopted(str(error)) from error

    def _seat_of(self, note: Note) -> Seat | None:
        """The session that was open, if as far as is known here its hold goes on."""
        marker, seat = self._slot.record.known, note.seat
        over = not marker.held or marker.suspected or self._fence.is_over(marker.token)
        return None if over or seat is None or seat.token != marker.token else seat

    def _is_free(self) -> bool:
        """Whether the profile's lock can be had: then no browser has it. Blocks."""
        descriptor = lock.try_lock(self._paths.lock)
        if descriptor is None:
            return False
        os.close(descriptor)
        return True

    def _sit(self, seat: Seat) -> None:
        try:
            addresses = Addresses.from_dict(seat.addresses)
        except (KeyError, TypeError, ValueError) as error:
            _log.warning("its address ends", profile=str(self._paths.name), why=str(error))
            return
        name = SessionName(self._paths.name, seat.token)
        browser = self._slot.browser
        if browser is not None:
            session = Session(name, self._workshop.host, seat.proxy_key, seat.opened_at, browser, State.CUT)
            self._sitting.adopt(session, browser, addresses)

    async def _admit(self, token: int) -> None:
        """Let the token in again once it is proven; not at all when it is not current any more."""
        while True:
            try:
                await self._fence.admit(token)
                async with self._browser_lock:
                    self._fence.gate(token)
                    self._refuse_when_stopping()
                    self._sitting.again(token, self._slot.browser)
            except StoreUnavailable as error:
                _log.warning("not proven yet", profile=str(self._paths.name), token=token, why=str(error))
                if self._slot.browser is not None:
                    await self._slot.browser.still(for_good=False)
                await asyncio.sleep(RETRY_S)
            except TenureError as error:
                _log.warning("not served", profile=str(self._paths.name), token=token, why=str(error))
                return
            else:
                return
