"""PutUpload, ListSessionDownloads and ReadDownload: a session's files under its fence."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Any, cast

import grpc.aio

from browserhost.browser import Browser
from browserhost.files.ledger import Entry
from browserhost.files.store import Files
from browserhost.files.uploads import receive
from browserhost.host import Host
from browserhost.opening import Use
from browserhost.paths import parse_session
from browserhost.session import timestamp
from browserhost.tasks import in_thread
from tenure.errors import InvalidField
from tenure.internal.v1 import browser_host_service_pb2 as pb
from tenure.internal.v1.browser_host_service_pb2_grpc import BrowserHostServiceServicer
from tenure.v1.session_pb2 import Download
from tenure.v1.session_service_pb2 import (
    ListDownloadsResponse,
    UploadFileRequest,
    UploadFileResponse,
)

CHUNK = 1 << 20

Context = grpc.aio.ServicerContext[Any, Any]


class FilesServicer(BrowserHostServiceServicer):
    """The part of BrowserHostService that moves files."""

    _host: Host

    async def PutUpload(
        self, requests: AsyncIterator[pb.PutUploadRequest], context: Context
    ) -> pb.PutUploadResponse:
        messages = aiter(requests)
        header = (await anext(messages, pb.PutUploadRequest())).upload.header
        session = parse_session(header.session, header.fencing_token)
        async with self._host.profile(session.profile).using(session.fencing_token) as use:
            files = _files(use)
            assert files.folders is not None  # of an open session there are
            parts = (_chunk(each.upload) async for each in messages)
            done = await receive(files.folders, files.limits, header.file, parts, use.gate)
        answer = UploadFileResponse(path=done.path, size=done.size, sha256=done.sha256)
        return pb.PutUploadResponse(upload=answer)

    async def ListSessionDownloads(
        self, request: pb.ListSessionDownloadsRequest, context: Context
    ) -> pb.ListSessionDownloadsResponse:
        session = parse_session(request.list.session, request.list.fencing_token)
        async with self._host.profile(session.profile).using(session.fencing_token) as use:
            use.gate()
            downloads = [_message(each) for each in _files(use).listed()]
        return pb.ListSessionDownloadsResponse(list=ListDownloadsResponse(downloads=downloads))

    async def ReadDownload(
        self, request: pb.ReadDownloadRequest, context: Context
    ) -> AsyncIterator[pb.ReadDownloadResponse]:
        wanted = request.read
        session = parse_session(wanted.session, wanted.fencing_token)
        profile = self._host.profile(session.profile)
        async with profile.using(session.fencing_token) as use:
            opened, size = _files(use).open(wanted.file)
        try:
            offset = _offset(wanted.offset, size)
            while offset < size:
                # Each part anew: whoever waits for the caller between two of them holds up no cut.
                async with profile.using(session.fencing_token) as use:
                    use.gate()
                    part = await in_thread(os.pread, opened, min(CHUNK, size - offset), offset)
                    use.gate()
                if not part:
                    return
                offset += len(part)
                yield pb.ReadDownloadResponse(chunk=part)
        finally:
            os.close(opened)


def _files(use: Use) -> Files:
    return cast("Browser", use.browser).files


def _offset(offset: int, size: int) -> int:
    if not 0 <= offset <= size:
        raise InvalidField(
            field="offset", value=str(offset), problem="is not within the file", remedy=f"send 0 to {size}"
        )
    return offset


def _chunk(message: UploadFileRequest) -> bytes:
    if message.WhichOneof("message") != "chunk" or len(message.chunk) > CHUNK:
        raise InvalidField(
            field="chunk",
            value=str(len(message.chunk)),
            problem="is no part of a file, or too large a one",
            remedy=f"send one header, then chunks of at most {CHUNK} bytes",
        )
    return message.chunk


def _message(entry: Entry) -> Download:
    return Download(
        file=entry.file,
        size=entry.size,
        complete=entry.complete,
        url=entry.url,
        suggested_name=entry.suggested_name,
        begin_time=timestamp(entry.begin),
        end=entry.end,
    )
