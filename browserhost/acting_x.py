"""Hands on one X display: a process of its own, because Xlib ends the process whose display goes away.

The host runs it as `python -I -S acting_x.py` (see `acting_display.py`, its other half) with DISPLAY and
XAUTHORITY of the browser's tree. It needs the standard library and the two libraries that xdotool brings.
One command a line, one answer a line, `ok ...` or `no WHY`; at the end of its input it lets go of every
button and key that it still holds, whatever became of the host.

    move X Y               the pointer, in the display's pixels
    press B / release B    a button of the mouse
    chord MODS KEYSYM      MODS joined by commas, `-` for none; KEYSYM in hex
    type HEX               text, UTF-8
    under                  the top window under the pointer: `window X Y WIDTH HEIGHT`, `menu` or `none`
    menu MS                whether a menu is open, or opens within milliseconds: 1 or 0
    sync                   wait until the browser has taken everything from the display

A character that the keyboard lacks is put on one of its spare keys, on both levels, so that no state of
Shift or Caps Lock changes it. It stays there: taking it off might overtake the key in the browser, which
looks keys up as it takes them.
"""

import ctypes
import os
import select
import sys
import time
from collections.abc import Iterator
from ctypes import POINTER, byref, c_int, c_long, c_uint, c_ulong, c_void_p

SYNC_S = 5.0
"""How long the browser may take to come to what the display has for it."""
_MODIFIERS = {"shift": 0xFFE1, "ctrl": 0xFFE3}
_NAMED = {"\n": 0xFF0D, "\t": 0xFF09}
_CLIENT_MESSAGE, _SUBSTRUCTURE_NOTIFY, _IS_VIEWABLE = 33, 1 << 19, 2


class _ClientMessage(ctypes.Structure):
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


class _Event(ctypes.Union):
    _fields_ = (("type", c_int), ("client", _ClientMessage), ("size", c_long * 24))


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


# A window that went meanwhile is no reason to end the process, which is what Xlib would do.
_ignore = ctypes.CFUNCTYPE(c_int, c_void_p, c_void_p)(lambda display, error: 0)


