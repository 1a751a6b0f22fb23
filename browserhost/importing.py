"""A user-data-dir from elsewhere that becomes a profile's directory, under a token.

It is as if the token's hold had driven a browser that made it: nobody else can be let in meanwhile, and the
release of the hold says that the profile was used. Nothing that is there already is ever touched.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tarfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

import structlog

from browserhost import durable, replacing
from browserhost import marker as marks
from browserhost.directory import filled
from browserhost.inspect import cookies
from browserhost.inspect.profile import inspect
from browserhost.inspect.verdict import Verdict
from browserhost.marker import Marker
from browserhost.premises import Premises
from browserhost.tasks import in_thread, to_its_end
from tenure.errors import DiskFull, InvalidField, ProfileCorrupt, QuotaExceeded
from tenure.userdata import archive
from tenure.userdata.contents import digest

_TAKEN = frozenset({Verdict.CLEAN, Verdict.UNCLEAN_CONSISTENT})

_END = 2 * tarfile.BLOCKSIZE

_log = structlog.get_logger("importing")


@dataclass(frozen=True, slots=True)
class Imported:
    """What came. `unreadable`: so many of the cookies only the machine that they come from can read."""

    digest: str
    cookies: int
    unreadable: int
    findings: tuple[str, ...]


class Importing:
    """One profile's."""

    def __init__(self, premises: Premises) -> None:
        self._premises = premises
        self._paths = premises.paths
        self._receiving = asyncio.Lock()

    async def receive(self, token: int, parts: AsyncIterator[bytes]) -> Imported:
        """Put the directory that comes in its place, where there is none and never was; no browser starts.

        Raises what ImportDirectory documents; then nothing of what came is left.
        """
        await self._premises.fence.admit(token)
        async with self._receiving:
            self._refuse_when_used()
            staging = self._paths.staging_dir
            await in_thread(_clear, staging)
            try:
                folder = await self._stage(staging, token, parts)
                imported = await in_thread(self._judge, folder)
                # To its end, whoever gives up: what is staged must not be cleared from under it.
                await to_its_end(self._take_up(token, folder))
            finally:
                await in_thread(_clear, staging)
        _log.info("imported", profile=str(self._premises.name), token=token, cookies=imported.cookies)
        return imported

    async def _stage(self, staging: Path, token: int, parts: AsyncIterator[bytes]) -> Path:
        spool, folder, size = staging / "archive", staging / "profile", 0
        most, least_free = self._premises.workshop.import_limit, self._premises.workshop.least_free
        with durable.disk_full_is_refused(staging):
            durable.make_directory(folder)
            with FileIO(spool, "x") as file:
                async for part in parts:
                    self._premises.fence.gate(token)
                    size += len(part)
                    if size > most:
                        raise QuotaExceeded(limit="import_limit", value=most)
                    await in_thread(_write, file, part)
                    # The archive and what is in it stand beside each other for a while.
                    if (free := durable.free_bytes(staging)) < least_free + size:
                        raise DiskFull(path=str(staging), free_bytes=free)
            # A tar archive ends in zeros: one that was cut between two files looks whole otherwise.
            if not await in_thread(_ends_whole, spool):
                raise _refused("chunk", "breaks off", "send all of the archive")
            try:
                with spool.open("rb") as file:
                    await in_thread(archive.unpack, file, folder)
            except archive.NotAProfile as error:
                raise _refused("chunk", str(error), "send a tar archive of a user-data-dir") from None
        return folder

    def _judge(self, folder: Path) -> Imported:
        """Raises ProfileCorrupt for what no browser would be started on, or what nobody here could read."""
        found = inspect(folder, self._premises.workshop.tmp_root)
        if found.verdict not in _TAKEN:
            raise self._unsound(f"{found.verdict.value}: {'; '.join(found.findings)}")
        counted = cookies.count(folder, self._premises.workshop.tmp_root)
        if counted.all and counted.unreadable == counted.all:
            raise self._unsound(f"only the desktop that its {counted.all} cookies come from can read them")
        return Imported(digest(folder)[0], counted.all, counted.unreadable, found.findings)

    async def _take_up(self, token: int, folder: Path) -> None:
        on, place = self._premises, self._paths.profile_dir
        async with on.browser_lock:
            on.fence.gate(token)
            # Once more, in the lock: an open under this token may have come first.
            self._refuse_when_used()
            descriptor = await on.slot.directory.lock({})
            try:
                with durable.disk_full_is_refused(place):
                    # What is of no use as a profile is in the way all the same: an empty folder.
                    if place.is_dir():
                        place.rmdir()
                    marker = self._marker(token)
                    await on.slot.record.put(marker)
                    try:
                        await in_thread(replacing.put_in_place, folder, place)
                    except Exception:
                        # Where it has its name already, and that may not be on disk, it counts as used.
                        if folder.is_dir():
                            on.slot.record.take_back(None, marker, ran=False)
                        raise
            finally:
                os.close(descriptor)

    def _marker(self, token: int) -> Marker:
        return Marker(
            token,
            held=True,
            boot_id=self._premises.workshop.boot_id,
            flushed_at=time.time(),
            used=True,
            end=marks.UNCLEAN,
            driven=token,
        )

    def _refuse_when_used(self) -> None:
        there = self._premises.slot.record.marker is not None or filled(self._paths.profile_dir)
        if there or self._premises.fence.used_elsewhere:
            raise _refused("profile", "was used already", "import it under another id")

    def _unsound(self, finding: str) -> ProfileCorrupt:
        return ProfileCorrupt(profile=str(self._premises.name), finding=finding)


def _refused(field: str, problem: str, remedy: str) -> InvalidField:
    return InvalidField(field=field, value="", problem=problem, remedy=remedy)


def _write(file: FileIO, part: bytes) -> None:
    while part:
        part = part[file.write(part) :]


def _ends_whole(spool: Path) -> bool:
    with spool.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _END))
        return size >= _END and not any(file.read(_END))


def _clear(staging: Path) -> None:
    """Remove what an earlier attempt left: a copy that nobody ever opened, not a profile's directory."""
    shutil.rmtree(staging, ignore_errors=True)
