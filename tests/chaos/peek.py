"""What the store says now, as those who look after it may know: a hint, like every read."""

from __future__ import annotations

from typing import NamedTuple

from lockservice.core.document import decode
from lockservice.core.record import Record, State
from tenure import token as tokens
from tests.fixtures.history import History


class Seen(NamedTuple):
    """A profile's record and its revision."""

    record: Record
    mod: int

    @property
    def token(self) -> int:
        """The current hold's; 0 when nobody holds it."""
        return tokens.pack(self.record.epoch, self.mod) if self.record.state is State.HELD else 0


class Peek:
    """The latest records that a history has."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._read = 0
        self._seen: dict[str, Seen] = {}

    def now(self) -> dict[str, Seen]:
        """Every profile's record."""
        written = self._history.written
        for each in written[self._read :]:
            if each.key.startswith("p/") and each.value is not None:
                self._seen[each.key.split("/")[2]] = Seen(decode(Record, each.value), each.revision)
        self._read = len(written)
        return self._seen
