"""A profile that moves to another home: retired at the old one, sent, received at the new one (rules 18, 20).

Nothing here makes a home: that is one Txn of the lock service, which compares the revision that all of this
was done at. Until then the old home serves the next hold as it always did; what was received is of no use to
anybody. So whoever drives a move may die at any point, and it is begun anew.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

import structlog

from browserhost import durable, replacing, retirement
from browserhost import marker as marks
from browserhost.marker import Marker
from browserhost.paths import DataRoot
from browserhost.premises import Premises
from browserhost.starting import Start
from browserhost.tasks import in_thread, to_its_end
from browserhost.whereabouts import Whereabouts, changed
from tenure.errors import InvalidField
from tenure.userdata import archive
from tenure.userdata.contents import digest

_log = structlog.get_logger("moving")


@dataclass(frozen=True, slots=True)
class Retired:
    """What a home was when it was retired: `digest` is empty when there was no directory, and never had
    been. `floor` is where that left it.
    """

    revision: int
    digest: str
    size: int
    floor: int


class Moving:
    """One profile's."""

    def __init__(self, premises: Premises) -> None:
        self._premises = premises
        self._name = premises.name
        self._paths = premises.paths
        self._workshop = premises.workshop
        self._fence = premises.fence
        self._slot = premises.slot
        self._browser_lock = premises.browser_lock
        self._locks = premises.locks
        self._tasks = premises.tasks
        self._retired: Retired | None = None
        self._receiving = asyncio.Lock()

    # --- at the old home -----------------------------------------------------------------

    async def retire(self, revision: int) -> Retired:
        """Serve nothing any more that was granted up to `revision`, which must be mod(p), and close the
        browser; says what the directory is. A hold granted later is served as before. Idempotent.

        Raises what RetireHome documents.
        """
        return await self._tasks.whole(self._retire(revision))

    async def _retire(self, revision: int) -> Retired:
        found = await self._locks.locate(self._name)
        if (problem := found.why_not_retired(self._name, self._workshop.host, revision)) is not None:
            raise problem
        async with self._fence.queue:
            # A hold that is granted from here on waits for the queue, and then it is above the floor.
            await self._fence.retire(found)
            self._premises.refuse_when_held(revision)
            async with self._browser_lock:
                await self._slot.close()
            floor = self._fence.state.floor
        async with self._browser_lock:
            # A later token has raised the floor first; a browser launched ahead has not.
            if self._fence.state.floor != floor or self._slot.browser is not None:
                raise changed(self._name, revision)
            retired = Retired(revision, *await self._directory(found, revision), floor)
            # In the lock: whoever launches ahead asks for it there.
            await in_thread(retirement.note, self._paths.retired, revision)
            self._retired = retired
        _log.info("home retired", profile=str(self._name), revision=revision, size=retired.size)
        return retired

    async def _directory(self, found: Whereabouts, revision: int) -> tuple[str, int]:
        """Digest and size of the directory with nobody on it. Raises ProfileMissing, ProfileCorrupt."""
        directory, marker = self._slot.directory, self._slot.record.marker
        question = directory.before_start(marker, used_elsewhere=found.used)
        if question is Start.FRESH:
            return "", 0
        descriptor = await directory.lock({})
        try:
            if question is Start.INSPECT:
                # What would not be started here is not sent: the next home knows less of it than this one.
                await directory.look(marker, self._premises.token(revision), {})
            return await in_thread(digest, self._paths.profile_dir)
        finally:
            os.close(descriptor)

    async def send(self, revision: int) -> AsyncGenerator[bytes, None]:
        """The retired directory as an archive, in parts of at most 1 MiB.

        Raises TokenSuperseded when it is not retired at `revision`, or a later hold has begun meanwhile. What
        that one wrote while it was read is found out by the digest, and moves nothing.
        """
        self._refuse_unless_retired(revision)
        parts = archive.pack(self._paths.profile_dir)
        try:
            while part := await in_thread(next, parts, b""):
                self._refuse_unless_retired(revision)
                yield part
        except (archive.Changed, FileNotFoundError):
            raise changed(self._name, revision) from None
        finally:
            parts.close()

    def _refuse_unless_retired(self, revision: int) -> None:
        retired = self._retired
        if retired is None or (retired.revision, retired.floor) != (revision, self._fence.state.floor):
            raise changed(self._name, revision)

    # --- at the new home -----------------------------------------------------------------

    async def receive(self, revision: int, wanted: str, parts: AsyncIterator[bytes]) -> str:
        """Put the directory that comes in its place, verified and on disk; returns its digest, `wanted`.

        What is in that place from an earlier stay is put aside; with an empty `wanted` that is all. Refused
        where this host is the home, and when the profile is not as it was at `revision`. Idempotent: what is
        there already is not read. Raises what ReceiveProfile documents.
        """
        async with self._receiving:
            found = await self._locks.locate(self._name)
            self._refuse_where_home(found, revision)
            staging = self._paths.staging_dir
            await in_thread(_clear, staging)
            try:
                staged = None
                if wanted and not await self._is_there(wanted):
                    staged = await self._stage(staging, wanted, parts)
                # To its end, whoever gives up: what is staged must not be cleared from under it.
                await to_its_end(self._take_up(found, wanted, staged))
            finally:
                await in_thread(_clear, staging)
        return wanted

    async def _is_there(self, wanted: str) -> bool:
        async with self._browser_lock:
            if self._slot.browser is not None or not self._paths.profile_dir.is_dir():
                return False
            # A browser that outlived an earlier host may still write there. With the lock it has ended, and
            # none starts before this is its home.
            descriptor = await self._slot.directory.lock({})
            try:
                return (await in_thread(digest, self._paths.profile_dir))[0] == wanted
            finally:
                os.close(descriptor)

    async def _stage(self, staging: Path, wanted: str, parts: AsyncIterator[bytes]) -> Path:
        spool, folder = staging / "archive", staging / "profile"
        with durable.disk_full_is_refused(staging):
            durable.make_directory(folder)
            with FileIO(spool, "x") as file:
                async for part in parts:
                    await in_thread(_write, file, part)
            try:
                with spool.open("rb") as file:
                    await in_thread(archive.unpack, file, folder)
            except archive.NotAProfile as error:
                raise _refused("chunk", str(error)) from None
        there, _ = await in_thread(digest, folder)
        if there != wanted:
            raise _refused("digest", f"is not that of what came, {there}", wanted)
        return folder

    async def _take_up(self, found: Whereabouts, wanted: str, staged: Path | None) -> None:
        revision = found.revision
        async with self._premises.vacated(found):
            # Once more, because the profile may have come home while its directory was on its way.
            self._refuse_where_home(await self._locks.locate(self._name), revision)
            await self._replace(revision, wanted, staged)
        _log.info("directory received", profile=str(self._name), revision=revision, digest=wanted)

    async def _replace(self, revision: int, wanted: str, staged: Path | None) -> None:
        """`staged` is None for what is there already. Cut short anywhere it makes no home here."""
        place = self._paths.profile_dir
        with durable.disk_full_is_refused(place):
            if place.is_dir() and (staged is not None or not wanted):
                await in_thread(replacing.put_aside, place, self._paths.aside_dir / str(revision))
            if not wanted:
                return
            # Unheld, its cookies on disk, and not ended here: the first start looks at it once more.
            await self._slot.record.put(
                Marker(
                    token=0,
                    held=False,
                    boot_id=self._workshop.boot_id,
                    flushed_at=time.time(),
                    used=True,
                    end=marks.UNCLEAN,
                    driven=0,
                )
            )
            if staged is not None:
                await in_thread(replacing.put_in_place, staged, place)

    def _refuse_where_home(self, found: Whereabouts, revision: int) -> None:
        problem = found.why_not_received(self._name, self._workshop.host, revision)
        if problem is not None:
            raise problem


def _refused(field: str, problem: str, value: str = "") -> InvalidField:
    return InvalidField(field=field, value=value, problem=problem, remedy="begin the move anew")


def _write(file: FileIO, part: bytes) -> None:
    while part:
        part = part[file.write(part) :]


def clear_incoming(root: DataRoot) -> None:
    """At the start of a host: remove what an earlier one had not received whole. Does not raise."""
    for staging in root.incoming():
        _clear(staging)


def _clear(staging: Path) -> None:
    """Remove what an earlier attempt left: a copy that nobody ever opened, not a profile's directory."""
    shutil.rmtree(staging, ignore_errors=True)
