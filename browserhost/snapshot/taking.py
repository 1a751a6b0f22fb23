"""Snapshots of one profile: taken while no browser runs, counted once they were unpacked and found equal.

Nothing here is in the way of an open: whoever wants the directory has it at the next mebibyte, and what was
packed so far is dropped. What was packed is checked without any lock.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from browserhost import durable
from browserhost import version as versions
from browserhost.inspect.profile import inspect
from browserhost.inspect.verdict import Inspection, Verdict
from browserhost.marker import Marker
from browserhost.premises import Premises
from browserhost.snapshot import policy
from browserhost.snapshot.manifest import BEFORE_RESTORE, CLOSED, Manifest
from browserhost.snapshot.store import Interrupted, Packed, Store
from browserhost.starting import Start
from browserhost.tasks import in_thread
from browserhost.whereabouts import Whereabouts
from tenure.errors import DiskFull, NotFound, ProfileBusy, ProfileCorrupt
from tenure.userdata import archive, contents

SOUND = frozenset({Verdict.CLEAN, Verdict.UNCLEAN_CONSISTENT})

_log = structlog.get_logger("snapshots")


@dataclass(frozen=True, slots=True)
class Copied:
    """An archive of the directory as it was, with what is known of it: no snapshot yet."""

    packed: Packed
    generation: int
    chrome: str
    created_at: float


class Snapshots:
    """One profile's."""

    def __init__(self, premises: Premises) -> None:
        self._premises = premises
        self._slot = premises.slot
        self._place = premises.paths.profile_dir
        self.store = Store(premises.paths.snapshots_dir)
        self._taking = asyncio.Lock()

    async def all(self) -> list[Manifest]:
        """Those that count, newest first."""
        return await in_thread(self.store.all)

    async def take(self, cause: str) -> Manifest:
        """Close a free profile's browser and take a snapshot; it is verified when this returns.

        Goes on when the caller gives up. Raises what TakeProfileSnapshot documents.
        """
        return await self._premises.tasks.whole(self._take(cause))

    async def _take(self, cause: str) -> Manifest:
        async with self._taking:
            found = await self._retire(close=cause != CLOSED)
            try:
                copied = await self._copy_free(found, cause)
            except Interrupted:
                raise self._busy() from None
            manifest = await self._verify(copied, cause)
            await self._prune()
        return manifest

    async def _retire(self, *, close: bool) -> Whereabouts:
        """Rule 18: home = me, free, and the floor above all that was granted, before the directory is read.

        A hold that is granted from here on waits for the lock, or is waited for.
        """
        on = self._premises
        found = await on.locks.locate(on.name)
        if (problem := found.why_not_retired(on.name, on.host, found.revision)) is not None:
            raise problem
        async with on.fence.queue:
            await on.fence.retire(found)
            on.refuse_when_held(found.revision)
            if close:
                async with on.browser_lock:
                    await self._slot.close()
        return found

    async def _copy_free(self, found: Whereabouts, cause: str) -> Copied:
        on, directory = self._premises, self._slot.directory
        token = on.token(found.revision)
        async with on.browser_lock:
            marker = self._slot.record.marker
            held = marker is not None and marker.held and (cause == CLOSED or marker.token > token)
            if self._slot.browser is not None or held:
                raise self._busy()
            question = directory.before_start(marker, used_elsewhere=found.used)
            if question is Start.FRESH:
                raise NotFound(f"There is nothing of '{on.name.profile}' yet.", name=str(on.name))
            if cause == CLOSED and question is not Start.SURE:
                raise self._busy()
            descriptor = await directory.lock({})
            try:
                if question is Start.INSPECT:
                    # What would not be started is not kept as if it could be.
                    await directory.look(marker, token, {})
                return await self._copy(self._place, marker, lambda: on.browser_lock.wanted)
            finally:
                os.close(descriptor)

    async def take_aside(self, place: Path, marker: Marker | None) -> Manifest:
        """A snapshot of a directory that was put aside, of which `marker` told. Takes no lock but its own.

        Raises ProfileCorrupt, DiskFull.
        """
        async with self._taking:
            copied = await self._copy(place, marker, lambda: False)
            return await self._verify(copied, BEFORE_RESTORE)

    async def _copy(self, place: Path, marker: Marker | None, wanted: Callable[[], bool]) -> Copied:
        """Pack a directory that nobody writes to. Raises Interrupted as soon as it is `wanted`, DiskFull."""
        on, created_at = self._premises, time.time()
        generation = policy.generation(marker)
        await in_thread(self._refuse_without_room, place)
        try:
            packed = await in_thread(self.store.pack, place, generation, wanted)
        except (archive.Changed, FileNotFoundError) as error:
            raise ProfileCorrupt(
                profile=str(on.name), finding=f"LIVE: somebody writes to it: {error}"
            ) from error
        return Copied(packed, generation, versions.last(place), created_at)

    async def _verify(self, copied: Copied, cause: str) -> Manifest:
        """Unpack what was packed, compare, inspect, and only then let it count. Takes no lock.

        Raises ProfileCorrupt and DiskFull; then nothing of it is left.
        """
        packed = copied.packed
        try:
            found = await in_thread(self._check, packed)
            if found.verdict not in SOUND:
                raise self._unsound(f"{found.verdict.value}: {'; '.join(found.findings)}")
            few = policy.far_fewer(found.cookies, policy.newest(await self.all()))
            if few:
                await self._premises.find(f"the snapshot has {few}")
            manifest = Manifest(
                id=packed.id,
                generation=copied.generation,
                created_at=copied.created_at,
                verified_at=time.time(),
                digest=packed.digest,
                size=packed.size,
                stored=packed.stored,
                cause=cause,
                cookies=found.cookies,
                chrome=copied.chrome,
                findings=(*found.findings, *([few] if few else ())),
            )
            await in_thread(self.store.keep, packed, manifest)
        except BaseException as error:
            await in_thread(self.store.drop, packed)
            if isinstance(error, archive.NotAProfile):
                unsound = self._unsound(f"the snapshot is not what the directory was: {error}")
                await self._premises.find(unsound.finding)
                raise unsound from error
            raise
        _log.info("snapshot taken", profile=str(self._premises.name), id=packed.id, stored=packed.stored)
        return manifest

    def _check(self, packed: Packed) -> Inspection:
        folder = self.store.unpack(packed.path, packed.digest)
        try:
            return inspect(folder, self._premises.workshop.scratch)
        finally:
            self.store.clear(folder)

    async def _prune(self) -> None:
        stay = policy.kept(self._premises.workshop.snapshots, await self.all())
        gone = await in_thread(self.store.prune, stay)
        if gone:
            _log.info("snapshots dropped", profile=str(self._premises.name), ids=gone)

    def _refuse_without_room(self, place: Path) -> None:
        """An archive and its unpacked copy, and what the next browser needs."""
        folder = self._premises.paths.snapshots_dir
        free = durable.free_bytes(folder)
        if free < 2 * contents.size(place) + self._premises.workshop.least_free:
            raise DiskFull(path=str(folder), free_bytes=free)

    def _unsound(self, finding: str) -> ProfileCorrupt:
        return ProfileCorrupt(profile=str(self._premises.name), finding=finding)

    def _busy(self) -> ProfileBusy:
        profile = self._premises.name.profile
        return ProfileBusy(
            f"profile_id '{profile}' is busy: somebody wants its browser.",
            profile=profile,
            holder_run_id="",
            state="HELD",
            retry_after_s=1.0,
        )
