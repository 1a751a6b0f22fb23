"""A profile's directory while no browser runs on it: locked, and judged before a start."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import structlog

from browserhost import durable, lock, starting, version
from browserhost.config import Look
from browserhost.extensions import Lacking
from browserhost.inspect.profile import inspect
from browserhost.marker import Marker
from browserhost.paths import ProfilePaths
from browserhost.snapshot import policy
from browserhost.snapshot.manifest import Manifest
from browserhost.snapshot.store import Store
from browserhost.tasks import in_thread
from browserhost.workshop import Workshop
from tenure.errors import BrowserOutdated, ConfigUnmet, ProfileCorrupt, ProfileMissing

_log = structlog.get_logger("directory")


class Directory:
    """One profile's. Used by one at a time: whoever has the profile's browser lock."""

    def __init__(self, paths: ProfilePaths, workshop: Workshop) -> None:
        self._paths = paths
        self._workshop = workshop
        self._key = str(paths.name)

    def before_start(self, marker: Marker | None, *, used_elsewhere: bool) -> starting.Start:
        """What is to be done about a start. Raises ProfileMissing."""
        question = starting.before_start(filled(self._paths.profile_dir), marker, used_elsewhere)
        if question is starting.Start.MISSING:
            raise ProfileMissing(profile=self._key, host=self._workshop.host)
        return question

    async def lock(self, timings: dict[str, float]) -> int:
        """Our lock, once whatever had it has ended; its descriptor is the caller's to close.

        Raises ProfileCorrupt when that takes too long.
        """
        began = time.monotonic()
        descriptor = await lock.wait_for_lock(self._paths.lock, self._workshop.lock_wait_s)
        if descriptor is None:
            raise ProfileCorrupt(
                profile=self._key,
                finding=f"LIVE: an earlier browser did not end within {self._workshop.lock_wait_s:g} s",
            )
        waited = time.monotonic() - began
        if waited > 0.001:
            timings["lock"] = waited
        return descriptor

    async def refuse_older_browser(self) -> None:
        """Return when the browser that is installed is at least as new as the one that wrote this last.

        Raises BrowserOutdated, BrowserMissing.
        """
        wrote = await in_thread(version.last, self._paths.profile_dir)
        if not wrote:
            return
        installed = await self._workshop.installed.version(self._workshop.chrome)
        if version.is_older(installed, wrote):
            raise BrowserOutdated(
                profile=self._key, last_version=wrote, version=installed, host=self._workshop.host
            )

    async def refuse_unmet(self, look: Look) -> None:
        """Return when this machine has what a look asks for. Raises ConfigUnmet, BrowserMissing.

        A zone that is not known here would make pages see Etc/Unknown, which no account has had before.
        An extension must be of the digest that is asked for.
        """
        zone = look.geo.time_zone
        try:
            if zone:
                ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ConfigUnmet(
                profile=self._key, host=self._workshop.host, lacking=f"the time zone {zone} (tzdata)"
            ) from None
        if not look.extensions:
            return
        try:
            await in_thread(self._workshop.extensions.find, look.extensions)
            if (await self._workshop.installed.told(self._workshop.chrome)).startswith("Google Chrome"):
                raise Lacking("a Chromium, or Chrome for Testing (Google Chrome loads no unpacked extension)")
        except Lacking as error:
            raise ConfigUnmet(profile=self._key, host=self._workshop.host, lacking=str(error)) from None

    async def look(self, marker: Marker | None, token: int, timings: dict[str, float]) -> None:
        """Return when a browser may start on it under `token`; what is to be said of it goes on record.

        Raises ProfileCorrupt.
        """
        began = time.monotonic()
        found = await asyncio.to_thread(inspect, self._paths.profile_dir, self._workshop.scratch)
        timings["inspect"] = time.monotonic() - began
        judgement = starting.after_inspection(found, marker, token)
        few = policy.far_fewer(found.cookies, await in_thread(self._newest_snapshot))
        for finding in (judgement.finding, few and f"it has {few}"):
            if finding:
                _log.warning("finding", profile=self._key, token=token, finding=finding)
                line = f"{time.time():.3f} {token} {finding}".encode()
                await in_thread(durable.append, self._paths.findings, line)
        if not judgement.start:
            raise ProfileCorrupt(profile=self._key, finding=judgement.finding)

    def _newest_snapshot(self) -> Manifest | None:
        return policy.newest(Store(self._paths.snapshots_dir).all())


def filled(directory: Path) -> bool:
    """Whether there is a profile: an empty directory is as good as none."""
    try:
        with os.scandir(directory) as entries:
            return any(entries)
    except FileNotFoundError:
        return False
