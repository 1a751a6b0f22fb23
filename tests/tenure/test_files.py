"""A session's files from the worker's side, with a gateway in memory that breaks off on order."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from tenure.errors import Internal, NotFound, TenureError
from tenure.files import SessionFiles
from tenure.v1 import session_service_pb2 as pb
from tenure.v1.session_pb2 import Download
from tenure.v1.session_service_pb2_grpc import (
    SessionServiceServicer,
    SessionServiceStub,
    add_SessionServiceServicer_to_server,
)

SESSION = "tenants/default/profiles/alice/sessions/41"
PART = 100_000


@dataclass
class Gateway(SessionServiceServicer):
    """`breaks`: after how many parts a download's stream breaks off, each time once."""

    uploads: dict[str, bytes] = field(default_factory=dict)
    downloads: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    breaks: list[int] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    spoils: bool = False

    async def UploadFile(self, requests: AsyncIterator[pb.UploadFileRequest], context: Any) -> Any:
        header = (await anext(aiter(requests))).header
        content = b"".join([each.chunk async for each in requests])
        assert (header.session, header.fencing_token) == (SESSION, 41)
        self.uploads[header.file] = content
        digest = hashlib.sha256(content + b"?" * self.spoils).digest()
        return pb.UploadFileResponse(path=f"/u/{header.file}", size=len(content), sha256=digest)

    async def ListDownloads(self, request: pb.ListDownloadsRequest, context: Any) -> Any:
        found = [
            Download(file=file, suggested_name=name, size=len(content), complete=bool(content))
            for file, (name, content) in self.downloads.items()
        ]
        return pb.ListDownloadsResponse(downloads=found)

    async def DownloadFile(
        self, request: pb.DownloadFileRequest, context: Any
    ) -> AsyncIterator[pb.DownloadFileResponse]:
        self.offsets.append(request.offset)
        content = self.downloads[request.file][1][request.offset :]
        left = self.breaks.pop(0) if self.breaks else -1
        for begin in range(0, len(content), PART):
            if left == 0:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "gone")
            left -= 1
            yield pb.DownloadFileResponse(chunk=content[begin : begin + PART])


@pytest.fixture
async def gateway() -> AsyncIterator[tuple[Gateway, SessionFiles]]:
    server, serving = grpc.aio.server(), Gateway()
    add_SessionServiceServicer_to_server(serving, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield serving, SessionFiles(SessionServiceStub(channel), SESSION, 41)
    await server.stop(None)


Served = tuple[Gateway, SessionFiles]


async def test_a_file_is_sent_whole_under_its_own_name_or_another(gateway: Served, tmp_path: Path) -> None:
    serving, files = gateway
    source = tmp_path / "cv.pdf"
    source.write_bytes(b"x" * 1_500_000)
    told: list[tuple[int, int]] = []
    answer = await files.upload(source, progress=lambda done, whole: told.append((done, whole)))
    await files.upload(source, "other.pdf")
    assert answer.path == "/u/cv.pdf"
    assert serving.uploads == {"cv.pdf": source.read_bytes(), "other.pdf": source.read_bytes()}
    assert told[-1] == (1_500_000, 1_500_000)
    assert len(told) > 1


async def test_a_file_that_arrives_other_than_it_was_sent_is_told(gateway: Served, tmp_path: Path) -> None:
    serving, files = gateway
    serving.spoils = True
    (tmp_path / "a").write_bytes(b"a")
    with pytest.raises(Internal, match="other than it was sent"):
        await files.upload(tmp_path / "a")


async def test_the_newest_whole_one_of_a_name_is_fetched(gateway: Served, tmp_path: Path) -> None:
    serving, files = gateway
    serving.downloads = {
        "1": ("a.pdf", b"old"),
        "2": ("a.pdf", b"new"),
        "3": ("a.pdf", b""),
    }
    assert (await files.download("a.pdf", tmp_path / "out")).file == "2"
    assert (tmp_path / "out").read_bytes() == b"new"
    await files.download("1", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b"old"
    with pytest.raises(NotFound):
        await files.download("b.pdf", tmp_path / "none")
    assert [each.name for each in tmp_path.iterdir()] == ["out"]


async def test_a_download_goes_on_where_its_stream_broke_off(gateway: Served, tmp_path: Path) -> None:
    serving, files = gateway
    content = bytes(range(256)) * 2000
    serving.downloads, serving.breaks = {"1": ("a", content)}, [2, 1]
    await files.download("a", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == content
    assert serving.offsets == [0, 2 * PART, 3 * PART]


async def test_one_that_cannot_be_had_whole_leaves_no_file(gateway: Served, tmp_path: Path) -> None:
    serving, files = gateway
    serving.downloads, serving.breaks = {"1": ("a", b"x" * 3 * PART)}, [1, 0, 0]
    (tmp_path / "out").write_text("before")
    with pytest.raises(TenureError):
        await files.download("a", tmp_path / "out")
    assert serving.offsets == [0, PART, PART]
    assert [each.name for each in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out").read_text() == "before"
