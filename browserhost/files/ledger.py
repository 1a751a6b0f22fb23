"""What a session's browser downloaded, as the browser tells of it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from posixpath import basename, dirname

from tenure.v1.session_pb2 import DownloadEnd

PART = ".crdownload"
"""What Chrome calls a download that goes on."""


@dataclass(frozen=True, slots=True)
class Limits:
    """In bytes: of an upload, of a download, of all files of a session, and what stays free on the disk."""

    upload: int = 100 << 20
    download: int = 1 << 30
    session: int = 1 << 30
    least_free: int = 0


@dataclass(slots=True)
class Entry:
    """One download. `file` names it within the session, `path` its file in the folder once it is whole."""

    file: str
    url: str
    suggested_name: str
    begin: float
    size: int = 0
    path: str = ""
    end: DownloadEnd.ValueType = DownloadEnd.DOWNLOAD_END_UNSPECIFIED

    @property
    def complete(self) -> bool:
        return bool(self.path)

    @property
    def goes_on(self) -> bool:
        return not self.path and not self.end


@dataclass(slots=True)
class Ledger:
    """The downloads of one session into one folder, by time."""

    folder: str
    _entries: dict[str, Entry] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def get(self, file: str) -> Entry | None:
        """The download of that name."""
        return self._entries.get(file)

    def begins(self, now: float, guid: str, url: str, suggested_name: str) -> None:
        """A download begins; `now` in seconds since 1970."""
        self._entries[guid] = Entry(guid, url, suggested_name, now)

    def found(self, files: Mapping[str, tuple[int, float]]) -> None:
        """These files, with sizes and times, are there: what this process saw no download of, another did.

        What still goes on is none, nor is the empty file that keeps its name for it.
        """
        known = {each.path for each in self} | self._entries.keys()
        for name in files.keys() - known:
            if not name.endswith(PART) and name + PART not in files:
                size, begin = files[name]
                self._entries[name] = Entry(name, "", "", begin, size, name)

    def goes_on(self, guid: str, state: str, received: int, path: str) -> Entry | None:
        """How it stands now. None for one that did not begin in this session, or is over.

        `state` is DevTools' word. A file that another download has replaced is no download any more.
        """
        entry = self._entries.get(guid)
        if entry is None or not entry.goes_on:
            return None
        entry.size = max(entry.size, received)
        if state == "canceled":
            entry.end = DownloadEnd.DOWNLOAD_END_CANCELLED
        elif state == "completed" and dirname(path) == self.folder:
            entry.path = basename(path)
            for other in [each for each in self if each is not entry and each.path == entry.path]:
                del self._entries[other.file]
        elif state != "inProgress":
            entry.end = DownloadEnd.DOWNLOAD_END_FAILED
        return entry

    def too_large(self, guid: str) -> None:
        """It is being cancelled for its size."""
        self._entries[guid].end = DownloadEnd.DOWNLOAD_END_TOO_LARGE


def is_too_large(entry: Entry, limits: Limits, used: int, free: int) -> bool:
    """Whether a download must end. `used`: what all files of its session have; `free`: what its disk has."""
    return entry.size > limits.download or used > limits.session or free < limits.least_free
