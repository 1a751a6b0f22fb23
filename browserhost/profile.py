"""One profile on this host: its fence, its browser and its session, one queue for what changes them.

Two locks, always taken in this order. The *queue* guards the floor: checks of verify answers,
Close, Quarantine, a lost browser. The *browser lock* guards the directory: one launch, hand-over,
flush or close at a time. An open waits for the lock service holding neither, so that a Close can
overtake it; the floor is checked again after every wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial

import structlog

from browserhost import evidence
from browserhost.addresses import Kind
from browserhost.admission import Admission
from browserhost.adoption import Adoption
from browserhost.ending import Ending
from browserhost.examiner import Examiner
from browserhost.gatekeeper import Gatekeeper
from browserhost.importing import Importing
from browserhost.incidents import Incidents
from browserhost.limits import Standing
from browserhost.moving import Moving
from browserhost.neighbours import Endpoint, LockService
from browserhost.opening import Closed, Opened, Opening, Quarantined, Use
from browserhost.paths import ProfilePaths
from browserhost.premises import Premises
from browserhost.prewarming import Prewarming
from browserhost.session import Session, State
from browserhost.sitting import Sitting
from browserhost.slot import Slot
from browserhost.snapshot.restoring import Restoring
from browserhost.snapshot.taking import Snapshots
from browserhost.tasks import Tasks
from browserhost.underway import Underway
from browserhost.unheld import Unheld
from browserhost.witness.ledger import SCREENSHOT, Item
from browserhost.witness.witness import Witness
from browserhost.workshop import Workshop
from browserhost.yielding import YieldingLock
from tenure.errors import BrowserCrashed, HostUnreachable
from tenure.names import IncidentName

HOST_STOPPING = "HOST_STOPPING"
LEAVE_S, PROVE_S = 5.0, 1.0
"""What a host that hands over gives to an open under way and to a flush, and then to a proof."""
_log = structlog.get_logger("profile")


class Profile:
    """Owns a profile's browser on this host. `aclose` when done."""

    def __init__(
        self,
        paths: ProfilePaths,
        slot: Slot,
        locks: LockService,
        endpoint: Endpoint,
        workshop: Workshop,
    ) -> None:
        host = workshop.host
        self.name = paths.name
        self.slot = slot
        self._locks = locks
        self.host = host
        self._tasks = Tasks()
        self._fence = Gatekeeper(
            paths.name,
            paths.floor,
            locks,
            host,
            lambda *what: self._sitting.drain(*what),  # noqa: PLW0108 - which is made with the fence
        )
        self._browser_lock = YieldingLock()
        self._underway = Underway(self._tasks)
        self.witness = Witness(paths.evidence_dir, self._tasks)
        self._sitting = Sitting(paths.name, self._fence, endpoint, self._underway, self._tasks, self.witness)
        self._incidents = Incidents(paths.name, self._fence, slot.record, locks, self._tasks)
        self.examiner = Examiner(paths, slot, self.witness, self._browser_lock)
        self._ending = Ending(
            self._fence,
            self._sitting,
            self._underway,
            slot,
            self._browser_lock,
            self._incidents,
            self.witness,
            self.examiner,
            self._tasks,
        )
        premises = Premises(
            paths, workshop, self._fence, slot, self._browser_lock, locks, self._underway, self._tasks
        )
        self.moving = Moving(premises)
        self.snapshots = Snapshots(premises)
        self.restoring = Restoring(premises, self.snapshots)
        self.importing = Importing(premises)
        self._admission = Admission(
            paths.name,
            host,
            self._fence,
            self._sitting,
            self._underway,
            slot,
            self._browser_lock,
            self._incidents,
            self.witness,
            self._tasks,
            self._refuse_when_stopping,
        )
        self.prewarming = Prewarming(premises, self._admission.on_browser_end, self._refuse_when_stopping)
        self._unheld = Unheld(
            paths.name, host, locks, self._fence, slot, self._browser_lock, self._tasks, lambda: self._busy
        )
        self.adoption = Adoption(
            paths,
            workshop,
            self._fence,
            self._sitting,
            slot,
            self._browser_lock,
            self.witness,
            self._tasks,
            self._admission.on_browser_end,
            self._refuse_when_stopping,
        )
        self._stopping = False

    @property
    def session(self) -> Session | None:
        """The session that is open, or the last that was."""
        return self._sitting.session

    # --- what the service asks for -------------------------------------------------------

    async def open(self, opening: Opening) -> Opened:
        """The session of a token, opened once however often it is asked for.

        It goes on when the caller gives up: the same token finds it. Raises what OpenBrowser documents.
        """
        return await self._admission.open(opening)

    @asynccontextmanager
    async def using(self, token: int) -> AsyncIterator[Use]:
        """The token's open session, to act in; the block is cancelled once the session is cut.

        Raises what an open's fence raises, NotFound when no session is open under the token; the same,
        or BrowserCrashed, out of the block when it is cut. A drain waits until the block is left.
        """
        self._refuse_when_stopping()
        await self._fence.admit(token)
        async with self._sitting.using(token):
            browser, watch = self.slot.browser, self.witness.watch
            if browser is None or watch is None:
                raise BrowserCrashed(profile=str(self.name), problem="it ended by itself")
            yield Use(browser, partial(self._fence.gate, token), watch.touched, partial(self._keep, token))

    async def issue_address(self, token: int, kind: Kind, until: float) -> str:
        """A further secret of the token's open session, to connect with before `until`. Raises as `using`."""
        self._refuse_when_stopping()
        await self._fence.admit(token)
        return self._sitting.issue_further(token, kind, until)

    async def close_hold(self, token: int, *, passed_on: bool = False) -> Closed:
        """End a token here (rule 16). Idempotent; a late one never touches a later hold. `passed_on`: its
        clients are told that another hold goes on with the browser.

        Raises DiskFull (nothing was changed), ProfileQuarantined when the hold has already become an
        incident here, BrowserCrashed when cookies may be lost (it becomes one), and what a verify
        raises for a token that this host never served.
        """
        self._refuse_when_stopping()
        return await self._tasks.whole(self._ending.close_hold(token, passed_on=passed_on))

    async def quarantine(self, token: int) -> Quarantined:
        """End a token here for an incident (rule 16), and take a last look at its browser, which stays.

        Idempotent; a late one never touches a later hold. Raises DiskFull: then the token is cut off, but
        that may not outlast this process.
        """
        self._refuse_when_stopping()
        return await self._tasks.whole(self._ending.quarantine(token))

    async def end_session(self, token: int) -> Session | None:
        """End the token's session, keeping its hold; None when there is none. Idempotent."""
        self._refuse_when_stopping()
        return await self._tasks.whole(self._ending.end_session(token))

    async def shut_down(self, token: int) -> bool:
        """End the token's session and close its browser, keeping the hold; whether one was running."""
        self._refuse_when_stopping()
        return await self._tasks.whole(self._ending.shut_down(token))

    async def step(self, token: int, seq: int, name: str) -> Item | None:
        """Record that a step begins, with a picture if the token's session is open; None: not on disk.

        Raises what a token below the floor is refused with.
        """
        if self._fence.is_over(token):
            raise self._fence.superseded(token)
        session, watch = self._sitting.of(token), self.witness.watch
        if session is None or watch is None or session.state is not State.OPEN:
            return await self.witness.recording(token).step(seq, name, "no session is open")
        return await watch.step(seq, name)

    # --- what the host asks for ----------------------------------------------------------

    def standing(self) -> Standing:
        """Its claim to stay in the cache; an incident's browser has none but what `evict` finds."""
        busy = self._busy or self._fence.queue.locked()
        slot = self.slot
        return Standing(str(self.name), self._unheld.held, busy, slot.last_used, prewarmed=slot.prewarmed)

    @property
    def warm(self) -> bool:
        """A live browser, and nobody in session: its last hold was released here, and no other has begun.

        One of an incident is not, however idle: it stays as it is until somebody has decided.
        """
        browser, marker = self.slot.browser, self.slot.record.marker
        lives = browser is not None and not browser.ended.done()
        return lives and marker is not None and not marker.held and not self._busy

    async def evict(self) -> bool:
        """Close the browser if it is unheld and idle (rule 18); whether it is gone.

        A hold granted after that was seen waits for the queue, so nobody's browser is closed under him.
        """
        return await self._unheld.evict()

    async def recover(self, boot_id: str) -> None:
        """At the start of the service, before anything is served (rule 17). Does not raise."""
        await self._incidents.recover(boot_id)

    def tick(self) -> None:
        """Verify again what is served, and cut what has outlived its proof. Call it often."""
        self._admission.tick()

    async def halt(self) -> None:
        """Serve nobody any more: cut everybody, and begin nothing. Idempotent."""
        if self._stopping:
            return
        self._stopping = True
        self._underway.cancel_openings()
        if self.session is not None:
            await self._sitting.cut(self.session, State.CUT, HOST_STOPPING)

    async def leave(self) -> None:
        """Begin nothing, and leave the browser and who is in session there to the next host.

        Waits a little for what is under way; the cookies are on disk after that. Its clients go on acting
        meanwhile, so who is in session is proven first.
        """
        self._stopping = True
        await self.prove()
        with suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_S), self._browser_lock:
                at = await self.slot.flush()
                if self.slot.browser is not None:
                    self.slot.browser.remember(flushed_at=at)
                await self._underway.settle()
        self._underway.cancel_openings()
        await self.witness.aclose()
        await self._tasks.aclose()

    async def prove(self) -> None:
        """Have the open session's proof last a while longer, if it can be had soon. Does not raise."""
        if self.session is not None and self.session.state is State.OPEN:
            renewal = self._tasks.spawn(self._fence.renew(self.session.token))
            await asyncio.wait([renewal], timeout=PROVE_S)
            renewal.cancel()
            await asyncio.wait([renewal])  # and no other: what clients do goes on being recorded

    async def aclose(self) -> None:
        """Halt, close the browser cleanly, stop. The marker of a hold that goes on stays held."""
        await self.halt()
        async with self._browser_lock:
            await self.slot.close()
        await self.witness.aclose()
        await self._tasks.aclose()

    async def _keep(self, token: int, picture: bytes, media_type: str) -> str:
        item = await self.witness.recording(token).keep(SCREENSHOT, picture, media_type)
        return evidence.name(IncidentName(self.name, token), item) if item is not None else ""

    @property
    def _busy(self) -> bool:
        return self._underway.busy or self._browser_lock.locked()

    def _refuse_when_stopping(self) -> None:
        if self._stopping:
            raise HostUnreachable(f"host '{self.host}' is stopping. Try again.", host=self.host)
