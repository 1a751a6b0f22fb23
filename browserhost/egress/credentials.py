"""User and password of an upstream: where they are kept, and how they are read. Never shown."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from browserhost.egress import regular

LONGEST = 4096
"""Bytes of a file with a secret in it."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Unreadable(Exception):
    """A secret could not be had. Its text is a clause that says where it should be, and no more."""


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """A text and where it is: in a `file`, in a variable of the `environment`, or here (`text`)."""

    kind: str
    place: str

    def read(self) -> str:
        """The text as it is now, without the newline at its end. Raises Unreadable."""
        match self.kind:
            case "file":
                text = _from_file(Path(self.place))
            case "environment":
                text = os.environ.get(self.place, "")
            case _:
                text = self.place
        where = "" if self.kind == "text" else f" ({self.kind} {self.place})"
        if not text:
            raise Unreadable(f"a secret of its upstream is missing{where}")
        if _CONTROL.search(text):
            raise Unreadable(f"a secret of its upstream has a control character in it{where}")
        return text

    def __repr__(self) -> str:
        return "Secret(…)"


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """What an upstream is shown."""

    user: str
    password: str

    @property
    def basic(self) -> str:
        """As HTTP's Basic scheme has it (RFC 7617)."""
        return base64.b64encode(f"{self.user}:{self.password}".encode()).decode("ascii")

    def __repr__(self) -> str:
        return "Credentials(…)"


@dataclass(frozen=True, slots=True, repr=False)
class Keeping:
    """Where an upstream's credentials are kept. `fill` puts its city and the like into what was read."""

    user: Secret
    password: Secret
    fill: Callable[[str], str] = str

    def read(self) -> Credentials:
        """The credentials as they are now, so that a new password needs no restart. Raises Unreadable."""
        return Credentials(self.fill(self.user.read()), self.fill(self.password.read()))

    def __repr__(self) -> str:
        return "Keeping(…)"


def _from_file(path: Path) -> str:
    try:
        content = regular.read(path, LONGEST + 1)
    except OSError as error:
        why = (error.strerror or "cannot be read").lower()
        raise Unreadable(f"a secret of its upstream cannot be read ({path}: {why})") from None
    if len(content) > LONGEST:
        raise Unreadable(f"a secret of its upstream is longer than {LONGEST} bytes ({path})")
    try:
        return content.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise Unreadable(f"a secret of its upstream is no text ({path})") from None
