"""What was recorded under one token: its items, their lines in a log, and what goes when it grows. Pure.

A log is lines of JSON, added at its end: an item, that a picture is gone, where the session began.
Reading them in order gives the ledger back, so a log that breaks off anywhere is read as far as it goes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace

MAX_LINES = 2_000
MAX_PICTURES = 64
MAX_PICTURE_BYTES = 32 << 20
MAX_TEXT = 1_024
"""Characters of an item's text: an address may carry a whole page, and 2,000 items go into one message."""
URL, SCREENSHOT, STEP, FINDING, NOTE = "url", "screenshot", "step", "finding", "note"
EXTENSIONS = {"image/jpeg": "jpg", "image/png": "png", "image/webp": "webp"}


@dataclass(frozen=True, slots=True)
class Item:
    """One thing seen. `time` in seconds since 1970; `size` in bytes of its picture, 0 for none."""

    id: int
    kind: str
    time: float
    text: str = ""
    media_type: str = ""
    size: int = 0
    sha256: str = ""
    step_seq: int = 0

    @property
    def name(self) -> str:
        """Its id, as it is written: names order as ids do."""
        return f"{self.id:06d}"

    @property
    def file(self) -> str:
        """Name of its picture's file; empty when it has none."""
        return f"{self.name}.{EXTENSIONS[self.media_type]}" if self.size else ""

    def line(self) -> bytes:
        """Its line in the log."""
        return _line({"item": {name: value for name, value in asdict(self).items() if value not in ("", 0)}})


@dataclass(slots=True)
class Ledger:
    """`start_url` is None while no browser was opened. `dropped` counts items that had to go.

    `pages_lost`: there are URLs among them.
    """

    items: dict[int, Item] = field(default_factory=dict)
    start_url: str | None = None
    dropped: int = 0
    pages_lost: bool = False
    lines: int = 0
    last_id: int = 0

    @classmethod
    def read(cls, lines: Iterable[bytes]) -> Ledger:
        """What a log adds up to. A line that cannot be read is passed over: only a torn last one is."""
        ledger = cls()
        for line in lines:
            try:
                ledger.take(line)
            except (ValueError, TypeError, KeyError, AttributeError):
                continue
        return ledger

    def take(self, line: bytes) -> None:
        """Add a line of the log. Raises ValueError, TypeError, KeyError for what is none."""
        entry = json.loads(line)
        if "item" in entry:
            fields = {"kind": "", "time": 0.0, **entry["item"]}
            item = Item(**fields)
            if item.size and item.media_type not in EXTENSIONS:
                raise ValueError(f"a picture cannot be of the type '{item.media_type}'")
            self.items[item.id] = item
            self.last_id = max(self.last_id, item.id)
        elif "gone" in entry:
            self._lose_picture(int(entry["gone"]))
        elif "start_url" in entry:
            self.start_url = self.start_url if self.start_url is not None else str(entry["start_url"])
        elif "dropped" in entry:
            self.dropped += int(entry["dropped"])
            self.pages_lost = self.pages_lost or bool(entry.get("pages_lost"))
            self.last_id = max(self.last_id, int(entry["last_id"]))
        self.lines += 1

    def make_room(self, size: int) -> list[bytes]:
        """Lines that say which pictures go for one of `size` bytes: the oldest, those of steps last."""
        pictures = sorted(
            (item for item in self.items.values() if item.size), key=lambda item: (item.kind == STEP, item.id)
        )
        count, held = len(pictures) + 1, sum(item.size for item in pictures) + size
        lines = []
        for item in pictures:
            if count <= MAX_PICTURES and held <= MAX_PICTURE_BYTES:
                break
            count, held = count - 1, held - item.size
            lines.append(_line({"gone": item.id}))
        return lines

    def shortened(self) -> list[bytes]:
        """A log to put in this one's place: the oldest items less, those of steps last, and how many."""
        kept = MAX_LINES * 3 // 4
        by_worth = sorted(self.items.values(), key=lambda item: (item.kind == STEP, item.id))
        surplus = max(0, len(by_worth) - kept)
        items = sorted(by_worth[surplus:], key=lambda item: item.id)
        pages_lost = self.pages_lost or any(item.kind == URL for item in by_worth[:surplus])
        counts = {"dropped": self.dropped + surplus, "last_id": self.last_id, "pages_lost": pages_lost}
        lines = [_line(counts)]
        if self.start_url is not None:
            lines.append(opened(self.start_url))
        return [*lines, *(item.line() for item in items)]

    @property
    def files(self) -> set[str]:
        """Names of the pictures' files."""
        return {item.file for item in self.items.values() if item.size}

    def _lose_picture(self, number: int) -> None:
        item = self.items.get(number)
        if item is not None and item.kind == STEP:
            self.items[number] = replace(item, media_type="", size=0, sha256="")
        elif item is not None:
            del self.items[number]
            self.dropped += 1


def opened(start_url: str) -> bytes:
    """The line that says where the session began."""
    return _line({"start_url": clipped(start_url)})


def clipped(text: str) -> str:
    """A text that fits a line; what is cut off leaves its mark."""
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}…"


def _line(entry: object) -> bytes:
    return json.dumps(entry, separators=(",", ":")).encode()
