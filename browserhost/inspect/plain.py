"""Files of a directory whose owner may put into it what it likes: links, pipes and devices are not read."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

MOST = 256 << 20
"""Bytes; nothing of Chrome's that is read whole comes near it."""
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class NotPlain(OSError):
    """There is something of the name, but no regular file of a size to be read."""


def opened(path: Path) -> BinaryIO:
    """A regular file, to be read. Does not block. Raises NotPlain, OSError."""
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError as error:
        # A link; a socket, or a device that is not there.
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.ENODEV):
            raise NotPlain(f"{path.name} is no regular file") from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotPlain(f"{path.name} is no regular file")
    return os.fdopen(descriptor, "rb")


def read(path: Path, most: int = MOST) -> bytes:
    """The content of a regular file. Raises NotPlain where that is more than `most` bytes, OSError."""
    with opened(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise NotPlain(f"{path.name} has more than {most} bytes")
    return content
