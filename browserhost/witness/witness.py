"""A profile's witness: the recordings of its holds, those under way and those on disk."""

from __future__ import annotations

from pathlib import Path

import structlog

from browserhost.tasks import Tasks, in_thread
from browserhost.witness.folder import Folder
from browserhost.witness.ledger import Ledger
from browserhost.witness.recording import Recording
from browserhost.witness.watch import Watch, Watched
from tenure.errors import DiskFull

_REMEMBERED = 4
"""Recordings in memory: the current one, and the few whose incidents may still be looked at."""

_log = structlog.get_logger("witness")


class Witness:
    """`watch` is the present session's, or the last one's; None before the first."""

    def __init__(self, evidence_dir: Path, tasks: Tasks) -> None:
        self.watch: Watch | None = None
        self._evidence_dir = evidence_dir
        self._tasks = tasks
        self._recordings: dict[int, Recording] = {}

    def recording(self, token: int) -> Recording:
        """The token's, made when there is none."""
        found = self._recordings.get(token)
        if found is None:
            found = self._recordings[token] = Recording(Folder(self._evidence_dir, token), self._tasks)
            for old in sorted(self._recordings)[:-_REMEMBERED]:
                del self._recordings[old]
        return found

    def follow(self, token: int, browser: Watched) -> None:
        """A browser is about to be sent to where the token's session begins."""
        self.stop()
        self.watch = Watch(self.recording(token), browser, self._tasks)
        browser.watch(self.watch)

    def called(self, method: str) -> None:
        """A client of the present session is about to send a call."""
        if self.watch is not None:
            self.watch.called(method)

    def resume(self) -> None:
        """The session that was cut goes on."""
        if self.watch is not None:
            self.watch.resume()

    async def last_picture(self, text: str) -> None:
        """One more picture of the session that was cut last. The caller keeps its browser as it is."""
        if self.watch is not None:
            await self.watch.last(text)

    def stop(self) -> None:
        """The session is cut: no more pictures are taken by themselves."""
        if self.watch is not None:
            self.watch.stop()

    def saw(self, token: int) -> Recording | None:
        """The recording of a session that this process has seen; None when it has seen none."""
        found = self._recordings.get(token)
        return found if found is not None and found.start_url is not None else None

    async def ledger(self, token: int) -> Ledger:
        """What is on disk under the token. Raises OSError."""
        known = self._recordings.get(token)
        if known is not None:
            return await known.ledger()
        return await in_thread(Folder(self._evidence_dir, token).load)

    async def picture(self, token: int, name: str) -> bytes | None:
        """The bytes of the item of that name; None when it has none, or they are gone. Raises OSError."""
        items = (await self.ledger(token)).items.values()
        file = next((item.file for item in items if item.name == name), "")
        # Only what the log names is read, so no name leads out of the folder.
        return await in_thread(Folder(self._evidence_dir, token).read, file) if file else None

    async def flag(self, token: int) -> None:
        """The token's hold became an incident: what was recorded is kept for good. Does not raise."""
        folder = Folder(self._evidence_dir, token)
        try:
            if folder.exists:
                await in_thread(folder.flag)
        except DiskFull as error:
            _log.error("not flagged", path=str(folder.path), why=str(error))

    async def aclose(self) -> None:
        """Put on disk what was told. Idempotent."""
        self.stop()
        for recording in self._recordings.values():
            await recording.on_disk()
