"""A profile's marker, in memory and on disk. What disk lacks always reads as worse, never as better."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import structlog

from browserhost import marker as marks
from browserhost.marker import Marker
from browserhost.tasks import in_thread
from tenure.errors import DiskFull

_log = structlog.get_logger("record")


class Record:
    """`marker` is None until the first launch."""

    def __init__(self, path: Path, boot_id: str) -> None:
        self.marker = self._on_disk = marks.load(path)
        self._path = path
        self._boot_id = boot_id

    @property
    def known(self) -> Marker:
        """The marker of a profile that has one: wherever there is, or was, a browser."""
        if self.marker is None:
            raise RuntimeError(f"no marker at {self._path}")
        return self.marker

    async def put(self, marker: Marker) -> None:
        """Record what is about to happen. Raises DiskFull, and then it must not."""
        if marker != self._on_disk:
            await in_thread(self._store, marker)
        else:
            self.marker = marker

    async def note(self, marker: Marker) -> None:
        """Record what has happened already. Does not raise."""
        try:
            await self.put(marker)
        except DiskFull as error:
            _log.error("marker not written", path=str(self._path), why=str(error))
            self.marker = marker

    async def condemn(self, token: int, cause: str, detail: str) -> None:
        """Record that `token` must be made suspect; lasts until `reported`. Does not raise."""
        base = self.marker or Marker(token, held=True, boot_id=self._boot_id, end=marks.UNCLEAN, driven=0)
        used = base.used or cause == "PROFILE_MISSING"
        await self.note(
            replace(base, token=token, held=True, used=used, report=cause, detail=detail, suspected=False)
        )

    async def reported(self, token: int, suspected: bool) -> None:
        """The lock service has answered the report, unless a later hold has begun since. Does not raise.

        When it knows of no incident, no decision can have freed the profile either: then only a
        clean directory may start. What a quarantine has put on record stays: there was an incident.
        """
        if self.known.token != token or self.known.suspected:
            return
        marker = replace(self.known, report="", suspected=suspected)
        if not suspected:
            marker = replace(marker, held=False, flushed_at=None)
        await self.note(marker)

    async def quarantine(self, token: int) -> None:
        """The lock service has made an incident of the token. Idempotent. Raises DiskFull.

        So a restart need not report it, and a later hold is let in by a decision. Without a marker of
        the token there is nothing to say: no browser was driven under it.
        """
        if self.marker is not None and self.marker.token == token:
            await self.put(replace(self.marker, report="", suspected=True))

    def take_back(self, before: Marker | None, tried: Marker, *, ran: bool) -> None:
        """A launch failed: no hold drove a browser, but if it `ran` Chrome may have touched the directory.

        Blocks for one write, since it must also run while its task is being cancelled.
        """
        if before is None and not ran:
            with suppress(OSError):
                self._path.unlink()
            self.marker = self._on_disk = None
            return
        back = before or replace(tried, held=False, used=False, driven=0)
        self.marker = replace(back, end=marks.UNCLEAN) if ran else back
        with suppress(DiskFull):
            # Left as it is, it says held and unproven: the least comfortable reading.
            self._store(self.marker)

    def _store(self, marker: Marker) -> None:
        marks.store(self._path, marker)
        # Here, not after the await: a write whose waiter was cancelled is on disk all the same.
        self.marker = self._on_disk = marker
