"""Files that a host was told of by name, read whole: never a pipe or a device, which may keep it for ever."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


class NotRegular(OSError):
    """There is something of that name which is no file to be read again and again."""

    def __init__(self) -> None:
        super().__init__(errno.EINVAL, "Not a regular file")


def read(path: Path, most: int) -> bytes:
    """Its first `most` bytes. Raises NotRegular, OSError."""
    # Before it is opened: that alone is an act at some devices.
    _check(path.stat())
    # Nothing waits for a writer, should it have become a pipe by now.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        _check(os.fstat(file.fileno()))
        return file.read(most)


def _check(found: os.stat_result) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(found.st_mode):
        raise NotRegular
