"""One browser's files: the folders of the session that has it, and what it downloads into them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from posixpath import basename, dirname
from typing import Any

import structlog

from browserhost.files.folders import DOWNLOADS, UPLOADS, Folders
from browserhost.files.ledger import PART, Entry, Ledger, Limits, is_too_large
from tenure.cdp import CdpClient
from tenure.errors import NotFound

_log = structlog.get_logger("files")


class Files:
    """`begin` for each token that is given the browser, 0 for nobody; `end` when its hold is over here.

    `own` says the browser's own folder, once there is one; `user` is whose files they are.
    """

    def __init__(
        self, root: CdpClient, own: Callable[[], Path], user: tuple[int, int] | None, limits: Limits
    ) -> None:
        self.limits = limits
        self.folders: Folders | None = None
        self.ledger = Ledger("")
        self._root, self._own, self._user = root, own, user
        root.listen(self._event)

    @property
    def uploads(self) -> Path:
        """Where the session may choose files from."""
        return self.folders.uploads.path if self.folders is not None else self._own() / UPLOADS / "0"

    @property
    def downloads(self) -> Path:
        """Where whatever is downloaded goes."""
        return self.folders.downloads.path if self.folders is not None else self._own() / DOWNLOADS / "0"

    def begin(self, token: int, *, tell: bool = True) -> None:
        """The token's own folders, empty unless they were its own before; those of others go.

        Chrome is told of them, unless it is not to be. Raises OSError.
        """
        if self.folders is not None and self.folders.token == token:
            return
        fresh = Folders(self._own(), token, self._user)
        self.close()
        self.folders, self.ledger = fresh, Ledger(str(fresh.downloads.path))
        self._find(fresh)
        fresh.clear_others()
        if tell:
            self.keep_downloads()

    def end(self, token: int) -> None:
        """Take the token's folders away, and forget what was in them. Idempotent."""
        if self.folders is not None and self.folders.token <= token:
            for entry in self.ledger:
                if entry.goes_on:
                    self._cancel(entry)
            self.folders.raze()
            self.close()
            self.ledger = Ledger("")

    def close(self) -> None:
        """Let go of the folders; they go with the browser's own. Idempotent."""
        if self.folders is not None:
            self.folders.close()
            self.folders = None

    def keep_downloads(self) -> None:
        """Downloads go to the session's folder, each under a name of its own, and are told of.

        A client that set this too takes its setting, and with it this one, along when it leaves.
        """
        where = {"behavior": "allowAndName", "downloadPath": str(self.downloads)}
        self._root.post("Browser.setDownloadBehavior", {**where, "eventsEnabled": True})

    def open(self, file: str) -> tuple[int, int]:
        """A download that is whole, open for reading, and its size. Raises NotFound."""
        try:
            if self.folders is not None and self.ledger.get(file) is None:
                self._find(self.folders)
            entry = self.ledger.get(file)
            if self.folders is None or entry is None or not entry.complete:
                raise FileNotFoundError(file)
            return self.folders.downloads.open(entry.path)
        except OSError as error:
            raise NotFound(f"There is no download '{file}' that is whole.", name=file) from error

    def listed(self) -> list[Entry]:
        """The downloads, by time; of the whole ones, those whose file is still there as it was."""
        there = self._find(self.folders) if self.folders is not None else {}
        return [
            each for each in self.ledger if not each.complete or there.get(each.path, ())[:1] == (each.size,)
        ]

    def used(self) -> int:
        """Bytes of all files of the session, those of downloads that go on included."""
        return self.folders.used() if self.folders is not None else 0

    def _event(self, method: str, params: Any, session: str) -> None:
        if method == "Browser.downloadWillBegin":
            self.ledger.begins(time.time(), params["guid"], params["url"], params["suggestedFilename"])
        elif method == "Browser.downloadProgress":
            guid, received, path = params["guid"], int(params["receivedBytes"]), params.get("filePath", "")
            if self._is_unknown(guid, path):
                self.ledger.begins(time.time(), guid, "", "")
            entry = self.ledger.goes_on(guid, params["state"], received, path)
            if self.folders is None:
                return
            if entry is None:
                known = self.ledger.get(guid)
                if path and known is not None and known.end:
                    # It was whole before it could be cancelled.
                    self.folders.downloads.remove(basename(path))
            elif entry.goes_on or entry.complete:
                self._bound(entry, self.folders)

    def _find(self, folders: Folders) -> dict[str, tuple[int, float]]:
        """What files there are, which the ledger knows of from then on."""
        files = {name: (found.st_size, found.st_mtime) for name, found in folders.downloads.files()}
        self.ledger.found(files)
        return files

    def _is_unknown(self, guid: str, path: str) -> bool:
        """Whether it is the session's, and began under a host before this one."""
        if self.folders is None or self.ledger.get(guid) is not None:
            return False
        if path:
            return dirname(path) == self.ledger.folder
        return any(name == guid + PART for name, _ in self.folders.downloads.files())

    def _bound(self, entry: Entry, folders: Folders) -> None:
        if is_too_large(entry, self.limits, folders.used(), folders.downloads.free()):
            _log.warning("download is too large", size=entry.size)
            if entry.complete:
                folders.downloads.remove(entry.path)
                entry.path = ""
            self.ledger.too_large(entry.file)
            self._cancel(entry)

    def _cancel(self, entry: Entry) -> None:
        self._root.post("Browser.cancelDownload", {"guid": entry.file})
