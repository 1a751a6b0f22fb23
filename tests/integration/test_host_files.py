"""A session's files on real Chrome: given, chosen, fetched, bounded, and gone with the session."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from browserhost.files.ledger import Entry, Limits
from browserhost.servicer import BrowserHost
from tenure.cdp import CdpClient, CdpError, connect
from tenure.errors import InvalidField, NotFound, QuotaExceeded, TenureError, TokenSuperseded
from tenure.internal.v1 import browser_host_service_pb2 as pb
from tenure.names import SessionName
from tenure.page import Page
from tenure.v1.session_pb2 import Download, DownloadEnd
from tenure.v1.session_service_pb2 import (
    DownloadFileRequest,
    ListDownloadsRequest,
    UploadFileHeader,
    UploadFileRequest,
    UploadFileResponse,
)
from tests.browserhost.fakes import ALICE
from tests.fixtures.chrome import Site, until
from tests.fixtures.rig import Rig, Running

SAVE = """(name, size) => {
    const link = document.createElement("a")
    link.href = URL.createObjectURL(new Blob(["x".repeat(size)]))
    link.download = name
    link.click()
}"""
CONTEXT: Any = None


@dataclass
class Worker:
    """A session's calls, as they come to the host."""

    running: Running
    cdp_url: str
    token: int

    @property
    def host(self) -> BrowserHost:
        return BrowserHost(self.running.host, reuse=True)

    @property
    def name(self) -> str:
        return str(SessionName(ALICE, self.token))

    async def upload(self, file: str, *chunks: bytes) -> UploadFileResponse:
        async def messages() -> AsyncIterator[pb.PutUploadRequest]:
            header = UploadFileHeader(session=self.name, fencing_token=self.token, file=file)
            yield pb.PutUploadRequest(upload=UploadFileRequest(header=header))
            for chunk in chunks:
                yield pb.PutUploadRequest(upload=UploadFileRequest(chunk=chunk))

        return (await self.host.PutUpload(messages(), CONTEXT)).upload

    async def downloads(self) -> Sequence[Download]:
        wanted = ListDownloadsRequest(session=self.name, fencing_token=self.token)
        asked = pb.ListSessionDownloadsRequest(list=wanted)
        return (await self.host.ListSessionDownloads(asked, CONTEXT)).list.downloads

    async def ended(self, name: str) -> Download:
        """The download of that name, once it is whole or over."""

        def over() -> list[Entry]:
            ledger = self.running.browser().files.listed()
            return [each for each in ledger if each.suggested_name == name and not each.goes_on]

        await until(over)
        return next(each for each in await self.downloads() if each.file == over()[0].file)

    async def whole(self, count: int) -> None:
        """Return once so many downloads are whole."""
        await until(lambda: sum(each.complete for each in self.running.browser().files.listed()) == count)

    async def fetch(self, file: str, offset: int = 0) -> bytes:
        wanted = DownloadFileRequest(session=self.name, fencing_token=self.token, file=file, offset=offset)
        asked = pb.ReadDownloadRequest(read=wanted)
        return b"".join([part.chunk async for part in self.host.ReadDownload(asked, CONTEXT)])

    async def refused(self, file: str, offset: int = 0) -> TenureError:
        with pytest.raises(TenureError) as caught:
            await self.fetch(file, offset)
        return caught.value


async def opened(running: Running, token: int, site: Site) -> Worker:
    return Worker(running, (await running.open(token, f"{site.url}/a")).session.cdp_url, token)


async def choose(client: CdpClient, page: Page, path: str) -> None:
    """Give the page's file input a file, as workers do."""
    document = await page.send("DOM.getDocument")
    found = await page.send("DOM.querySelector", {"nodeId": document["root"]["nodeId"], "selector": "input"})
    await page.send("DOM.setFileInputFiles", {"files": [path], "nodeId": found["nodeId"]})


INPUT = "document.body.innerHTML = '<input type=file>'; 1"
READ = "document.querySelector('input').files[0].text()"


