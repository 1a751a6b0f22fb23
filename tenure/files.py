"""A session's files from a worker's side: given to its browser, and fetched from it."""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import IO

import grpc
import grpc.aio

from tenure.errors import Internal, NotFound, from_rpc_error
from tenure.hold import CALL_TIMEOUT_S
from tenure.retry import call
from tenure.v1 import session_pb2, session_service_pb2, session_service_pb2_grpc

CHUNK = 1 << 19
"""Bytes a message."""
TRIES = 3
"""How often a download goes on after its stream broke off."""

Progress = Callable[[int, int], None]
"""Told of bytes moved so far, and of all there are."""


class SessionFiles:
    """The files of one session, by its name and its hold's token."""

    def __init__(
        self, sessions: session_service_pb2_grpc.SessionServiceStub, session: str, fencing_token: int
    ) -> None:
        self._sessions = sessions
        self._session, self._token = session, fencing_token

    async def upload(
        self, source: Path, name: str = "", progress: Progress = lambda done, whole: None
    ) -> session_service_pb2.UploadFileResponse:
        """Put a file where the session's pages may choose it, under `name` or its own.

        The answer's `path` is what a file input is given. May be repeated: the file is replaced. Raises
        OSError, InvalidField, QuotaExceeded, DiskFull, HoldLost, Unavailable.
        """
        header = session_service_pb2.UploadFileHeader(
            session=self._session, fencing_token=self._token, file=name or source.name
        )
        digest = hashlib.sha256()

        async def messages() -> AsyncIterator[session_service_pb2.UploadFileRequest]:
            yield session_service_pb2.UploadFileRequest(header=header)
            whole, done = os.fstat(file.fileno()).st_size, 0
            while part := await asyncio.to_thread(file.read, CHUNK):
                digest.update(part)
                yield session_service_pb2.UploadFileRequest(chunk=part)
                done += len(part)
                progress(done, whole)

        with await asyncio.to_thread(source.open, "rb") as file:
            try:
                answer = await self._sessions.UploadFile(messages())
            except grpc.aio.AioRpcError as error:
                raise from_rpc_error(error) from error
        if answer.sha256 != digest.digest():
            raise Internal("The file arrived other than it was sent.")
        return answer

    async def list(self) -> list[session_pb2.Download]:
        """What the session's browser downloaded, by time, complete or not. Raises as `upload`."""
        request = session_service_pb2.ListDownloadsRequest(session=self._session, fencing_token=self._token)
        answer = await call(self._sessions.ListDownloads, request, timeout=CALL_TIMEOUT_S)
        return list(answer.downloads)

    async def find(self, name: str) -> session_pb2.Download:
        """The newest whole download with that `file`, or name as the site gave it. Raises NotFound."""
        for each in reversed(await self.list()):
            if each.complete and name in (each.file, each.suggested_name):
                return each
        raise NotFound(f"There is no download '{name}' that is whole.", name=name)

    async def download(
        self, name: str, to: Path, progress: Progress = lambda done, whole: None
    ) -> session_pb2.Download:
        """Fetch one into the file `to`, which is there only once it is whole.

        Goes on where it was when the stream breaks off. Raises OSError, NotFound, HoldLost, Unavailable.
        """
        wanted = await self.find(name)
        passing = to.with_name(f".{to.name}.{secrets.token_hex(4)}")
        try:
            with await asyncio.to_thread(passing.open, "xb") as file:
                await self._fetch(wanted, file, progress)
            passing.replace(to)
        finally:
            passing.unlink(missing_ok=True)
        return wanted

    async def _fetch(self, wanted: session_pb2.Download, file: IO[bytes], progress: Progress) -> None:
        for tried in range(TRIES):
            request = session_service_pb2.DownloadFileRequest(
                session=self._session, fencing_token=self._token, file=wanted.file, offset=file.tell()
            )
            try:
                async for part in self._sessions.DownloadFile(request):
                    await asyncio.to_thread(file.write, part.chunk)
                    progress(file.tell(), wanted.size)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE or tried == TRIES - 1:
                    raise from_rpc_error(error) from error
            else:
                break
        if file.tell() != wanted.size:
            raise Internal(f"The download has {file.tell()} bytes instead of {wanted.size}.")
