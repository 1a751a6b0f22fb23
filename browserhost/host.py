"""All profiles of one host: made when first asked for, looked after, closed together."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self

import structlog

from browserhost import leftovers
from browserhost import marker as marks
from browserhost.browser import NotAdopted
from browserhost.cache import Cache
from browserhost.floor import FloorUnreadable
from browserhost.keepers import Called
from browserhost.moving import clear_incoming
from browserhost.neighbours import Endpoint, LockService
from browserhost.paths import DataRoot, ProfilePaths
from browserhost.profile import Profile
from browserhost.record import Record
from browserhost.slot import Slot
from browserhost.snapshot.sweeping import Sweeping, clear_halves
from browserhost.sweeper import Sweeper
from browserhost.tasks import Tasks
from browserhost.watchdog import Watchdog
from browserhost.workshop import LiveBrowser, Workshop
from tenure.errors import HostUnreachable, ProfileCorrupt, TenureError
from tenure.names import ProfileName
from tenure.v1.host_pb2 import HostState, WarmBrowser

TICK_S = 0.25
CLOSINGS = max(4, 2 * (os.cpu_count() or 1))
"""Browsers that are closed side by side: so few that none is held up past its own deadline."""
DRAIN_EVERY_S = 1.0
"""How often a host that is to be emptied looks for a browser that nobody holds any more."""

_log = structlog.get_logger("host")


class Host:
    """Owns every profile's browser. `async with`; leaving it closes all browsers cleanly.

    `profiles` is keyed by canonical name and shared with the cache.
    """

    def __init__(
        self,
        root: DataRoot,
        workshop: Workshop,
        profiles: dict[str, Profile],
        locks: LockService,
        endpoint: Endpoint,
    ) -> None:
        self._root = root
        self._workshop = workshop
        self._locks = locks
        self._endpoint = endpoint
        self._profiles = profiles
        self._tasks = Tasks()
        self._stopping = self._left = False
        self._watchdog = Watchdog(self.live)
        self.sweeper = Sweeper(workshop.cache, lambda: {key: each.pid for key, each in self.live().items()})

    @property
    def cache(self) -> Cache:
        return self._workshop.cache

    def profile(self, name: ProfileName) -> Profile:
        """A profile, with the floor and the marker that are on disk.

        Raises InvalidId for a name that leads elsewhere, ProfileCorrupt for a floor that cannot be read,
        HostUnreachable for a new one while stopping: nobody would close its browser any more.
        """
        key = str(name)
        if key not in self._profiles:
            if self._stopping:
                raise HostUnreachable(
                    f"host '{self._workshop.host}' is stopping. Try again.", host=self._workshop.host
                )
            paths = self._root.profile(name)
            slot = Slot(paths, self._workshop, Record(paths.marker, self._workshop.boot_id))
            try:
                profile = Profile(paths, slot, self._locks, self._endpoint, self._workshop)
            except FloorUnreadable as error:
                raise ProfileCorrupt(profile=key, finding=str(error)) from error
            self._profiles[key] = profile
        return self._profiles[key]

    def known(self) -> Iterator[Profile]:
        """Every profile that was asked for since the start, by name."""
        return (self._profiles[key] for key in sorted(self._profiles))

    def live(self) -> dict[str, LiveBrowser]:
        """The browsers that run, by the profile's name; one that is being launched is not among them yet."""
        found = ((key, profile.slot.browser) for key, profile in self._profiles.items())
        return {key: each for key, each in found if each is not None and not each.ended.done()}

    def warm(self) -> list[WarmBrowser]:
        """The live browsers that nobody is in session with, each with its proxy's key."""
        return [
            WarmBrowser(profile=str(profile.name), proxy_key=profile.slot.record.known.proxy_key)
            for profile in self.known()
            if profile.warm
        ]

    def scheduled(self, state: HostState.ValueType) -> None:
        """Hear how the lock service has this host scheduled; UNSPECIFIED says nothing.

        While it is DRAINING no browser stays once nobody holds it.
        """
        draining = state == HostState.HOST_STATE_DRAINING
        if state == HostState.HOST_STATE_UNSPECIFIED or draining == self.cache.draining:
            return
        self.cache.draining = draining
        _log.info("draining" if draining else "not draining any more", browsers=self.cache.taken)

    async def start(self, called: Sequence[Called] = ()) -> None:
        """Settle what an earlier host of this data left open (rule 17), before anything is served.

        `called` are the keepers that it left with their browsers.
        """
        await asyncio.to_thread(clear_incoming, self._root)
        await asyncio.to_thread(clear_halves, self._root)
        marked = {str(each.profile_dir): each for each in await asyncio.to_thread(self._marked)}
        kept = {each.note.profile_dir: each for each in called}
        adopted = [self._adopt(marked.get(place), each) for place, each in kept.items()]
        await asyncio.gather(*adopted)
        for each in called:
            if kept[each.note.profile_dir] is not each:
                each.close()  # two on one profile cannot be; whichever it is, neither is sure
        shop = self._workshop
        if shop.copies is not None:
            await asyncio.to_thread(shutil.rmtree, shop.copies, ignore_errors=True)
        left = await asyncio.to_thread(leftovers.find, shop.tmp_root, shop.host, shop.apart.groups)
        self._tasks.spawn(leftovers.clear(left))
        for paths in marked.values():
            await self._recover(paths)
        self._tasks.spawn(self._tick())
        self._tasks.spawn(self._drain())
        self._tasks.spawn(self._watchdog.run())
        self._tasks.spawn(self.sweeper.run())
        sweeping = Sweeping(self._root, self._workshop.snapshots, lambda name: self.profile(name).snapshots)
        self._tasks.spawn(sweeping.run())

    def _marked(self) -> list[ProfilePaths]:
        return list(self._root.marked())

    async def _adopt(self, paths: ProfilePaths | None, called: Called) -> None:
        """Go on with a browser, or let it end. Does not raise."""
        why = "no profile here has its directory"
        if paths is not None:
            try:
                await self.profile(paths.name).adoption.adopt(called)
            except (NotAdopted, TenureError) as error:
                why = str(error)
            except Exception as error:
                # Whatever it is, the other profiles are served.
                _log.exception("not adopted", directory=called.note.profile_dir)
                why = repr(error)
            else:
                return
        called.close()
        _log.warning("not adopted", directory=called.note.profile_dir, why=why)

    async def _recover(self, paths: ProfilePaths) -> None:
        """Settle what a browser that nobody goes on with left open. Does not raise."""
        known = self._profiles.get(str(paths.name))
        if known is not None and known.slot.browser is not None:
            return
        marker = await asyncio.to_thread(marks.load, paths.marker)
        if marker is None or not marker.held or marker.suspected:
            return
        try:
            await self.profile(paths.name).recover(self._workshop.boot_id)
        except TenureError as error:
            # It is not served either: whoever asks for it gets this error.
            _log.error("not recovered", profile=str(paths.name), why=str(error))

    async def aclose(self) -> None:
        """Cut every session, then close every browser, CLOSINGS at a time, the held ones first. Idempotent.

        Whatever is not done when this process is killed ends by itself: its pipe closes with us.
        """
        if self._left:
            return
        self._stopping = True
        for browser in self.live().values():
            browser.keep_for_nobody()
        await self._tasks.aclose()
        await self._watchdog.aclose()
        profiles = sorted(self._profiles.values(), key=lambda each: not each.standing().held)
        self._complain(await asyncio.gather(*(each.halt() for each in profiles), return_exceptions=True))
        turn = asyncio.Semaphore(CLOSINGS)
        closings = (self._close(each, turn) for each in profiles)
        self._complain(await asyncio.gather(*closings, return_exceptions=True))

    async def leave(self) -> None:
        """Begin nothing more, and leave every browser as it is to the next host; this one is over.

        Who is in session is proven once more at the end, for what is still to be told to their clients.
        """
        self._stopping = self._left = True
        await self._tasks.aclose()
        await self._watchdog.aclose()
        await asyncio.gather(*(each.leave() for each in self._profiles.values()))
        await asyncio.gather(*(each.prove() for each in self._profiles.values()))

    async def hand_over(self, reason: str) -> None:
        """Leave the browsers, and the clients that can be left, to the next host; the others hear `reason`.

        What was seen of them up to then is on disk after that.
        """
        await self.leave()
        await self._endpoint.hand_over(reason)
        await asyncio.gather(*(each.witness.aclose() for each in self._profiles.values()))

    async def _close(self, profile: Profile, turn: asyncio.Semaphore) -> None:
        async with turn:
            await profile.aclose()

    def _complain(self, results: list[BaseException | None]) -> None:
        for result in results:
            if isinstance(result, BaseException):
                _log.error("not closed", why=repr(result))

    async def _tick(self) -> None:
        while True:
            for profile in list(self._profiles.values()):
                profile.tick()
            await asyncio.sleep(TICK_S)

    async def _drain(self) -> None:
        while True:
            if self.cache.draining:
                await self.cache.empty()
            await asyncio.sleep(DRAIN_EVERY_S)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await asyncio.shield(asyncio.ensure_future(self.aclose()))
