"""What is recorded under one token while it lasts. Nobody waits for its disk but who asks to."""

from __future__ import annotations

import asyncio
import hashlib
import time
from dataclasses import dataclass, field, replace

import structlog

from browserhost.tasks import Tasks, in_thread
from browserhost.witness import ledger as ledgers
from browserhost.witness.folder import Folder
from browserhost.witness.ledger import NOTE, STEP, URL, Item, Ledger
from tenure.errors import DiskFull

_log = structlog.get_logger("witness")


@dataclass(eq=False, slots=True)
class _Entry:
    """Something to record. `item` resolves once it is on disk, with None when it could not be put there."""

    line: bytes = b""
    kind: str = ""
    text: str = ""
    picture: bytes = b""
    media_type: str = ""
    step_seq: int = 0
    time: float = field(default_factory=time.time)
    item: asyncio.Future[Item | None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class Recording:
    """One token's. The facts in memory are exact from the moment they are told; the log follows them.

    `whole` is whether this process has seen all of the session, so that what it did not see did not
    happen. `touched`: by what the account was first touched, or "". `forms`: frames whose form is being
    sent. `gap` says why something is missing from the log, or "".
    """

    def __init__(self, folder: Folder, tasks: Tasks) -> None:
        self.folder = folder
        self.start_url: str | None = None
        self.whole = True
        self.touched = ""
        self.forms: set[str] = set()
        self.gap = ""
        self._tasks = tasks
        self._ledger: Ledger | None = None
        self._waiting: list[_Entry] = []
        self._under_way: list[_Entry] = []
        self._writing: asyncio.Task[None] | None = None
        self._lost = 0

    # --- what is told --------------------------------------------------------------------

    def opens(self, start_url: str) -> None:
        """A browser is about to be driven to `start_url`: the first time the session's, later a touch.

        It gets to the disk with what is told next, or from `put_on_disk` on.
        """
        if self.start_url is None:
            self.start_url = start_url
            self._waiting.append(_Entry(ledgers.opened(start_url)))
        elif start_url != self.start_url:
            self.touch(f"a further open, of {start_url}")

    def touch(self, what: str) -> None:
        """Something is about to be done that the account may notice."""
        if not self.touched:
            self.touched = what
            self.say(NOTE, f"the account is touched, first by {what}")

    def committed(self, url: str, *, own: bool) -> None:
        """A main frame shows another document; `own` when it is what the host itself navigated to."""
        if not own:
            self.touch("a navigation")
            self.say(URL, url)
            return
        asked = self.start_url if self.start_url is not None else url
        self.say(URL, asked)
        if url != asked:
            self.say(NOTE, f"start_url led to {url}")

    def submits(self, frame: str) -> None:
        """A form's navigation was asked for in a frame."""
        self.forms.add(frame)
        self.touch("a form")

    def landed(self, frame: str) -> None:
        """A frame shows another document, so what it had sent was answered."""
        self.forms.discard(frame)

    def say(self, kind: str, text: str, step_seq: int = 0) -> asyncio.Future[Item | None]:
        """Record a text; the future is for who wants to know it on disk."""
        return self._enqueue(_Entry(kind=kind, text=ledgers.clipped(text), step_seq=step_seq))

    async def keep(
        self, kind: str, picture: bytes, media_type: str, *, text: str = "", step_seq: int = 0
    ) -> Item | None:
        """Record a picture; its item once it is on disk, None when it could not be put there.

        Raises ValueError for a media type that no picture has.
        """
        if media_type not in ledgers.EXTENSIONS:
            raise ValueError(f"no picture is of the type '{media_type}'")
        text = ledgers.clipped(text)
        entry = _Entry(kind=kind, text=text, picture=picture, media_type=media_type, step_seq=step_seq)
        return await asyncio.shield(self._enqueue(entry))

    async def step(self, seq: int, name: str, why: str) -> Item | None:
        """Record that a step begins without a picture, and why there is none; its item once it is on disk."""
        return await asyncio.shield(self.say(STEP, f"{name} (no picture: {why})", seq))

    def put_on_disk(self) -> None:
        """Begin to put what was told on disk, without waiting. Idempotent."""
        if self._waiting and self._writing is None:
            self._writing = self._tasks.spawn(self._write(), detached=True)
            self._writing.add_done_callback(self._written)

    async def on_disk(self) -> None:
        """Return once all that was told before is on disk, or known to be lost."""
        self.put_on_disk()
        while self._writing is not None:
            await asyncio.wait([self._writing])
            await asyncio.sleep(0)  # its end is noted in a turn of its own

    # --- what is there -------------------------------------------------------------------

    async def ledger(self) -> Ledger:
        """A copy of what is on disk, of all that was told before. Raises OSError."""
        await self.on_disk()
        if self._ledger is None:
            return await in_thread(self.folder.load)
        return replace(self._ledger, items=dict(self._ledger.items))

    # --- writing -------------------------------------------------------------------------

    def _enqueue(self, entry: _Entry) -> asyncio.Future[Item | None]:
        self._waiting.append(entry)
        self.put_on_disk()
        return entry.item

    async def _write(self) -> None:
        while self._waiting:
            self._under_way, self._waiting = self._waiting, []
            items = await in_thread(self._store, self._under_way)
            for entry, item in zip(self._under_way, items, strict=True):
                if not entry.item.done():
                    entry.item.set_result(item)
        # Nothing was awaited since the last look, so no entry can have come in between.
        self._writing = None

    def _written(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or task.exception() is not None:  # perhaps before it took its first step
            self._writing = None
            for entry in (*self._under_way, *self._waiting):
                entry.item.cancel()

    def _store(self, entries: list[_Entry]) -> list[Item | None]:
        """In a thread, one at a time. Does not raise: what a broken disk does not take is counted."""
        items: list[Item | None] = []
        for entry in entries:
            try:
                items.append(self._store_one(entry))
            except (OSError, DiskFull) as error:
                self._lost += 1
                self.gap = f"{self._lost} entries could not be written: {error}"
                _log.error("not recorded", path=str(self.folder.path), why=str(error))
                items.append(None)
        return items

    def _store_one(self, entry: _Entry) -> Item | None:
        known = self._ledger
        if known is None:
            known = self._begin()
        if entry.line:
            self._add(known, [entry.line])
            return None
        item = Item(
            known.last_id + 1,
            entry.kind,
            round(entry.time, 3),
            entry.text,
            entry.media_type,
            len(entry.picture),
            hashlib.sha256(entry.picture).hexdigest() if entry.picture else "",
            entry.step_seq,
        )
        gone = []
        if item.size > ledgers.MAX_PICTURE_BYTES:
            text = f"{item.text} (a picture of {item.size} bytes is not kept)".strip()
            item = Item(
                item.id, item.kind if item.kind == STEP else NOTE, item.time, text, step_seq=item.step_seq
            )
        elif item.size:
            gone = known.make_room(item.size)
            self.folder.put(item.file, entry.picture)
        self._add(known, [*gone, item.line()])
        return item

    def _begin(self) -> Ledger:
        """The first entry: what an earlier process left under the token is gone on with."""
        self.folder.mend()
        known = self.folder.load()
        self.whole = self.whole and known.start_url is None
        try:
            self.folder.prune()
        except OSError as error:
            _log.warning("older records stay", path=str(self.folder.path), why=str(error))
        self._ledger = known
        return known

    def _add(self, known: Ledger, lines: list[bytes]) -> None:
        before = known.files
        if known.lines + len(lines) > ledgers.MAX_LINES:
            shortened = known.shortened()
            self.folder.replace(shortened)
            known = self._ledger = Ledger.read(shortened)
        self.folder.add(lines)
        for line in lines:
            known.take(line)
        # Only now: a picture that has just been put there is named by the last of these lines.
        if before - known.files:
            self.folder.tidy(known.files)
