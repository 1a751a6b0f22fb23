"""A session's files, passed between the caller and its host as they come."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc.aio

from gateway import sending
from gateway.backends import Backends, repeatable
from gateway.session_addresses import under_token
from tenure.errors import InvalidField, NotFound
from tenure.internal.v1 import browser_host_service_pb2 as pb
from tenure.internal.v1.browser_host_service_pb2_grpc import BrowserHostServiceStub
from tenure.internal.v1.lock_service_pb2 import LocateProfileRequest
from tenure.names import SessionName
from tenure.v1.session_service_pb2 import (
    DownloadFileRequest,
    DownloadFileResponse,
    ListDownloadsRequest,
    ListDownloadsResponse,
    UploadFileRequest,
    UploadFileResponse,
)
from tenure.v1.session_service_pb2_grpc import SessionServiceServicer

LOCATE_S = 10.0

Context = grpc.aio.ServicerContext[Any, Any]


class SessionFiles(SessionServiceServicer):
    """The part of SessionService that moves files."""

    _backends: Backends

    async def UploadFile(
        self, requests: AsyncIterator[UploadFileRequest], context: Context
    ) -> UploadFileResponse:
        messages = aiter(requests)
        first = await anext(messages, UploadFileRequest())
        if first.WhichOneof("message") != "header":
            raise InvalidField(
                field="header", problem="does not come first", remedy="send the header, then the chunks"
            )
        name = under_token(first.header.session, first.header.fencing_token)
        first.header.session = str(name)
        home, host = await self._home(name)
        receiving = sending.streaming(self._backends, host.PutUpload)
        try:
            await sending.write(home, receiving, pb.PutUploadRequest(upload=first))
            async for message in messages:
                await sending.write(home, receiving, pb.PutUploadRequest(upload=message))
            answer: pb.PutUploadResponse = await sending.answer(home, receiving)
            return answer.upload
        finally:
            receiving.cancel()  # nothing, once it has ended

    async def ListDownloads(self, request: ListDownloadsRequest, context: Context) -> ListDownloadsResponse:
        name = under_token(request.session, request.fencing_token)
        request.session = str(name)
        home, host = await self._home(name)
        with repeatable(home):
            asked = pb.ListSessionDownloadsRequest(list=request)
            return (await self._backends.invoke(host.ListSessionDownloads, asked)).list

    async def DownloadFile(
        self, request: DownloadFileRequest, context: Context
    ) -> AsyncIterator[DownloadFileResponse]:
        name = under_token(request.session, request.fencing_token)
        request.session = str(name)
        home, host = await self._home(name)
        reading = sending.begun(self._backends, host.ReadDownload, pb.ReadDownloadRequest(read=request))
        try:
            with repeatable(home), sending.as_ours():
                async for part in reading:
                    yield DownloadFileResponse(chunk=part.chunk)
        finally:
            reading.cancel()  # its reader may have gone before the end

    async def _home(self, session: SessionName) -> tuple[str, BrowserHostServiceStub]:
        # A stream may come without a deadline, and this is no part of it.
        asked = LocateProfileRequest(profile=str(session.profile))
        located = await self._backends.invoke(self._backends.lock.LocateProfile, asked, timeout=LOCATE_S)
        if not located.home:
            raise NotFound(name=str(session))
        return located.home, self._backends.host_among(located.hosts, located.home)
