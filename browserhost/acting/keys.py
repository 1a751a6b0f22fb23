"""Which chords stay inside the page. Pure.

An allow list: Chrome has more chords of its own than can be listed, differs in them from version to
version, and each leads to its own windows, to other pages or to other tabs. What is here edits text,
moves within the page, or is a plain character; what the page makes of it is the page's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

LONGEST = 64
"""Characters of a chord."""

_MODIFIERS: Final = {"ctrl": "ctrl", "control": "ctrl", "shift": "shift"}
# keysymdef.h
_EDITING: Final = {
    "return": 0xFF0D,
    "enter": 0xFF0D,
    "kp_enter": 0xFF8D,
    "tab": 0xFF09,
    "backspace": 0xFF08,
    "delete": 0xFFFF,
    "home": 0xFF50,
    "end": 0xFF57,
    "left": 0xFF51,
    "up": 0xFF52,
    "right": 0xFF53,
    "down": 0xFF54,
    "insert": 0xFF63,
    "space": 0x20,
}
_PLAIN: Final = {
    **_EDITING,
    "escape": 0xFF1B,
    "page_up": 0xFF55,
    "prior": 0xFF55,
    "page_down": 0xFF56,
    "next": 0xFF56,
    "plus": 0x2B,
    "minus": 0x2D,
}
_SHIFT_TOO: Final = {name for name in _PLAIN if name != "escape"}
"""Shift and Escape is Chrome's task manager."""
_CTRL: Final = {*"abcivxyz", "return", "enter", "backspace", "delete", "insert"} | {
    *("home", "end", "left", "right", "up", "down")
}
_CTRL_SHIFT: Final = {*"vz", "home", "end", "left", "right", "up", "down"}
"""Control, Shift and Delete clears browsing data."""

REMEDY: Final = (
    "send a character, an editing key (Return, Tab, BackSpace, Delete, Home, End, Left, ...), or ctrl with "
    "one of a b c i v x y z; go elsewhere through the DevTools address or a new OpenSession"
)


@dataclass(frozen=True, slots=True)
class Chord:
    """`modifiers` are among ctrl and shift; `keysym` as X has it."""

    modifiers: tuple[str, ...]
    keysym: int

    @property
    def moves_focus(self) -> bool:
        """Whether it may take the keyboard out of the page, into the browser's own bars."""
        return self.keysym == _EDITING["tab"]


def parse(text: str) -> Chord | str:
    """The chord, or what is wrong with it, as a clause."""
    if not text or len(text) > LONGEST:
        return "names no key" if not text else f"has more than {LONGEST} characters"
    *held, key = ["+"] if text == "+" else text.removesuffix("++").split("+") + ["+"] * text.endswith("++")
    modifiers = set()
    for name in held:
        modifier = _MODIFIERS.get(name.strip().lower())
        if modifier is None:
            return f"holds '{name}', which is for the browser or the system, not for the page"
        modifiers.add(modifier)
    if modifiers == {"shift"} and len(key) == 1 and key.isalpha():
        key, modifiers = key.upper(), set()
    name = key.lower() if modifiers or len(key) > 1 else key
    allowed = {
        frozenset[str](): _PLAIN.keys(),
        frozenset({"shift"}): _SHIFT_TOO,
        frozenset({"ctrl"}): _CTRL,
        frozenset({"ctrl", "shift"}): _CTRL_SHIFT,
    }[frozenset(modifiers)]
    if name in allowed:
        keysym = _PLAIN[name] if len(name) > 1 else ord(name)
    elif not modifiers and len(name) == 1 and name.isprintable():
        keysym = ord(name) if ord(name) < 0x100 else ord(name) | 1 << 24
    else:
        return "is not known to stay in the page: it may reach the browser's own windows, or leave the page"
    return Chord(tuple(sorted(modifiers)), keysym)
