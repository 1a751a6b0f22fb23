"""One browser's files from session to session, with a browser that only tells."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from browserhost.files.ledger import Limits
from browserhost.files.store import Files
from tenure.cdp import CdpClient
from tenure.errors import NotFound
from tenure.v1.session_pb2 import DownloadEnd


class Told:
    """A browser: what it was told, and how it tells of downloads."""

    def __init__(self, own: Path, limits: Limits) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.client = CdpClient(self._take)
        self.files = Files(self.client, lambda: own, None, limits)

    def _take(self, text: str | bytes) -> None:
        call = json.loads(text)
        self.calls.append((call["method"], call["params"]))

    def tells(self, method: str, **params: Any) -> None:
        self.client.deliver(json.dumps({"method": method, "params": params}))

    def begins(self, guid: str) -> None:
        self.tells("Browser.downloadWillBegin", guid=guid, url="http://a.test/", suggestedFilename="a.txt")

    def goes_on(self, guid: str, size: int, state: str = "inProgress", **more: Any) -> None:
        wanted = {"guid": guid, "receivedBytes": size, "totalBytes": size, "state": state}
        self.tells("Browser.downloadProgress", **wanted, **more)

    def finishes(self, guid: str, content: bytes) -> None:
        path = self.files.downloads / guid
        path.write_bytes(content)
        self.goes_on(guid, len(content), "completed", filePath=str(path))

    @property
    def cancelled(self) -> list[str]:
        return [params["guid"] for method, params in self.calls if method == "Browser.cancelDownload"]

    @property
    def folder(self) -> str:
        """Where downloads go."""
        wanted = [params for method, params in self.calls if method == "Browser.setDownloadBehavior"]
        return str(wanted[-1]["downloadPath"])


@pytest.fixture
async def told(tmp_path: Path) -> AsyncIterator[Told]:
    browser = Told(tmp_path, Limits(upload=10, download=100, session=150))
    yield browser
    browser.files.close()


def read(files: Files, file: str) -> bytes:
    descriptor, size = files.open(file)
    try:
        return os.read(descriptor, size + 1)
    finally:
        os.close(descriptor)


async def test_downloads_go_to_the_tokens_folder_and_can_be_read_once_they_are_whole(told: Told) -> None:
    told.files.begin(41)
    assert told.folder == str(told.files.downloads)
    told.begins("g1")
    told.goes_on("g1", 3)
    with pytest.raises(NotFound):
        read(told.files, "g1")
    told.finishes("g1", b"content")
    assert read(told.files, "g1") == b"content"
    assert [(each.file, each.complete, each.size) for each in told.files.listed()] == [("g1", True, 7)]


async def test_a_file_that_is_not_what_the_browser_said_is_not_listed(told: Told) -> None:
    told.files.begin(41)
    told.begins("g1")
    told.finishes("g1", b"content")
    (told.files.downloads / "g1").write_bytes(b"longer than it was")
    assert told.files.listed() == []


async def test_the_next_token_has_folders_of_its_own_and_knows_nothing(told: Told) -> None:
    told.files.begin(41)
    told.begins("g1")
    told.finishes("g1", b"content")
    told.begins("g2")
    before = told.files.downloads
    told.files.begin(42)
    assert not before.exists()
    assert told.folder == str(told.files.downloads) != str(before)
    assert told.files.listed() == []
    told.goes_on("g1", 7, "completed", filePath=str(before / "g1"))
    with pytest.raises(NotFound):
        read(told.files, "g1")


async def test_the_same_token_keeps_what_it_has(told: Told) -> None:
    told.files.begin(41)
    told.begins("g1")
    told.finishes("g1", b"content")
    told.files.begin(41)
    assert read(told.files, "g1") == b"content"


async def test_what_goes_on_when_the_hold_ends_is_cancelled(told: Told) -> None:
    told.files.begin(41)
    told.begins("g1")
    told.begins("g2")
    told.finishes("g2", b"x")
    folder = told.files.downloads
    told.files.end(40)
    assert folder.exists()
    told.files.end(41)
    assert told.cancelled == ["g1"]
    assert not folder.exists()
    told.files.end(41)


async def test_a_host_that_takes_over_finds_what_is_whole(told: Told, tmp_path: Path) -> None:
    told.files.begin(41)
    told.begins("g1")
    told.finishes("g1", b"content")
    (told.files.downloads / "g2.crdownload").write_bytes(b"half")
    heir = Told(tmp_path, Limits())
    heir.files.begin(41)
    assert [(each.file, each.complete) for each in heir.files.listed()] == [("g1", True)]
    assert read(heir.files, "g1") == b"content"
    heir.files.close()


@pytest.fixture
async def heir(told: Told, tmp_path: Path) -> AsyncIterator[Told]:
    """The browser as the next host has it, with a download under way that the host before it saw begin."""
    told.files.begin(41)
    told.begins("g1")
    (told.files.downloads / "g1.crdownload").write_bytes(b"half")
    heir = Told(tmp_path, told.files.limits)
    heir.files.begin(41)
    assert heir.files.listed() == []
    yield heir
    heir.files.close()


def whole(heir: Told) -> None:
    """Chrome gives it its name."""
    (heir.files.downloads / "g1.crdownload").replace(heir.files.downloads / "g1")


async def test_what_a_host_before_this_one_saw_begin_can_be_read_at_its_end(heir: Told) -> None:
    whole(heir)
    assert read(heir.files, "g1") == b"half"
    assert [(each.file, each.complete, each.size) for each in heir.files.listed()] == [("g1", True, 4)]
    heir.goes_on("g1", 4, "completed", filePath=str(heir.files.downloads / "g1"))
    assert read(heir.files, "g1") == b"half"


async def test_what_a_host_before_this_one_saw_begin_is_listed_and_bounded_once_it_goes_on(
    heir: Told,
) -> None:
    heir.goes_on("g1", 60)
    assert [(each.file, each.complete, each.size) for each in heir.files.listed()] == [("g1", False, 60)]
    heir.goes_on("g1", 101)
    assert heir.cancelled == ["g1"]


async def test_what_a_host_before_this_one_saw_begin_is_bounded_at_its_end(heir: Told) -> None:
    (heir.files.downloads / "g1.crdownload").write_bytes(b"x" * 101)
    whole(heir)
    heir.goes_on("g1", 101, "completed", filePath=str(heir.files.downloads / "g1"))
    assert heir.cancelled == ["g1"]
    assert not (heir.files.downloads / "g1").exists()


async def test_one_that_grows_past_its_limit_is_cancelled(told: Told) -> None:
    told.files.begin(41)
    told.begins("g1")
    told.goes_on("g1", 100)
    assert told.cancelled == []
    told.goes_on("g1", 101)
    assert told.cancelled == ["g1"]
    [entry] = told.files.listed()
    assert entry.end == DownloadEnd.Value("DOWNLOAD_END_TOO_LARGE")


async def test_one_that_was_whole_before_it_could_be_cancelled_is_taken_away(told: Told) -> None:
    told.files.begin(41)
    for guid in ("g1", "g2"):
        told.begins(guid)
        told.finishes(guid, b"x" * 80)
    assert told.cancelled == ["g2"]
    told.begins("g3")
    told.goes_on("g3", 101)
    told.finishes("g3", b"x" * 101)
    assert [each.name for each in told.files.downloads.iterdir()] == ["g1"]
    assert [each.complete for each in told.files.listed()] == [True, False, False]
