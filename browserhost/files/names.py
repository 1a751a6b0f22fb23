"""Names that a file of a session may have. Pure."""

from __future__ import annotations

import re

from tenure.errors import InvalidField

LONGEST = 200
"""Bytes, in UTF-8: a file system takes 255, and Chrome adds to some."""

_BAD = re.compile(r"[/\\\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def check(name: str) -> str:
    """The name, when it is one path part that is no name of a folder's own. Raises InvalidField."""
    problem = ""
    if not name:
        problem = "is missing"
    elif _BAD.search(name):
        problem = "has a slash or a control character in it"
    elif name.startswith((".", "~")) or name.endswith(" "):
        problem = "begins with a dot or a tilde, or ends with a space"
    elif len(name.encode()) > LONGEST:
        problem = f"has more than {LONGEST} bytes"
    if problem:
        shown = name[:LONGEST].encode("ascii", "backslashreplace").decode()
        raise InvalidField(
            field="file", value=shown, problem=problem, remedy="send a plain file name, such as invoice.pdf"
        )
    return name
