"""Where what was recorded under one token lies: a log and its pictures. Blocking: call it in a thread.

    {data_root}/tenants/{t}/evidence/{p}/{token:016d}/{log,000012.jpg,incident}

The log is only ever added to, or replaced whole; a picture is on disk before the line that names it.
Nothing here follows a link or leaves the folder.
"""

from __future__ import annotations

import os
from pathlib import Path

from browserhost import durable
from browserhost.witness.ledger import Ledger

KEPT = 3
"""Folders of holds that became no incident; those of incidents are kept for good."""
_LOG, _INCIDENT = "log", "incident"


class Folder:
    """One token's. It need not exist."""

    def __init__(self, evidence_dir: Path, token: int) -> None:
        self._parent = evidence_dir
        self.path = evidence_dir / f"{token:016d}"

    @property
    def exists(self) -> bool:
        return self.path.is_dir()

    def load(self) -> Ledger:
        """What the log adds up to; an empty ledger when there is none. Raises OSError."""
        content = durable.read(self.path / _LOG)
        return Ledger.read((content or b"").splitlines())

    def mend(self) -> None:
        """Close a last line that broke off, so that the next begins anew. Raises DiskFull."""
        content = durable.read(self.path / _LOG)
        if content and not content.endswith(b"\n"):
            durable.append(self.path / _LOG, b"")

    def add(self, lines: list[bytes]) -> None:
        """Put lines at the log's end, on disk when this returns. Raises DiskFull."""
        log = self.path / _LOG
        new = not log.exists()
        durable.append(log, b"\n".join(lines))
        if new:
            durable.sync_directory(self.path)

    def replace(self, lines: list[bytes]) -> None:
        """Put a log in the place of this one. Raises DiskFull."""
        durable.write(self.path / _LOG, b"".join(line + b"\n" for line in lines))

    def put(self, file: str, content: bytes) -> None:
        """Write a picture, on disk when this returns. Raises DiskFull."""
        durable.write(self.path / file, content)

    def read(self, file: str) -> bytes | None:
        """A picture; None when it is gone."""
        try:
            descriptor = os.open(self.path / file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return None
        with os.fdopen(descriptor, "rb") as opened:
            return opened.read()

    def tidy(self, keep: set[str]) -> None:
        """Remove pictures that no line names any more. Raises OSError."""
        for path in self.path.iterdir():
            if path.name not in {*keep, _LOG, _INCIDENT}:
                path.unlink()

    def flag(self) -> None:
        """Keep the folder for good: its hold became an incident. Idempotent. Raises DiskFull."""
        if not (self.path / _INCIDENT).exists():
            durable.write(self.path / _INCIDENT, b"")

    def prune(self) -> None:
        """Remove what older holds left, but for the last few, and all that were incidents. Raises OSError."""
        if not self._parent.is_dir():
            return
        others = [path for path in self._parent.iterdir() if path.is_dir() and not path.is_symlink()]
        plain = sorted(path for path in others if path != self.path and not (path / _INCIDENT).exists())
        for path in plain[: max(0, len(plain) - (KEPT - 1))]:
            for file in path.iterdir():
                file.unlink()
            path.rmdir()
