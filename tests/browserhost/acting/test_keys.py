from __future__ import annotations

import pytest

from browserhost.acting.keys import Chord, parse

STAYS: list[tuple[str, tuple[str, ...], int]] = [
    ("a", (), 0x61),
    ("A", (), 0x41),
    ("shift+a", (), 0x41),
    ("é", (), 0xE9),
    ("漢", (), 0x1006F22),
    ("+", (), 0x2B),
    ("plus", (), 0x2B),
    ("Return", (), 0xFF0D),
    ("Tab", (), 0xFF09),
    ("shift+Tab", ("shift",), 0xFF09),
    ("BackSpace", (), 0xFF08),
    ("Escape", (), 0xFF1B),
    ("Page_Down", (), 0xFF56),
    ("shift+End", ("shift",), 0xFF57),
    ("ctrl+a", ("ctrl",), 0x61),
    ("ctrl+A", ("ctrl",), 0x61),
    ("CTRL+c", ("ctrl",), 0x63),
    ("Control+v", ("ctrl",), 0x76),
    ("ctrl+shift+z", ("ctrl", "shift"), 0x7A),
    ("shift+ctrl+Left", ("ctrl", "shift"), 0xFF51),
    ("ctrl+BackSpace", ("ctrl",), 0xFF08),
]

LEAVES = [
    *("ctrl+t", "ctrl+n", "ctrl+w", "ctrl+q", "ctrl+l", "ctrl+k", "ctrl+e", "ctrl+d", "ctrl+f", "ctrl+g"),
    *("ctrl+h", "ctrl+j", "ctrl+o", "ctrl+p", "ctrl+r", "ctrl+s", "ctrl+u", "ctrl+1", "ctrl+9", "ctrl+0"),
    *("ctrl+plus", "ctrl+minus", "ctrl++", "ctrl+Tab", "ctrl+shift+Tab", "ctrl+Page_Up", "ctrl+Page_Down"),
    *("ctrl+shift+t", "ctrl+shift+n", "ctrl+shift+i", "ctrl+shift+j", "ctrl+shift+c", "ctrl+shift+b"),
    *("ctrl+shift+a", "ctrl+shift+o", "ctrl+shift+q", "ctrl+shift+w", "ctrl+shift+m", "ctrl+shift+d"),
    *("ctrl+shift+Delete", "shift+Escape", "ctrl+Escape", "ctrl+space", "ctrl+shift+Return"),
    *(f"F{number}" for number in range(1, 13)),
    *("shift+F10", "ctrl+F4", "alt+F4", "Menu", "alt+Left", "alt+Right", "alt+Home", "alt+d", "alt+f"),
    *(
        "Super_L",
        "super+a",
        "meta+a",
        "XF86Back",
        "XF86HomePage",
        "Print",
        "alt",
        "ctrl",
        "shift",
        "shift+ctrl",
    ),
    *("ctrl+alt+t", "ctrl+shift+alt+a", "a b", "\t", "\x1b", "+a", "ctrl+", "a+", "ctrl+漢"),
]


@pytest.mark.parametrize(("text", "modifiers", "keysym"), STAYS)
def test_what_edits_or_moves_within_the_page_is_pressed(
    text: str, modifiers: tuple[str, ...], keysym: int
) -> None:
    assert parse(text) == Chord(modifiers, keysym)


@pytest.mark.parametrize("text", LEAVES)
def test_what_may_reach_the_browser_or_leave_the_page_is_refused(text: str) -> None:
    assert isinstance(parse(text), str), text


def test_a_chord_names_a_key_and_is_no_essay() -> None:
    assert parse("") == "names no key"
    assert parse("ctrl+" * 100) == "has more than 64 characters"


def test_only_the_tabulator_moves_the_focus() -> None:
    moving = [text for text, *_ in STAYS if isinstance(made := parse(text), Chord) and made.moves_focus]
    assert moving == ["Tab", "shift+Tab"]
