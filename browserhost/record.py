"""A profile's marker, in memory and on disk. What disk lacks always reads as worse, never as better.

Those who change it do not wait for each other: some hold the queue of the profile's fence and some its
browser's lock. So each change is read, made and written under a lock of its own, and nothing else below it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import structlog

from browserhost import marker as marks
from browserhost.marker import Marker
from browserhost.tasks import in_thread
from tenure.errors import DiskFull

_log = structlog.get_logger("record")

Change = Callable[[Marker], Marker]
"""What is to be on record, by what is. It is called in a thread, and waits for nothing."""


class Record:
    """`marker` is None until the first launch."""

    def __init__(self, path: Path, boot_id: str) -> None:
        self.marker = self._on_disk = marks.load(path)
        self._path = path
        self._boot_id = boot_id
        # Of threads: a launch that is taken back is so by one step, and must not meet a write under way.
        self._lock = threading.Lock()

    @property
    def known(self) -> Marker:
        """The marker of a profile that has one: wherever there is, or was, a browser."""
        if self.marker is None:
            raise RuntimeError(f"no marker at {self._path}")
        return self.marker

    async def put(self, marker: Marker) -> None:
        """Record what is about to happen, whatever was before. Raises DiskFull, and then it must not."""
        await self.put_by(lambda _: marker)

    async def put_by(self, change: Callable[[Marker | None], Marker]) -> None:
        """As `put`, by what was before: None for no marker."""
        await in_thread(self._write, change)

    async def change(self, change: Change) -> None:
        """As `put`, of a profile that has a marker."""
        await in_thread(self._write, lambda _: change(self.known))

    async def note(self, change: Change) -> None:
        """Record what has happened already, of a profile that has a marker. Does not raise."""
        await self._note(lambda _: change(self.known))

    async def condemn(self, token: int, cause: str, detail: str) -> None:
        """Record that `token` must be made suspect, unless a later hold has begun; lasts until `reported`.
        Does not raise.
        """

        def condemned(now: Marker | None) -> Marker:
            base = now or Marker(token, held=True, boot_id=self._boot_id, end=marks.UNCLEAN, driven=0)
            if base.token > token:
                return base
            used = base.used or cause == "PROFILE_MISSING"
            return replace(
                base, token=token, held=True, used=used, report=cause, detail=detail, suspected=False
            )

        await self._note(condemned)

    async def reported(self, token: int, suspected: bool) -> None:
        """The lock service has answered the report, unless a later hold has begun since. Does not raise.

        When it knows of no incident, no decision can have freed the profile either: then only a
        clean directory may start. What a quarantine has put on record stays: there was an incident.
        """

        def answered(now: Marker) -> Marker:
            if now.token != token or now.suspected:
                return now
            marker = replace(now, report="", suspected=suspected)
            return marker if suspected else replace(marker, held=False, flushed_at=None)

        await self.note(answered)

    async def quarantine(self, token: int) -> None:
        """The lock service has made an incident of the token. Idempotent. Raises DiskFull.

        So a restart need not report it, and a later hold is let in by a decision. Without a marker of
        the token there is nothing to say: no browser was driven under it.
        """

        def quarantined(now: Marker | None) -> Marker | None:
            if now is None or now.token != token:
                return now
            return replace(now, report="", suspected=True)

        await in_thread(self._write, quarantined)

    def take_back(self, before: Marker | None, tried: Marker, *, ran: bool) -> None:
        """A launch failed: no hold drove a browser, but if it `ran` Chrome may have touched the directory.

        Blocks for one write, and one that is under way, since it must also run while its task is being
        cancelled.
        """
        if before is None and not ran:
            with self._lock:
                with suppress(OSError):
                    self._path.unlink()
                self.marker = self._on_disk = None
            return
        back = before or replace(tried, held=False, used=False, driven=0)
        marker = replace(back, end=marks.UNCLEAN) if ran else back
        with suppress(DiskFull):
            # Left as it is, it says held and unproven: the least comfortable reading.
            self._write(lambda _: marker, always=True)

    async def _note(self, change: Callable[[Marker | None], Marker]) -> None:
        try:
            await in_thread(self._write, change, always=True)
        except DiskFull as error:
            _log.error("marker not written", path=str(self._path), why=str(error))

    def _write(self, change: Callable[[Marker | None], Marker | None], *, always: bool = False) -> None:
        """Blocks. Raises DiskFull, and is then as it was, or changed in memory alone if `always`."""
        with self._lock:
            marker = change(self.marker)
            try:
                if marker is not None and marker != self._on_disk:
                    marks.store(self._path, marker)
                    self._on_disk = marker
            except DiskFull:
                self.marker = marker if always else self.marker
                raise
            # Here, not after the await: a write whose waiter was cancelled is on disk all the same.
            self.marker = marker
