"""Hands on one X display: a process of its own, because Xlib ends the process whose display goes away.

The host runs it as `python -I -S browserhost/hands` (see `hands_host.py`, its other half) with DISPLAY and
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
"""

import os
import sys

# Run as a directory it has its own one only, and no site.
sys.path.append(f"{sys.path[0]}/../..")

from browserhost.hands.display import Display, Pointer
from browserhost.hands.keyboard import Keyboard
from browserhost.hands.windows import Windows


class Hands:
    """All that can be done on one display. Raises OSError when there is none."""

    def __init__(self) -> None:
        display = Display()
        self._windows = Windows(display)
        self._pointer = Pointer(display)
        self._keyboard = Keyboard(display, self._windows.sync)

    def answer(self, command: str, *words: str) -> str:
        """Do one command and say how it went."""
        match command:
            case "move" | "press" | "release":
                getattr(self._pointer, command)(*map(int, words))
            case "chord":
                self._keyboard.chord([] if words[0] == "-" else words[0].split(","), int(words[1], 16))
            case "type":
                self._keyboard.type(bytes.fromhex(words[0]).decode())
            case "menu":
                return f"ok {self._windows.menu(int(words[0]))}"
            case "under":
                return f"ok {self._windows.under()}"
            case "sync":
                self._windows.sync()
            case _:
                raise OSError(f"unknown command {command}")
        return "ok"

    def let_go(self) -> None:
        """Release whatever is still held."""
        self._pointer.let_go()
        self._keyboard.let_go()


def main() -> None:
    hands = Hands()
    os.write(1, b"ok\n")
    try:
        for line in sys.stdin:
            try:
                said = hands.answer(*line.split())
            except OSError as problem:
                said = f"no {problem}"
            os.write(1, said.encode() + b"\n")
    finally:
        hands.let_go()


if __name__ == "__main__":
    main()
