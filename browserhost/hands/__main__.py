"""Hands on one X display: a process of its own, because Xlib ends the process whose display goes away.

The host runs it as `python -I -S browserhost/hands` (see `hands_host.py`, its other half) with DISPLAY and
XAUTHORITY of the browser's tree. It needs the standard library, the two libraries that xdotool brings, and
to watch one more. One command a line, one answer a line, `ok ...` or `no WHY`; at the end of its input it
lets go of every button and key that it still holds, whatever became of the host.

    move X Y               the pointer, in the display's pixels
    press B / release B    a button of the mouse
    chord MODS KEYSYM      MODS joined by commas, `-` for none; KEYSYM in hex
    type HEX               text, UTF-8
    under                  the top window under the pointer: `window X Y WIDTH HEIGHT`, `menu` or `none`
    menu MS                whether a menu is open, or opens within milliseconds: 1 or 0
    sync [MS]              wait until the browser has taken everything from the display
    watch / unwatch        between the two, whatever is drawn is told as `drawn LEFT TOP WIDTH HEIGHT`
"""

import os
import select
import sys

# Run as a directory it has its own one only, and no site.
sys.path.append(f"{sys.path[0]}/../..")

from browserhost.hands.damage import Damage
from browserhost.hands.display import Display, Pointer
from browserhost.hands.keyboard import Keyboard
from browserhost.hands.windows import Windows


class Hands:
    """All that can be done on one display. Raises OSError when there is none."""

    def __init__(self) -> None:
        self.display = Display()
        self._windows = Windows(self.display)
        self._pointer = Pointer(self.display)
        self._keyboard = Keyboard(self.display, self._windows.sync)
        self._damage = Damage(self.display, lambda *area: say("drawn", *area))

    def answer(self, command: str, *words: str) -> str:
        """Do one command; returns what it answers. Raises OSError."""
        match command:
            case "move" | "press" | "release":
                getattr(self._pointer, command)(*map(int, words))
            case "chord":
                self._keyboard.chord([] if words[0] == "-" else words[0].split(","), int(words[1], 16))
            case "type":
                self._keyboard.type(bytes.fromhex(words[0]).decode())
            case "menu":
                return str(self._windows.menu(int(words[0])))
            case "under":
                return self._windows.under()
            case "sync":
                self._windows.sync(*(int(each) / 1000 for each in words))
            case "watch" | "unwatch":
                getattr(self._damage, command)()
            case _:
                raise OSError(f"unknown command {command}")
        return ""

    def let_go(self) -> None:
        """Release whatever is still held."""
        self._pointer.let_go()
        self._keyboard.let_go()


def say(*words: object) -> None:
    os.write(1, " ".join(map(str, words)).encode() + b"\n")


def main() -> None:
    hands = Hands()
    say("ok")
    begun = b""
    try:
        while True:
            # Those that came with an answer are in no descriptor any more.
            hands.display.take()
            if 0 not in select.select([0, hands.display.number], [], [])[0]:
                continue
            read = os.read(0, 1 << 16)
            if not read:
                return
            *lines, begun = (begun + read).split(b"\n")
            for line in lines:
                try:
                    said = hands.answer(*line.decode().split())
                except OSError as problem:
                    say("no", problem)
                else:
                    say("ok", said)
    finally:
        hands.let_go()


if __name__ == "__main__":
    main()
