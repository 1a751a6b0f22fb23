"""One browser's files: the folders of the session that has it, and what it downloads into them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from posixpath import basename
from typing import Any

import structlog

from browserhost.files.folders import DOWNLOADS, UPLOADS, Folders
from browserhost.files.ledger import Entry, Ledger, Limits, is_too_large
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

    def begin(self, token: int) -> None:
        """The token's own folders, empty unless they were its own before; those of others go.

        Raises OSError.
        """
        if self.folders is not None and self.folders.token == token:
            return
        fresh = Folders(self._own(), token, self._user)
        self.close()
        self.folders, self.ledger = fresh, Ledger(str(fresh.downloads.path))
        for name, found in fresh.downloads.files():
            self.ledger.found(name, found.st_size, found.st_mtime)
        fresh.clear_others()
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
        entry = self.ledger.get(file)
        try:
            if self.folders is None or entry is None or not entry.complete:
                raise FileNotFoundError(file)
            return self.folders.downloads.open(entry.path)
        except OSError as error:
            raise NotFound(f"There is no download '{file}' that is whole.", name=file) from error

    def listed(self) -> list[Entry]:
        """The downloads, by time; of the whole ones, those whose file is still there as it was."""
        files = self.folders.downloads.files() if self.folders is not None else ()
        there = {name: found.st_size for name, found in files}
        return [each for each in self.ledger if not each.complete or there.get(each.path) == each.size]

    def used(self) -> int:
        """Bytes of all files of the session, those of downloads that go on included."""
        return self.folders.used() if self.folders is not None else 0

    def _event(self, method: str, params: Any, session: str) -> None:
        if method == "Browser.downloadWillBegin":
            self.ledger.begins(time.time(), params["guid"], params["url"], params["suggestedFilename"])
        elif method == "Browser.downloadProgress":
            received, path = int(params["receivedBytes"]), params.get("filePath", "")
            entry = self.ledger.goes_on(params["guid"], params["state"], received, path)
            if self.folders is None:
                return
            if entry is None and path and self.ledger.get(params["guid"]) is not None:
                # It was whole before it could be cancelled.
                self.folders.downloads.remove(basename(path))
            elif entry is not None and (entry.goes_on or entry.complete):
                self._bound(entry, self.folders)

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
