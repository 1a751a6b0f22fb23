"""A profile's floor on disk: the lowest fencing token that may still be served. It only rises."""

from __future__ import annotations

from pathlib import Path

from browserhost import durable


class FloorUnreadable(Exception):
    """The floor file is there but says no number: nobody may be served until a person has looked."""

    def __init__(self, path: Path, content: bytes) -> None:
        super().__init__(path, content)
        self.path = path
        self.content = content

    def __str__(self) -> str:
        return f"the floor at {self.path} is not a number: {self.content[:40]!r}"


def load(path: Path) -> int:
    """The floor; 0 when none was ever written. Raises FloorUnreadable."""
    try:
        content = durable.read(path)
    except OSError as error:
        raise FloorUnreadable(path, str(error).encode()) from error
    if content is None:
        return 0
    # Written by rename, so a torn write cannot be why it does not parse.
    if not content.strip().isdigit():
        raise FloorUnreadable(path, content)
    return int(content)


def raise_to(path: Path, floor: int) -> int:
    """Raise the floor on disk to `floor`, never lower it; the floor there now. Raises DiskFull.

    One caller at a time: a profile's queue sees to that. Idempotent, and writes nothing when the
    floor is that high already.
    """
    current = load(path)
    if floor <= current:
        if current:
            with durable.disk_full_is_refused(path):
                # A rename whose directory could not be synced shows the new floor, and may yet be undone.
                durable.sync_directory(path.parent)
        return current
    durable.write(path, b"%d\n" % floor)
    return floor
