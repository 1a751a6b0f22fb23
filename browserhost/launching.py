"""A profile's browser started: the marker is on disk before Chrome runs, and taken back when it did not."""

from __future__ import annotations

import time
from dataclasses import replace

from browserhost import durable
from browserhost.browser import LaunchSpec
from browserhost.egress.geo import Geo
from browserhost.egress.upstream import Upstream
from browserhost.marker import Marker
from browserhost.note import Note
from browserhost.paths import ProfilePaths
from browserhost.record import Record
from browserhost.tasks import in_thread
from browserhost.workshop import LiveBrowser, Wanted, Workshop
from tenure.errors import BrowserMissing, DiskFull


class Launching:
    """One profile's. Called by one at a time, while the profile has no browser here."""

    def __init__(self, paths: ProfilePaths, workshop: Workshop, record: Record) -> None:
        self._paths = paths
        self._workshop = workshop
        self._record = record

    def spec(self, wanted: Wanted, upstream: Upstream | None, lock_fd: int) -> LaunchSpec:
        """What the browser is started with."""
        shop = self._workshop
        return LaunchSpec(
            profile_dir=self._paths.profile_dir,
            lock_fd=lock_fd,
            proxy_key=wanted.proxy_key,
            upstream=upstream,
            tmp_root=shop.tmp_root,
            host=shop.host,
            chrome=shop.chrome,
            xvfb=shop.xvfb,
            sandbox=shop.sandbox,
            width=wanted.look.width or shop.width,
            height=wanted.look.height or shop.height,
            least_free=shop.least_free,
            egress=shop.egress,
            geo=wanted.look.geo.over(upstream.geo if upstream is not None else Geo()).over(shop.geo),
            extensions=shop.extensions.paths(wanted.look.extensions),
            keepers=shop.keepers,
            keep_hands=shop.keep_hands,
            hand_over_in_tab=shop.hand_over_in_tab,
            look_ahead=shop.look_ahead,
            files=shop.files,
        )

    def adopted(self, note: Note, upstream: Upstream | None) -> LaunchSpec:
        """What a browser that another host left would be started with now; as whom it runs is as it is."""
        known = self._record.known
        wanted = Wanted(known.token, "", known.proxy_key, reuse=note.keep_warm, used_elsewhere=True)
        return replace(self.spec(wanted, upstream, -1), user=note.user, cgroup=note.cgroup)

    def marker(self, wanted: Wanted) -> Marker:
        """What the marker says while the browser starts."""
        before = self._record.marker
        return Marker(
            wanted.token,
            held=True,
            boot_id=self._workshop.boot_id,
            proxy_key=wanted.proxy_key,
            flushed_at=before.flushed_at if before else None,
            used=wanted.used_elsewhere or (before is not None and before.used),
            driven=wanted.token,
            config_generation=wanted.look.generation,
        )

    def marker_ahead(self, wanted: Wanted) -> Marker:
        """What the marker says while a browser starts that nobody drives yet.

        It may die and nobody loses anything: what was to be saved of the hold before is on disk, or was found
        not to be when the directory was judged.
        """
        marker, before = self.marker(wanted), self._record.marker
        return replace(
            marker,
            token=before.token if before is not None else wanted.token,
            driven=before.driven if before is not None else 0,
            held=False,
            flushed_at=time.time(),
        )

    async def launch(self, spec: LaunchSpec, marker: Marker) -> LiveBrowser:
        """Start it. Raises BrowserMissing, DiskFull, BrowserCrashed, with the marker as it was before,
        but for an end that is unproven where Chrome may have touched the directory.
        """
        before, shop = self._record.marker, self._workshop
        tried = False
        try:
            await self._record.put(marker)
            with durable.disk_full_is_refused(self._paths.profile_dir):
                durable.make_directory(self._paths.profile_dir)
            room = await in_thread(shop.apart.room, self._paths)
            async with shop.launching:
                tried = True
                return await shop.launch(replace(spec, user=room.user, cgroup=room.cgroup))
        except BaseException as error:
            # Those two are raised with nothing started.
            ran = tried and not isinstance(error, (BrowserMissing, DiskFull))
            self._record.take_back(before, marker, ran=ran)
            raise

    async def launched(self, browser: LiveBrowser, marker: Marker) -> None:
        """Name the browser that runs now on disk. Raises DiskFull: the marker in memory names it alone."""

        def named(now: Marker) -> Marker:
            used = now.used or marker.held
            return replace(now, used=used, pid=browser.pid, start_ticks=browser.start_ticks)

        try:
            # Whose hold it is may have become an incident while it started.
            await self._record.change(named)
        except DiskFull:
            self._record.marker = named(self._record.known)
            raise
