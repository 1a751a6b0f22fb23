"""A session's two folders on disk, in the folder that is its Chrome's own.

That folder's owner may be a user of its own, who puts into it what it likes: links too. So everything
here goes from an open directory to a name in it, and follows no link.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

UPLOADS, DOWNLOADS = "uploads", "downloads"
STRAY = "Downloads"
"""Where Chrome puts what nobody told it where to put: its home's."""
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Folder:
    """An open directory of one token. Raises OSError from everything, as the system does."""

    def __init__(self, path: Path, user: tuple[int, int] | None) -> None:
        self.path = path
        self.user = user
        self._parent = _made(_opened(path.parent.parent), path.parent.name, user)
        try:
            self._fd = _made(self._parent, path.name, user, keep=True)
        except OSError:
            os.close(self._parent)
            raise

    def create(self, name: str) -> int:
        """A new file, open for writing."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        made = os.open(name, flags, 0o600, dir_fd=self._fd)
        if self.user is not None:
            os.fchown(made, *self.user)
        return made

    def replace(self, name: str, by: str) -> None:
        """Give the file `by` the name `name`, in place of the one that has it."""
        os.replace(by, name, src_dir_fd=self._fd, dst_dir_fd=self._fd)

    def remove(self, name: str) -> None:
        """Take a file away. Idempotent."""
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._fd)

    def open(self, name: str) -> tuple[int, int]:
        """A regular file that has no second name, open for reading, and its size."""
        opened = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=self._fd)
        found = os.fstat(opened)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
            os.close(opened)
            raise FileNotFoundError(name)
        return opened, found.st_size

    def files(self) -> Iterator[tuple[str, os.stat_result]]:
        """The regular files in it, and what they are."""
        with os.scandir(self._fd) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    found = entry.stat(follow_symlinks=False)
                    if stat.S_ISREG(found.st_mode):
                        yield entry.name, found

    def free(self) -> int:
        """Bytes free on its disk."""
        disk = os.fstatvfs(self._fd)
        return disk.f_bavail * disk.f_frsize

    def remove_others(self) -> None:
        """Take away the folders of every other token."""
        with os.scandir(self._parent) as entries:
            others = [entry.name for entry in entries if entry.name != self.path.name]
        for name in others:
            _raze(name, self._parent)

    def raze(self) -> None:
        """Take the directory away with all that is in it."""
        _raze(self.path.name, self._parent)

    def close(self) -> None:
        """Let go of it. Idempotent."""
        for descriptor in (self._fd, self._parent):
            if descriptor >= 0:
                os.close(descriptor)
        self._fd = self._parent = -1


class Folders:
    """The two of a token, below `own`. `close` when done; that takes nothing away."""

    def __init__(self, own: Path, token: int, user: tuple[int, int] | None) -> None:
        self.own, self.token = own, token
        self.uploads = Folder(own / UPLOADS / str(token), user)
        try:
            self.downloads = Folder(own / DOWNLOADS / str(token), user)
        except OSError:
            self.uploads.close()
            raise

    def clear_others(self) -> None:
        """Take away what sessions before this one left, known or not."""
        for each in (self.uploads, self.downloads):
            each.remove_others()
        _raze_stray(self.own)

    def raze(self) -> None:
        """Take both away with all that is in them."""
        for each in (self.uploads, self.downloads):
            each.raze()
        _raze_stray(self.own)

    def used(self) -> int:
        """Bytes that files in both have."""
        return sum(found.st_size for each in (self.uploads, self.downloads) for _, found in each.files())

    def close(self) -> None:
        """Let go of both. Idempotent."""
        self.uploads.close()
        self.downloads.close()


def _opened(path: Path) -> int:
    return os.open(path, _DIRECTORY)


def _made(parent: int, name: str, user: tuple[int, int] | None, *, keep: bool = False) -> int:
    """A directory in an open one, made when it is not there; the open one is closed unless `keep`."""
    try:
        made = False
        with suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=parent)
            made = True
        opened = os.open(name, _DIRECTORY, dir_fd=parent)
        try:
            # Not by its name: what has that may be another file by now, which would be given away.
            if made and user is not None:
                os.fchown(opened, *user)
        except OSError:
            os.close(opened)
            raise
        return opened
    finally:
        if not keep:
            os.close(parent)


def _raze(name: str, parent: int) -> None:
    """Take a directory away, or what else has the name. What its owner keeps from going stays."""
    shutil.rmtree(name, dir_fd=parent, ignore_errors=True)
    with suppress(OSError):
        os.unlink(name, dir_fd=parent)


def _raze_stray(own: Path) -> None:
    parent = _opened(own)
    try:
        _raze(STRAY, parent)
    finally:
        os.close(parent)
