"""Key chords that leave the page: Chrome takes them itself, also from DevTools clients. Pure.

Tried on Chrome 156 under Input.dispatchKeyEvent: each of these opened a local page, a dialog that
shows or writes the machine's files, or DevTools. What else Chrome takes (close, reload, find) does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from browserhost.policy.verdict import PASS, Room, Verdict, refuse

ALT, CTRL, META, SHIFT = 1, 2, 4, 8
_DELETE, _ESCAPE, _HOME, _F12 = 46, 27, 36, 123
_BROWSER_HOME, _BROWSER_FAVORITES, _LAUNCH_MAIL, _LAUNCH_APPS = 172, 171, 180, (182, 183)

_WITH_CTRL = frozenset(map(ord, "HJNOPSTU"))
"""History, downloads, new window, open file, print, save, new tab, source."""
_WITH_CTRL_SHIFT = frozenset(map(ord, "ACIJMNOPT")) | {_DELETE}
"""Tab search, DevTools, profiles, incognito, bookmarks, print, closed tabs; clear browsing data."""
_WITH_ALT = frozenset(map(ord, "EF")) | {_HOME}
"""Chrome's menu, its new-tab page."""
_WITH_SHIFT = frozenset({_ESCAPE})
"""Its task manager."""
_ALWAYS = frozenset({_F12, _BROWSER_HOME, _BROWSER_FAVORITES, _LAUNCH_MAIL, *_LAUNCH_APPS})

_NAMES = {"Delete": _DELETE, "Escape": _ESCAPE, "Home": _HOME, "F12": _F12, "BrowserHome": _BROWSER_HOME}


def judge(params: Mapping[str, Any], room: Room) -> Verdict:
    """Input.dispatchKeyEvent."""
    held = _whole(params.get("modifiers")) or 0
    if not any(_leaves(code, held) for code in _codes(params)):
        return PASS
    return refuse(
        "that chord is Chrome's own and leaves the page", "navigate, or use another DevTools method"
    )


def _leaves(code: int, held: int) -> bool:
    if code in _ALWAYS:
        return True
    if held & (CTRL | META):
        return code in (_WITH_CTRL_SHIFT | _WITH_CTRL if held & SHIFT else _WITH_CTRL)
    if held & ALT:
        return code in _WITH_ALT
    return bool(held & SHIFT) and code in _WITH_SHIFT


def _codes(params: Mapping[str, Any]) -> set[int]:
    """The Windows key code, by each of the names that a client may give it."""
    codes = set()
    number = _whole(params.get("windowsVirtualKeyCode"))
    if number is not None:
        codes.add(number)
    for name in (str(params.get("key", "")), str(params.get("code", "")).removeprefix("Key")):
        if len(name) == 1 and name.isalpha():
            codes.add(ord(name.upper()))
        elif name in _NAMES:
            codes.add(_NAMES[name])
    return codes


def _whole(value: object) -> int | None:
    """A number as Chrome reads it, which takes 2.0 for 2."""
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    return value if isinstance(value, int) else None
