"""An unpacked extension's folder: one digest of all that Chrome may load from it. Blocking.

Unlike a profile's, its digest says nothing of modes and leaves no cache out: the same files are the same
extension, however they came to a machine.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OF_CHROME = "_metadata"
"""What Chrome derives from static rules; it refuses or replaces what others put there."""
_MANIFEST = "manifest.json"
_LARGEST_MANIFEST = 1 << 20


class Unfit(Exception):
    """No host may give this folder to a browser. The text is a clause for people."""


Check = Callable[[str, os.stat_result], None]
"""Told of each file and folder, by its path inside, before it is read. Raises Unfit."""


@dataclass(frozen=True, slots=True)
class Unpacked:
    """`digest` is the SHA-256 of all names and contents. `id` is what Chrome calls it, at every host.

    `static_rules`: Chrome loads it from nowhere but a folder that it may write to.
    """

    digest: str
    id: str
    static_rules: bool


def read(folder: Path, check: Check = lambda path, status: None) -> Unpacked:
    """Read all of it once. Raises Unfit, OSError (FileNotFoundError when there is none)."""
    check("", folder.lstat())
    if folder.is_symlink():
        raise Unfit("it is a link")
    lines: list[tuple[str, str]] = []
    manifest = b""
    for where, below, names, at in os.fwalk(folder, onerror=_raise, follow_symlinks=False):
        inside = os.path.relpath(where, folder)
        before = "" if inside == "." else f"{inside}/"
        if not before and OF_CHROME in below:
            below.remove(OF_CHROME)
        for name in (*below, *names):
            path = before + name
            seen = os.stat(name, dir_fd=at, follow_symlinks=False)
            if not (stat.S_ISDIR(seen.st_mode) or stat.S_ISREG(seen.st_mode)):
                raise Unfit(f"{path} is neither a file nor a folder")
            check(path, seen)
            if stat.S_ISREG(seen.st_mode):
                content = _content(name, at)
                lines.append((path, hashlib.sha256(content).hexdigest()))
                manifest = content if path == _MANIFEST else manifest
    told = _told(manifest)
    digest = hashlib.sha256(json.dumps(sorted(lines)).encode()).hexdigest()
    rules = told.get("declarative_net_request")
    return Unpacked(digest, _id(told), bool(isinstance(rules, dict) and rules.get("rule_resources")))


def _content(name: str, at: int) -> bytes:
    opened = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at)
    with open(opened, "rb") as file:  # noqa: PTH123 - it has no path
        return file.read()


def _told(manifest: bytes) -> dict[str, Any]:
    try:
        told = json.loads(manifest[:_LARGEST_MANIFEST])
    except ValueError:
        told = None
    if not isinstance(told, dict):
        raise Unfit(f"its {_MANIFEST} is missing or no JSON object")
    return told


def _id(manifest: dict[str, Any]) -> str:
    """As Chrome makes it of the key; without one it would be made of the folder's path."""
    key = manifest.get("key")
    try:
        known = base64.b64decode(key, validate=True) if isinstance(key, str) else b""
    except (binascii.Error, ValueError):
        known = b""
    if not known:
        raise Unfit(f"its {_MANIFEST} has no key, so that it would be another one at every path")
    return "".join(chr(ord("a") + int(digit, 16)) for digit in hashlib.sha256(known).hexdigest()[:32])


def _raise(error: OSError) -> None:
    raise error
