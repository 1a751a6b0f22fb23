"""At which revision a home was retired, on disk: until the profile changes, a move may make it another's.

Nothing that no token stands for is started there meanwhile, also by a host that has restarted since.
"""

from __future__ import annotations

from pathlib import Path

from browserhost import durable


def note(path: Path, revision: int) -> None:
    """The home is retired at `revision`. Raises DiskFull. Idempotent."""
    if not is_at(path, revision):
        durable.write(path, _line(revision))


def is_at(path: Path, revision: int) -> bool:
    """Whether `revision` is the one that the home was last retired at."""
    return durable.read(path) == _line(revision)


def _line(revision: int) -> bytes:
    return b"%d\n" % revision
