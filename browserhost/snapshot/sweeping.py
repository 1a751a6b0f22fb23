"""Snapshots that are taken by themselves: of what was closed cleanly and is newer than its last snapshot.

A level, not an edge: whatever was closed while no one looked, before a restart too, is found at the next one.
One at a time, and only of what has been left alone for a while.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import structlog

from browserhost import marker as marks
from browserhost.paths import DataRoot, ProfilePaths
from browserhost.snapshot import policy
from browserhost.snapshot.manifest import CLOSED, Manifest
from browserhost.snapshot.policy import Policy
from browserhost.snapshot.store import Store
from browserhost.tasks import in_thread
from tenure.errors import DiskFull, ProfileBusy, StoreUnavailable, TenureError
from tenure.names import ProfileName

LOOK_EVERY_S = 20.0
QUIET_S = 10.0
"""So long a closed profile must have been left alone: who closed it may be about to open it again."""

_log = structlog.get_logger("sweeping")


class Takes(Protocol):
    """As `browserhost.snapshot.taking.Snapshots`."""

    async def take(self, cause: str) -> Manifest: ...


class Sweeping:
    """One host's. `snapshots` gives a profile's, and may raise what `Host.profile` does."""

    def __init__(self, root: DataRoot, rules: Policy, snapshots: Callable[[ProfileName], Takes]) -> None:
        self._root = root
        self._rules = rules
        self._snapshots = snapshots
        # When the marker was written of which nothing more is to be had.
        self._done: dict[Path, int] = {}

    async def run(self) -> None:
        """Look every LOOK_EVERY_S seconds until cancelled."""
        if self._rules.taken != "closed":
            return
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                await self.look(time.time())
            except OSError as error:
                _log.warning("not looked at", why=str(error))

    async def look(self, now: float) -> None:
        """Take what is due at `now`, in seconds since 1970. Raises OSError."""
        for paths, written in await in_thread(self._due, now):
            try:
                await self._snapshots(paths.name).take(CLOSED)
            except (DiskFull, ProfileBusy, StoreUnavailable) as error:
                _log.info("no snapshot now", profile=str(paths.name), why=str(error))
            except TenureError as error:
                # It would be refused again, until something is done with the profile.
                self._done[paths.marker] = written
                _log.warning("no snapshot", profile=str(paths.name), why=str(error))

    def _due(self, now: float) -> list[tuple[ProfilePaths, int]]:
        found = []
        for paths in self._root.marked():
            try:
                written = paths.marker.stat().st_mtime_ns
            except FileNotFoundError:
                continue
            quiet = not 0 <= now - written / 1e9 < QUIET_S
            if not quiet or self._done.get(paths.marker) == written:
                continue
            marker, newest = marks.load(paths.marker), policy.newest(Store(paths.snapshots_dir).all())
            if policy.is_due(self._rules, marker, newest, now):
                found.append((paths, written))
            elif newest is None or policy.generation(marker) == newest.generation:
                # Not for want of time: so it stays while the marker says the same.
                self._done[paths.marker] = written
        return found


def clear_halves(root: DataRoot) -> None:
    """At the start of a host, before anything is served: remove the halves of an earlier one. Does not raise.

    Not beside the serving: a restore's copy, while it is unpacked, looks like what was left behind.
    """
    for paths in root.snapshotted():
        Store(paths.snapshots_dir).sweep()
