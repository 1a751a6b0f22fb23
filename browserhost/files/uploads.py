"""Takes a file into a session's upload folder: whole, within its limits, or not at all."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from browserhost.files import names
from browserhost.files.folders import Folders
from browserhost.files.ledger import Limits
from browserhost.tasks import in_thread
from tenure.errors import DiskFull, QuotaExceeded


@dataclass(frozen=True, slots=True)
class Uploaded:
    """`path` is what a file input is given."""

    path: str
    size: int
    sha256: bytes


async def receive(
    folders: Folders, limits: Limits, name: str, parts: AsyncIterator[bytes], gate: Callable[[], None]
) -> Uploaded:
    """Write the parts, asking `gate` before each, and give the file its name once it is whole.

    Raises InvalidField for the name, QuotaExceeded, DiskFull, what `gate` and `parts` do; then nothing of it
    is left, and a file that had the name is as it was.
    """
    folder, digest, size = folders.uploads, hashlib.sha256(), 0
    names.check(name)
    gate()
    # No name of a session's own begins with a dot.
    passing = f".{secrets.token_hex(8)}"
    written = folder.create(passing)
    try:
        async for part in parts:
            gate()
            size += len(part)
            # Counted each time: others may be on their way too.
            _bound(limits, size, folders.used() + len(part), folder.free(), str(folder.path))
            digest.update(part)
            await in_thread(_write, written, part)
        gate()
        _bound(limits, size, folders.used(), folder.free(), str(folder.path))
        folder.replace(name, passing)
    except BaseException:
        folder.remove(passing)
        raise
    finally:
        os.close(written)
    return Uploaded(str(folder.path / name), size, digest.digest())


def _bound(limits: Limits, size: int, used: int, free: int, path: str) -> None:
    if size > limits.upload:
        raise QuotaExceeded(limit="upload_limit", value=limits.upload)
    if used > limits.session:
        raise QuotaExceeded(limit="session_files_limit", value=limits.session)
    if free - limits.least_free < 0:
        raise DiskFull(path=path, free_bytes=free)


def _write(descriptor: int, part: bytes) -> None:
    left = memoryview(part)
    while left:
        left = left[os.write(descriptor, left) :]