class Display:
    """The connection, and what is held down. Raises OSError when there is none."""

    def __init__(self) -> None:
        self._x, self._test = ctypes.CDLL("libX11.so.6"), ctypes.CDLL("libXtst.so.6")
        self._x.XOpenDisplay.restype = c_void_p
        self._x.XDefaultRootWindow.restype = self._x.XInternAtom.restype = c_ulong
        self._x.XGetKeyboardMapping.restype = POINTER(c_ulong)
        self._x.XSetErrorHandler(_ignore)
        opened = self._x.XOpenDisplay(None)
        if not opened:
            raise OSError("the display cannot be opened")
        self._display = c_void_p(opened)
        self._root = c_ulong(self._x.XDefaultRootWindow(self._display))
        self._x.XSelectInput(self._display, self._root, c_long(_SUBSTRUCTURE_NOTIFY))
        self._protocols, self._ping = (
            self._x.XInternAtom(self._display, name, 0) for name in (b"WM_PROTOCOLS", b"_NET_WM_PING")
        )
        self._pings = 0
        self._buttons: list[int] = []
        self._keycodes: list[int] = []
        self._read_keyboard()

    # --- the pointer -----------------------------------------------------------------------

    def move(self, x: int, y: int) -> None:
        self._test.XTestFakeMotionEvent(self._display, -1, x, y, c_ulong(0))
        self._x.XSync(self._display, 0)

    def press(self, button: int) -> None:
        self._buttons.append(button)
        self._button(button, down=True)

    def release(self, button: int) -> None:
        self._button(button, down=False)
        self._buttons.remove(button)

    def _button(self, button: int, *, down: bool) -> None:
        self._test.XTestFakeButtonEvent(self._display, c_uint(button), int(down), c_ulong(0))
        self._x.XSync(self._display, 0)

    # --- the keyboard ----------------------------------------------------------------------

    def chord(self, modifiers: list[str], keysym: int) -> None:
        self._make_room({keysym})
        keycode, shifted = self._keys[keysym]
        wanted = {*modifiers, "shift"} if shifted else set(modifiers)
        keycodes = [*(self._keys[_MODIFIERS[name]][0] for name in sorted(wanted)), keycode]
        for each in keycodes:
            self._key(each, down=True)
        for each in reversed(keycodes):
            self._key(each, down=False)
        self._x.XSync(self._display, 0)

    def type(self, text: str) -> None:
        shift = self._keys[_MODIFIERS["shift"]][0]
        for run in self._runs([_keysym(character) for character in text]):
            self._make_room(set(run))
            for each in run:
                keycode, shifted = self._keys[each]
                if shifted:
                    self._key(shift, down=True)
                self._key(keycode, down=True)
                self._key(keycode, down=False)
                if shifted:
                    self._key(shift, down=False)
            self._x.XSync(self._display, 0)

    def _runs(self, keysyms: list[int]) -> Iterator[list[int]]:
        """As long as spare keys suffice for what the keyboard lacks."""
        room, run, lacking = len(self._spare) + len(self._ours), list[int](), set[int]()
        for each in keysyms:
            if each not in self._keys or self._keys[each][0] in self._ours:
                if each not in lacking and len(lacking) == room:
                    yield run
                    run, lacking = [], set()
                lacking.add(each)
            run.append(each)
        yield run

    def _key(self, keycode: int, *, down: bool) -> None:
        (self._keycodes.append if down else self._keycodes.remove)(keycode)
        self._test.XTestFakeKeyEvent(self._display, c_uint(keycode), int(down), c_ulong(0))

    def _read_keyboard(self) -> None:
        low, high, columns = c_int(), c_int(), c_int()
        self._x.XDisplayKeycodes(self._display, byref(low), byref(high))
        count = high.value - low.value + 1
        table = self._x.XGetKeyboardMapping(self._display, c_int(low.value), count, byref(columns))
        self._keys: dict[int, tuple[int, bool]] = {}
        self._spare: list[int] = []
        self._ours: list[int] = []
        for row in range(count):
            keycode, first = low.value + row, row * columns.value
            symbols = table[first : first + min(columns.value, 2)]
            if not any(table[first : first + columns.value]):
                self._spare.append(keycode)
            elif len(symbols) == 2 and symbols[0] == symbols[1] and _is_printed(symbols[0]):
                self._ours.append(keycode)
            for level, symbol in enumerate(symbols):
                if symbol:
                    self._keys.setdefault(symbol, (keycode, level == 1))
        self._x.XFree(table)

    def _make_room(self, keysyms: set[int]) -> None:
        """Put what the keyboard lacks on spare keys; when they run out, on all that were used so."""
        missing = sorted(keysyms - self._keys.keys())
        if len(missing) > len(self._spare):
            # What was typed with them must have been taken before they change.
            self.sync()
            gone = [each for each, (keycode, _) in self._keys.items() if keycode in self._ours]
            for each in gone:
                del self._keys[each]
            missing = sorted(keysyms - self._keys.keys())
            self._spare, self._ours = [*self._spare, *self._ours], []
        for each in missing:
            keycode = self._spare.pop(0)
            both = (c_ulong * 2)(each, each)
            self._x.XChangeKeyboardMapping(self._display, keycode, 2, both, 1)
            self._keys[each] = keycode, False
            self._ours.append(keycode)
        self._x.XSync(self._display, 0)

    # --- the windows -----------------------------------------------------------------------

    def under(self) -> str:
        """What gets a click where the pointer is."""
        root, child, x, y = c_ulong(), c_ulong(), c_int(), c_int()
        inner, mask = (c_int(), c_int()), c_uint()
        self._x.XQueryPointer(
            *(self._display, self._root, byref(root), byref(child), byref(x), byref(y)),
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
        while not any(window.override_redirect for _, window in self._windows()):
            left = deadline - time.monotonic()
            # Windows that come are told of by an event, which may have been read with the last answer.
            if not self._x.XPending(self._display) and (left <= 0 or not self._is_told(left)):
                return 0
            self._has_pong()
        return 1

    def sync(self) -> None:
        """Raises OSError when the browser does not take what there is."""
        main = next((number for number, window in self._windows() if not window.override_redirect), None)
        if main is None:
            raise OSError("there is no window")
        self._pings += 1
        event = _Event()
        event.client.type, event.client.format = _CLIENT_MESSAGE, 32
        event.client.window, event.client.message_type = main, self._protocols
        event.client.data[:3] = (self._ping, self._pings, main)
        # Taken in its turn, and answered to the root window (Extended Window Manager Hints, _NET_WM_PING).
        self._x.XSendEvent(self._display, c_ulong(main), 0, c_long(0), byref(event))
        self._x.XSync(self._display, 0)
        while not self._has_pong():
            if not self._is_told(SYNC_S):
                raise OSError("the browser's window does not answer")

    def _is_told(self, seconds: float) -> bool:
        return bool(select.select([self._x.XConnectionNumber(self._display)], [], [], seconds)[0])

    def _has_pong(self) -> bool:
        """Take the events that there are; whether the last ping's answer is among them."""
        event = _Event()
        while self._x.XPending(self._display):
            self._x.XNextEvent(self._display, byref(event))
            message = event.client
            is_protocol = event.type == _CLIENT_MESSAGE and message.message_type == self._protocols
            if is_protocol and message.data[:2] == [self._ping, self._pings]:
                return True
        return False

    def _windows(self) -> Iterator[tuple[int, _Window]]:
        """Those that can be seen, the lowest first."""
        root, parent, count = c_ulong(), c_ulong(), c_uint()
        children = POINTER(c_ulong)()
        self._x.XQueryTree(
            *(self._display, self._root, byref(root), byref(parent), byref(children), byref(count))
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
        found = self._x.XGetWindowAttributes(self._display, c_ulong(number), byref(window))
        return window if found else None

    def let_go(self) -> None:
        """Release whatever is still held."""
        for button in reversed(self._buttons):
            self._button(button, down=False)
        for keycode in reversed(tuple(self._keycodes)):
            self._key(keycode, down=False)
        self._x.XSync(self._display, 0)


def _keysym(character: str) -> int:
    """X11 Window System Protocol, appendix A: Latin 1 as it is, all others with bit 24."""
    code = ord(character)
    return _NAMED.get(character) or (code if code < 0x100 else code | 1 << 24)


def _is_printed(keysym: int) -> bool:
    return 0xA0 <= keysym <= 0xFF or keysym >= 1 << 24


def answer(display: Display, command: str, *words: str) -> str:
    """Do one command and say how it went."""
    if command in {"move", "press", "release"}:
        getattr(display, command)(*map(int, words))
    elif command == "chord":
        display.chord([] if words[0] == "-" else words[0].split(","), int(words[1], 16))
    elif command == "type":
        display.type(bytes.fromhex(words[0]).decode())
    elif command == "menu":
        return f"ok {display.menu(int(words[0]))}"
    elif command == "under":
        return f"ok {display.under()}"
    elif command == "sync":
        display.sync()
    else:
        raise OSError(f"unknown command {command}")
    return "ok"


def main() -> None:
    display = Display()
    os.write(1, b"ok\n")
    try:
        for line in sys.stdin:
            try:
                said = answer(display, *line.split())
            except OSError as problem:
                said = f"no {problem}"
            os.write(1, said.encode() + b"\n")
    finally:
        display.let_go()


if __name__ == "__main__":
    main()