async def test_a_worker_uploads_a_page_takes_it_and_a_download_comes_back(rig: Rig, site: Site) -> None:
    async with rig.host() as running:
        worker = await opened(running, 41, site)
        content = b"name,amount\n" * 200_000
        given = await worker.upload(
            "account.csv", content[:1_000_000], content[1_000_000:2_000_000], content[2_000_000:]
        )
        assert (given.size, given.sha256) == (len(content), hashlib.sha256(content).digest())
        async with Page.attach(worker.cdp_url) as page:
            await page.evaluate(INPUT)
            await choose(page._client, page, given.path)
            assert await page.evaluate(f"{READ}.then(text => text.length)") == len(content)
            saved = (("report.txt", 3_000_000), ("report.txt", 5), ("../.bash rc", 7))
            for count, (name, size) in enumerate(saved, start=1):
                await page.evaluate(f"({SAVE})({name!r}, {size})")
                # The list is in the order in which Chrome began them, and a small one can overtake.
                await worker.whole(count)
        first, second, third = await worker.downloads()
        assert [(each.suggested_name, each.size) for each in (first, second)] == [
            ("report.txt", 3_000_000),
            ("report.txt", 5),
        ]
        assert "/" not in third.suggested_name
        assert len({first.file, second.file, third.file}) == 3
        assert first.url.startswith(f"blob:{site.url}/")
        assert await worker.fetch(first.file) == b"x" * 3_000_000
        assert await worker.fetch(second.file, offset=3) == b"xx"
        assert isinstance(await worker.refused(second.file, offset=6), InvalidField)
        assert isinstance(await worker.refused("../../uploads/41/account.csv"), NotFound)


async def test_the_next_session_finds_neither_files_nor_names(rig: Rig, site: Site) -> None:
    async with rig.host() as running:
        worker = await opened(running, 41, site)
        given = await worker.upload("secret.txt", b"secret")
        async with Page.attach(worker.cdp_url) as page:
            await page.evaluate(f"({SAVE})('statement.pdf', 10)")
            made = await worker.ended("statement.pdf")
        browser = running.browser()
        folders = [browser.uploads, browser.downloads]
        stray = browser.own / "Downloads"
        stray.mkdir()
        (stray / "lost.txt").touch()
        await running.close(41)
        assert running.browser() is browser
        assert not [each for each in (*folders, stray) if each.exists()]
        late = await worker.refused(made.file)
        assert isinstance(late, (TokenSuperseded, NotFound))

        heir = await opened(running, 42, site)
        assert list(await heir.downloads()) == []
        assert isinstance(await heir.refused(made.file), NotFound)
        async with Page.attach(heir.cdp_url) as page:
            await page.evaluate(INPUT)
            with pytest.raises(CdpError, match="not in the session's upload folder"):
                await choose(page._client, page, given.path)
            await page.evaluate(f"({SAVE})('mine.pdf', 10)")
            assert (await heir.ended("mine.pdf")).complete


async def test_what_a_session_left_when_it_was_cut_off_is_gone_before_the_next(rig: Rig, site: Site) -> None:
    async with rig.host() as running:
        worker = await opened(running, 41, site)
        given = await worker.upload("secret.txt", b"secret")
        await running.profile.quarantine(41)
        assert Path(given.path).read_bytes() == b"secret"
        with pytest.raises(TenureError):
            await worker.upload("late.txt", b"late")
        running.locks.current[ALICE] = 43
        await opened(running, 43, site)
        assert not Path(given.path).exists()


async def test_files_end_at_their_limits_and_it_is_said_so(rig: Rig, site: Site) -> None:
    async with rig.host() as running:
        worker = await opened(running, 41, site)
        running.browser().files.limits = Limits(upload=1000, download=200_000, session=300_000)
        with pytest.raises(QuotaExceeded) as caught:
            await worker.upload("big.bin", b"x" * 1001)
        assert (caught.value.limit, caught.value.value) == ("upload_limit", 1000)
        assert list(running.browser().uploads.iterdir()) == []
        async with Page.attach(worker.cdp_url) as page:
            await page.evaluate(f"({SAVE})('large.bin', 500_000)")
            large = await worker.ended("large.bin")
            for number in range(3):
                await page.evaluate(f"({SAVE})('part{number}.bin', 120_000)")
                await worker.ended(f"part{number}.bin")
        assert (large.complete, large.end) == (False, DownloadEnd.DOWNLOAD_END_TOO_LARGE)
        ends = {each.suggested_name: each.complete for each in await worker.downloads()}
        assert ends == {"large.bin": False, "part0.bin": True, "part1.bin": True, "part2.bin": False}
        assert isinstance(await worker.refused(large.file), NotFound)
        await until(lambda: running.browser().files.used() == 240_000)


async def test_a_client_that_leaves_takes_the_sessions_download_folder_from_nobody(
    rig: Rig, site: Site
) -> None:
    async with rig.host() as running:
        worker = await opened(running, 41, site)
        async with connect(worker.cdp_url) as client:
            wish = {"behavior": "allow", "downloadPath": "/tmp", "eventsEnabled": False}
            await client.call("Browser.setDownloadBehavior", wish)
        async with Page.attach(worker.cdp_url) as page:
            await page.evaluate(f"({SAVE})('after.txt', 10)")
            found = await worker.ended("after.txt")
        assert found.complete
        assert await worker.fetch(found.file) == b"x" * 10
