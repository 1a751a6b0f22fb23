"""A user-data-dir as a tar archive. Blocking: call it in a thread.

What comes in is not trusted: nothing is written outside of the folder it is meant for, and nothing but
regular files and folders, each by a name that was not there before.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Generator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

from tenure.userdata.contents import CHUNK, Tally, contents

_BLOCK = tarfile.BLOCKSIZE


class NotAProfile(Exception):
    """An archive that is no directory of ours; says what is wrong with it."""


class Changed(Exception):
    """A file became longer or shorter while it was read."""


def pack(directory: Path, tally: Tally | None = None) -> Generator[bytes, None, None]:
    """The archive, in parts of at most 1 MiB; `tally` takes the digest on the way. Raises Changed."""
    waiting = bytearray()
    for part in _parts(directory, tally or Tally()):
        waiting += part
        while len(waiting) >= CHUNK:
            yield bytes(waiting[:CHUNK])
            del waiting[:CHUNK]
    yield bytes(waiting)


def _parts(directory: Path, tally: Tally) -> Iterator[bytes]:
    for found in contents(directory):
        info = tarfile.TarInfo(found.path)
        info.mode, info.size, info.mtime = found.mode, found.size, found.mtime
        info.type = tarfile.DIRTYPE if found.is_folder else tarfile.REGTYPE
        yield info.tobuf(tarfile.PAX_FORMAT, errors="surrogateescape")
        if found.is_folder:
            tally.folder(found)
            continue
        left = found.size
        for content in tally.file(found):
            left -= len(content)
            yield content
        if left:
            raise Changed(found.path)
        yield bytes(-found.size % _BLOCK)
    yield bytes(2 * _BLOCK)


def unpack(archive: IO[bytes], into: Path, *, durable: bool = True) -> None:
    """Write what an archive has into an empty folder, on disk when this returns unless it need not be
    `durable`. The archive is read once, from where it stands to its end.

    Raises NotAProfile with anything half done; OSError as the disk does.
    """
    folders = {into: None}
    try:
        with tarfile.open(fileobj=archive, mode="r|") as tar:
            for member in tar:
                path = into / _checked(member)
                if path.parent not in folders:
                    raise NotAProfile(f"{member.name!r} comes before its folder")
                if member.isreg():
                    _write(tar, member, path, durable)
                else:
                    path.mkdir(mode=0o700)
                    path.chmod(member.mode & 0o777 | 0o700)
                    folders[path] = None
    except tarfile.TarError as error:
        raise NotAProfile(f"it is no archive: {error}") from error
    except FileExistsError as error:
        raise NotAProfile(f"{str(error.filename)!r} comes twice") from error
    for folder in reversed(folders) if durable else ():
        _sync(folder)


def _checked(member: tarfile.TarInfo) -> str:
    """The name of a member that may be written. Raises NotAProfile."""
    name = member.name
    parts = name.split("/")
    if not name or "\0" in name or any(part in ("", ".", "..") for part in parts):
        raise NotAProfile(f"{name!r} is no name within a directory")
    # A sparse file says itself regular, and is not what it looks like.
    if not (member.isdir() or member.isreg()) or member.issparse():
        raise NotAProfile(f"{name!r} is neither a file nor a folder")
    return name


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path, durable: bool) -> None:
    content = tar.extractfile(member)
    assert content is not None, "a regular file has content"
    # Nobody else writes here, and no link was made; still none would be followed.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(path, flags, 0o600), "wb", buffering=0) as file:  # noqa: PTH123 - flags
        left = member.size
        while left:
            part = content.read(min(left, CHUNK))
            if not part:
                raise NotAProfile(f"{member.name!r} ends early")
            left -= len(part)
            while part:
                part = part[file.write(part) :]
        os.fchmod(file.fileno(), member.mode & 0o777 | 0o600)
        with suppress(OverflowError):
            os.utime(file.fileno(), (member.mtime, member.mtime))
        if durable:
            os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    """Put the names in a folder on disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
