"""The windows on a display: which is under the pointer, and whether the browser has taken its events."""

from __future__ import annotations

import ctypes
import select
import time
from collections.abc import Iterator
from ctypes import POINTER, byref, c_int, c_long, c_uint, c_ulong, c_void_p

from browserhost.hands.display import Display, Event

SYNC_S = 5.0
"""How long the browser may take to come to what the display has for it."""
_CLIENT_MESSAGE, _IS_VIEWABLE = 33, 2


class _Window(ctypes.Structure):
    # XWindowAttributes, Xlib.h
    _fields_ = (
        ("x", c_int),
        ("y", c_int),
        ("width", c_int),
        ("height", c_int),
        ("border_and_depth", c_int * 2),
        ("visual", c_void_p),
        ("root", c_ulong),
        ("class_gravities_and_store", c_int * 4),
        ("planes", c_ulong * 2),
        ("save_under", c_int),
        ("colormap", c_ulong),
        ("map_installed", c_int),
        ("map_state", c_int),
        ("masks", c_long * 3),
        ("override_redirect", c_int),
        ("screen", c_void_p),
    )


class Windows:
    """The windows of a display."""

    def __init__(self, display: Display) -> None:
        self._x, self._connection, self._root = display.x, display.connection, display.root
        self._flush = display.flush
        display.x.XInternAtom.restype = c_ulong
        self._protocols, self._ping = (
            display.x.XInternAtom(display.connection, name, 0) for name in (b"WM_PROTOCOLS", b"_NET_WM_PING")
        )
        self._display = display
        self._pings = self._ponged = 0
        display.listeners.append(self._event)

    def under(self) -> str:
        """What gets a click where the pointer is."""
        root, child, x, y = c_ulong(), c_ulong(), c_int(), c_int()
        inner, mask = (c_int(), c_int()), c_uint()
        self._x.XQueryPointer(
            *(self._connection, self._root, byref(root), byref(child), byref(x), byref(y)),
            *(byref(inner[0]), byref(inner[1]), byref(mask)),
        )
        window = self._window(child.value) if child.value else None
        if window is None:
            return "none"
        if window.override_redirect:
            return "menu"
        return f"window {window.x} {window.y} {window.width} {window.height}"

    def menu(self, milliseconds: int) -> int:
        """Whether one is open by then, 1 or 0."""
        deadline = time.monotonic() + milliseconds / 1000
        while True:
            is_over = time.monotonic() >= deadline
            self._display.take()
            if any(window.override_redirect for _, window in self._windows()):
                return 1
            if is_over:
                return 0
            # Windows that come are told of by an event, which may have been read with the last answer.
            if not self._x.XPending(self._connection):
                self._is_told(deadline)

    def sync(self, seconds: float = SYNC_S) -> None:
        """Raises OSError when the browser does not take what there is in time."""
        main = next((number for number, window in self._windows() if not window.override_redirect), None)
        if main is None:
            raise OSError("there is no window")
        self._pings += 1
        event = Event()
        event.client.type, event.client.format = _CLIENT_MESSAGE, 32
        event.client.window, event.client.message_type = main, self._protocols
        event.client.data[:3] = (self._ping, self._pings, main)
        # Taken in its turn, and answered to the root window (Extended Window Manager Hints, _NET_WM_PING).
        self._x.XSendEvent(self._connection, c_ulong(main), 0, c_long(0), byref(event))
        self._flush()
        deadline = time.monotonic() + seconds
        self._display.take()
        while self._ponged != self._pings:
            if not self._is_told(deadline):
                raise OSError("the browser's window does not answer")
            self._display.take()

    def _is_told(self, deadline: float) -> bool:
        left = max(0.0, deadline - time.monotonic())
        return bool(select.select([self._display.number], [], [], left)[0])

    def _event(self, event: Event) -> None:
        message = event.client
        if event.type == _CLIENT_MESSAGE and message.message_type == self._protocols:
            protocol, number = message.data[:2]
            if protocol == self._ping:
                self._ponged = number

    def _windows(self) -> Iterator[tuple[int, _Window]]:
        """Those that can be seen, the lowest first."""
        root, parent, count = c_ulong(), c_ulong(), c_uint()
        children = POINTER(c_ulong)()
        self._x.XQueryTree(
            *(
                self._connection,
                self._root,
                byref(root),
                byref(parent),
                byref(children),
                byref(count),
            )
        )
        numbers = children[: count.value]
        if numbers:
            self._x.XFree(children)
        for number in numbers:
            window = self._window(number)
            if window is not None and window.map_state == _IS_VIEWABLE and window.width > 1:
                yield number, window

    def _window(self, number: int) -> _Window | None:
        window = _Window()
        found = self._x.XGetWindowAttributes(self._connection, c_ulong(number), byref(window))
        return window if found else None
