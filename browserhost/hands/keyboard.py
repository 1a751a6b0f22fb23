"""The keyboard of a display.

A character that the keyboard lacks is put on one of its spare keys, on both levels, so that no state of
Shift or Caps Lock changes it. It stays there: taking it off might overtake the key in the browser, which
looks keys up as it takes them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ctypes import POINTER, byref, c_int, c_uint, c_ulong

from browserhost.hands.display import Display

_MODIFIERS = {"shift": 0xFFE1, "ctrl": 0xFFE3}
_NAMED = {"\n": 0xFF0D, "\t": 0xFF09}


class Keyboard:
    """The keys, and which of them are held down. `taken` returns when all typed so far has been taken."""

    def __init__(self, display: Display, taken: Callable[[], None]) -> None:
        self._display, self._taken = display, taken
        display.x.XGetKeyboardMapping.restype = POINTER(c_ulong)
        self._held: list[int] = []
        self._read_keyboard()

    def chord(self, modifiers: list[str], keysym: int) -> None:
        self._make_room({keysym})
        keycode, shifted = self._keys[keysym]
        wanted = {*modifiers, "shift"} if shifted else set(modifiers)
        keycodes = [*(self._keys[_MODIFIERS[name]][0] for name in sorted(wanted)), keycode]
        for each in keycodes:
            self._key(each, down=True)
        for each in reversed(keycodes):
            self._key(each, down=False)
        self._display.flush()

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
            self._display.flush()

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
        (self._held.append if down else self._held.remove)(keycode)
        self._display.test.XTestFakeKeyEvent(self._display.connection, c_uint(keycode), int(down), c_ulong(0))

    def _read_keyboard(self) -> None:
        low, high, columns = c_int(), c_int(), c_int()
        x, connection = self._display.x, self._display.connection
        x.XDisplayKeycodes(connection, byref(low), byref(high))
        count = high.value - low.value + 1
        table = self._display.x.XGetKeyboardMapping(
            self._display.connection, c_int(low.value), count, byref(columns)
        )
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
        x.XFree(table)

    def _make_room(self, keysyms: set[int]) -> None:
        """Put what the keyboard lacks on spare keys; when they run out, on all that were used so."""
        missing = sorted(keysyms - self._keys.keys())
        if len(missing) > len(self._spare):
            # What was typed with them must have been taken before they change.
            self._taken()
            gone = [each for each, (keycode, _) in self._keys.items() if keycode in self._ours]
            for each in gone:
                del self._keys[each]
            missing = sorted(keysyms - self._keys.keys())
            self._spare, self._ours = [*self._spare, *self._ours], []
        for each in missing:
            keycode = self._spare.pop(0)
            both = (c_ulong * 2)(each, each)
            self._display.x.XChangeKeyboardMapping(self._display.connection, keycode, 2, both, 1)
            self._keys[each] = keycode, False
            self._ours.append(keycode)
        if missing:
            # The browser asks for the new keys when it is told of them, and reads on meanwhile: a key
            # typed before it has them would still be the old one.
            self._taken()

    def let_go(self) -> None:
        """Release whatever is still held."""
        for keycode in reversed(tuple(self._held)):
            self._key(keycode, down=False)
        self._display.flush()


def _keysym(character: str) -> int:
    """X11 Window System Protocol, appendix A: Latin 1 as it is, all others with bit 24."""
    code = ord(character)
    return _NAMED.get(character) or (code if code < 0x100 else code | 1 << 24)


def _is_printed(keysym: int) -> bool:
    return 0xA0 <= keysym <= 0xFF or keysym >= 1 << 24
