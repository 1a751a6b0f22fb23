"""When a page has come to rest: nothing drawn, nothing loading, nothing asked for. Pure.

What is drawn is told by its display, what is loaded by its browser. Times are one clock's, in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from math import inf

from tenure.v1.session_pb2 import SettleReason

QUIET_S = 0.15
"""Without a sign of life for as long, and with nothing outstanding, a page is settled."""
PATIENCE_S = 1.0
"""A request that takes longer is taken for one that is meant to: a long poll, a stream."""
CARET_WIDTH = 2
"""Of a display's pixels. What is no wider is a text cursor: it blinks every 0.6 s, for ever."""

_AWAITED = frozenset({"Document", "Stylesheet", "Script", "XHR", "Fetch"})


class Reason(Enum):
    """Why waiting stopped. The values are the words of `settle_reason`."""

    NONE = "none"
    SETTLED = "settled"
    CAP = "cap"

    @property
    def message(self) -> SettleReason.ValueType:
        """The wire form."""
        return SettleReason.Value(f"SETTLE_REASON_{self.name}")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for the page to settle, in seconds: at least, and at most (0 does not wait)."""

    minimum_s: float = 0.0
    cap_s: float = 0.0


@dataclass(slots=True)
class Rest:
    """What a page shows of itself. `top`: where on the display it begins, below the browser's own bars."""

    top: int
    last: float = -inf
    """The last sign of life."""
    heard: bool = False
    """Whether it is through with all that was sent to it."""
    _requests: dict[str, float] = field(default_factory=dict)
    _loading: set[str] = field(default_factory=set)

    def hears(self, now: float) -> None:
        """The page is through with all that was sent to it."""
        self.heard, self.last = True, now

    def drawn(self, now: float, top: int, width: int, height: int) -> bool:
        """Something was drawn from `top` on; whether that says anything of the page."""
        if width <= CARET_WIDTH or top + height <= self.top:
            return False
        self.last = now
        return True

    def asked(self, now: float, request: str, kind: str) -> None:
        """The page asks for something; `kind` is DevTools' resource type."""
        if kind in _AWAITED:
            self._requests[request] = self.last = now

    def answered(self, now: float, request: str) -> None:
        """An answer is whole, or has failed."""
        if self._requests.pop(request, None) is not None:
            self.last = now

    def loads(self, now: float, frame: str) -> None:
        """A frame begins to load."""
        self._loading.add(frame)
        self.last = now

    def loaded(self, now: float, frame: str) -> None:
        """It is done, or gone."""
        self._loading.discard(frame)
        self.last = now

    def at(self, now: float, earliest: float) -> float:
        """When the page is settled, and not before `earliest`, should nothing come meanwhile.

        Infinite while something must come first.
        """
        self._requests = {n: t for n, t in self._requests.items() if t + PATIENCE_S > now}
        if self._loading or not self.heard:
            return inf
        return max(earliest, self.last + QUIET_S, *(t + PATIENCE_S for t in self._requests.values()))
