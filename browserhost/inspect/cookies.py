"""How many cookies are stored, and how many of them can be read here. Blocking.

Chrome encrypts a value with a key of the desktop's keyring where there is one, and marks it `v11`; with
`--password-store=basic`, as browsers are started here, only `v10` and plain values can be read: the others
are dropped at the start without a word.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from browserhost import durable
from browserhost.inspect import sqlite

PLACES = ("Default/Cookies", "Default/Network/Cookies")
_COUNT = "SELECT count(*), coalesce(sum(substr(CAST(encrypted_value AS BLOB), 1, 3) = ?), 0) FROM cookies"
_OF_A_KEYRING = b"v11"


@dataclass(frozen=True, slots=True)
class Counted:
    """All cookies, and those of them that only the desktop that they come from can read."""

    all: int = 0
    unreadable: int = 0


def count(profile_dir: Path, scratch_root: Path) -> Counted:
    """Count a sound directory's; none where there is no database."""
    for name in PLACES:
        path = profile_dir / name
        if path.is_file():
            with durable.temporary_directory(scratch_root, "cookies-") as scratch:
                return _counted(path, Path(scratch))
    return Counted()


def _counted(path: Path, scratch: Path) -> Counted:
    try:
        with sqlite.opened(path, scratch) as connection:
            return Counted(*connection.execute(_COUNT, (_OF_A_KEYRING,)).fetchone())
    except sqlite3.Error:
        # A layout of another Chrome's: what can be read of it, the browser will show.
        return Counted()
