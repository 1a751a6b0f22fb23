"""What is drawn on a display, told as it happens (the X server's DAMAGE extension).

Chrome, which composes in software there, draws only what changed, once a frame: a window at rest draws
nothing, and a text cursor that blinks a line as wide as itself.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import byref, c_int, c_ulong
from typing import Any

from browserhost.hands.display import Display, Event

_RAW_RECTANGLES = 0


class Damage:
    """Tells `drawn` of every rectangle (left, top, width, height) between `watch` and `unwatch`."""

    def __init__(self, display: Display, drawn: Callable[[int, int, int, int], None]) -> None:
        self._display, self._drawn = display, drawn
        self._watched: c_ulong | None = None
        self._notify = 0
        self._library: Any = None
        display.listeners.append(self._event)

    def watch(self) -> None:
        """Begin. Idempotent. Raises OSError where the display, or the machine, cannot tell."""
        if self._watched is not None:
            return
        display = self._display
        if self._library is None:
            library, first, errors = ctypes.CDLL("libXdamage.so.1"), c_int(), c_int()
            library.XDamageCreate.restype = c_ulong
            if not library.XDamageQueryExtension(display.connection, byref(first), byref(errors)):
                raise OSError("the display does not tell what is drawn")
            self._library, self._notify = library, first.value
        made = self._library.XDamageCreate(display.connection, display.root, _RAW_RECTANGLES)
        self._watched = c_ulong(made)
        display.flush()

    def unwatch(self) -> None:
        """End. Idempotent."""
        if self._watched is not None:
            self._library.XDamageDestroy(self._display.connection, self._watched)
            self._display.flush()
            self._display.take()
            self._watched = None

    def _event(self, event: Event) -> None:
        if self._watched is not None and event.type == self._notify:
            area = event.damage.area
            self._drawn(area.left, area.top, area.width, area.height)
