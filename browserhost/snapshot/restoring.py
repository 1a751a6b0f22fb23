"""A snapshot put in the place of a profile's directory, by a person's word.

What makes it safe without a token: the profile is DISABLED or in MANUAL_REVIEW at the very revision that the
person had read, so nobody can be let in before that person, or another, says so, and then at a later one; and
the floor is above all that was granted up to it before anything moves. What was there is put aside whole.
`tests/model/homes.py` has it as a move of the protocol.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import structlog

from browserhost import durable, replacing
from browserhost import marker as marks
from browserhost.marker import Marker
from browserhost.premises import Premises
from browserhost.snapshot.manifest import Manifest
from browserhost.snapshot.taking import Snapshots
from browserhost.tasks import in_thread
from browserhost.whereabouts import Whereabouts
from tenure.errors import NotFound, ProfileCorrupt, TenureError
from tenure.userdata.archive import NotAProfile
from tenure.userdata.contents import digest

_log = structlog.get_logger("restoring")


class Restoring:
    """One profile's."""

    def __init__(self, premises: Premises, snapshots: Snapshots) -> None:
        self._premises = premises
        self._snapshots = snapshots
        self._paths = premises.paths
        self._record = premises.slot.record
        # A request that is repeated while its first copy runs unpacks into the same place.
        self._restoring = asyncio.Lock()

    async def restore(self, revision: int, snapshot: str, reason: str) -> Path | None:
        """Put a snapshot in the directory's place; where that which was there is kept, None for none.

        Idempotent: a directory that is the snapshot's already stays. Goes on when the caller gives up; cut
        short anywhere it leaves the old directory in its place or aside, and a profile that cannot be started
        on until it was restored. Raises what RestoreDirectory documents.
        """
        return await self._premises.tasks.whole(self._one_by_one(revision, snapshot, reason))

    async def _one_by_one(self, revision: int, snapshot: str, reason: str) -> Path | None:
        async with self._restoring:
            return await self._restore(revision, snapshot, reason)

    async def _restore(self, revision: int, snapshot: str, reason: str) -> Path | None:
        store, name = self._snapshots.store, f"{self._premises.name}/snapshots/{snapshot}"
        manifest = await in_thread(store.find, snapshot)
        if manifest is None:
            raise NotFound(name=name)
        found = await self._found(revision)
        try:
            staged = await in_thread(store.unpack, store.archive(manifest), manifest.digest, lasting=True)
        except NotAProfile as error:
            finding = f"snapshot {snapshot} is damaged: {error}"
            raise ProfileCorrupt(profile=str(self._premises.name), finding=finding) from error
        try:
            aside, before = await self._replace(found, manifest, staged, reason)
        finally:
            await in_thread(store.clear, staged)
        if aside is not None:
            await self._keep_before(aside, before)
        _log.info(
            "directory restored", profile=str(self._premises.name), snapshot=snapshot, aside=str(aside or "")
        )
        return aside

    async def _found(self, revision: int) -> Whereabouts:
        """Where it is, as the lock service tells it now.

        Raises unless a person has the profile, at home here, as it was at `revision`.
        """
        on = self._premises
        found = await on.locks.locate(on.name)
        if (problem := found.why_not_restored(on.name, on.host, revision)) is not None:
            raise problem
        return found

    async def _replace(
        self, found: Whereabouts, manifest: Manifest, staged: Path, reason: str
    ) -> tuple[Path | None, Marker | None]:
        """Where that which was there is kept, with its marker; no path when there was nothing, or when it is
        what was asked for already.
        """
        async with self._premises.vacated(found):
            before = self._record.marker
            if await self._is_there(manifest):
                return None, before
            # Once more: a hold that is granted after this answer waits, and finds the directory whole.
            await self._found(found.revision)
            return await self._put(found.revision, manifest, staged, reason), before

    async def _is_there(self, manifest: Manifest) -> bool:
        """Whether an earlier copy of this request did it, and nothing was started since."""
        marker, place = self._record.marker, self._paths.profile_dir
        if marker is None or not place.is_dir() or marker != self._marker(manifest, marker):
            return False
        return (await in_thread(digest, place))[0] == manifest.digest

    async def _keep_before(self, aside: Path, before: Marker | None) -> None:
        """A snapshot of what was there, where it is sound. Does not raise: it is kept whole in any case."""
        try:
            await self._snapshots.take_aside(aside, before)
        except (TenureError, OSError) as error:
            _log.info("no snapshot of what was there", profile=str(self._premises.name), why=str(error))

    async def _put(self, revision: int, manifest: Manifest, staged: Path, reason: str) -> Path | None:
        place, aside = self._paths.profile_dir, None
        with durable.disk_full_is_refused(place):
            await self._premises.find(f"restored from snapshot {manifest.id}: {reason}")
            if place.is_dir():
                aside = await in_thread(replacing.put_aside, place, self._paths.aside_dir / str(revision))
            # From here to the end nothing is in the place of a profile that was used: it cannot be started.
            await self._record.put_by(lambda before: self._marker(manifest, before))
            await in_thread(replacing.put_in_place, staged, place)
        return aside

    def _marker(self, manifest: Manifest, before: Marker | None) -> Marker:
        """Unheld, its cookies on disk as of the snapshot, and not ended here: the first start looks at it.

        Whom it was driven by stays, since that is what evidence of an incident goes by.
        """
        base = before or Marker(token=0, held=False, boot_id=self._premises.workshop.boot_id, driven=0)
        return replace(
            base,
            held=False,
            pid=0,
            start_ticks=0,
            flushed_at=manifest.created_at,
            used=True,
            end=marks.UNCLEAN,
            report="",
            detail="",
            suspected=False,
        )
