"""The connection to an X display, and its pointer. Needs libX11 and libXtst, which xdotool brings."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import byref, c_int, c_long, c_short, c_uint, c_ulong, c_ushort, c_void_p
from typing import Any

_SUBSTRUCTURE_NOTIFY = 1 << 19

# A window that went meanwhile is no reason to end the process, which is what Xlib would do.
_ignore = ctypes.CFUNCTYPE(c_int, c_void_p, c_void_p)(lambda display, error: 0)


class ClientMessage(ctypes.Structure):
    # XClientMessageEvent, Xlib.h
    _fields_ = (
        ("type", c_int),
        ("serial", c_ulong),
        ("send_event", c_int),
        ("display", c_void_p),
        ("window", c_ulong),
        ("message_type", c_ulong),
        ("format", c_int),
        ("data", c_long * 5),
    )


class Rectangle(ctypes.Structure):
    # XRectangle, Xlib.h
    _fields_ = (("left", c_short), ("top", c_short), ("width", c_ushort), ("height", c_ushort))


class DamageNotify(ctypes.Structure):
    # XDamageNotifyEvent, Xdamage.h
    _fields_ = (
        ("type", c_int),
        ("serial", c_ulong),
        ("send_event", c_int),
        ("display", c_void_p),
        ("drawable", c_ulong),
        ("damage", c_ulong),
        ("level", c_int),
        ("more", c_int),
        ("timestamp", c_ulong),
        ("area", Rectangle),
        ("geometry", Rectangle),
    )


class Event(ctypes.Union):
    # XEvent, Xlib.h
    _fields_ = (("type", c_int), ("client", ClientMessage), ("damage", DamageNotify), ("size", c_long * 24))


class Display:
    """The connection. Raises OSError when there is none. `listeners` are told of each event."""

    def __init__(self) -> None:
        self.x: Any = ctypes.CDLL("libX11.so.6")
        self.test: Any = ctypes.CDLL("libXtst.so.6")
        self.x.XOpenDisplay.restype = c_void_p
        self.x.XDefaultRootWindow.restype = c_ulong
        self.x.XSetErrorHandler(_ignore)
        opened = self.x.XOpenDisplay(None)
        if not opened:
            raise OSError("the display cannot be opened")
        self.connection = c_void_p(opened)
        self.root = c_ulong(self.x.XDefaultRootWindow(self.connection))
        self.x.XSelectInput(self.connection, self.root, c_long(_SUBSTRUCTURE_NOTIFY))
        self.number: int = self.x.XConnectionNumber(self.connection)
        self.listeners: list[Callable[[Event], None]] = []

    def flush(self) -> None:
        """Return when the display has done everything."""
        self.x.XSync(self.connection, 0)

    def take(self) -> bool:
        """Take the events that there are, without waiting; whether there were any."""
        event, any_came = Event(), False
        while self.x.XPending(self.connection):
            self.x.XNextEvent(self.connection, byref(event))
            any_came = True
            for listener in self.listeners:
                listener(event)
        return any_came


class Pointer:
    """The pointer, and what of its buttons is held down."""

    def __init__(self, display: Display) -> None:
        self._display = display
        self._held: list[int] = []

    def move(self, x: int, y: int) -> None:
        """In the display's pixels."""
        self._display.test.XTestFakeMotionEvent(self._display.connection, -1, x, y, c_ulong(0))
        self._display.flush()

    def press(self, button: int) -> None:
        self._held.append(button)
        self._button(button, down=True)

    def release(self, button: int) -> None:
        self._button(button, down=False)
        self._held.remove(button)

    def let_go(self) -> None:
        """Release whatever is still held."""
        while self._held:
            self.release(self._held[-1])

    def _button(self, button: int, *, down: bool) -> None:
        display = self._display
        display.test.XTestFakeButtonEvent(display.connection, c_uint(button), int(down), c_ulong(0))
        display.flush()
