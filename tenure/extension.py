"""An extension as a profile's browser configuration names it. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from tenure.value import value

MOST = 20

# One part of a path, that no list of paths separated by commas is broken by.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@value
class Extension:
    """`name` is its folder's among a host's extensions, `sha256` the digest of what must be in it."""

    name: str
    sha256: str


def check(extensions: Sequence[Extension]) -> tuple[Extension, ...]:
    """Return them when all of them may be asked for. Raises ValueError, with a clause about the first."""
    if len(extensions) > MOST:
        raise ValueError(f"there are {len(extensions)}, and {MOST} at most may be asked for")
    counted = Counter(each.name for each in extensions)
    for each in extensions:
        if not _NAME.fullmatch(each.name):
            raise ValueError(f"'{each.name}' is no name of a folder (letters, digits, '.', '_' and '-')")
        if not _SHA256.fullmatch(each.sha256):
            raise ValueError(f"'{each.name}' has no SHA-256 of 64 hex digits")
        if counted[each.name] > 1:
            raise ValueError(f"'{each.name}' is there twice")
    return tuple(extensions)
