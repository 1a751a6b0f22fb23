"""A servicer with one method of each of gRPC's four kinds, whose behaviour each test sets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from tenure.v1 import (
    profile_service_pb2_grpc,
    session_service_pb2,
    session_service_pb2_grpc,
    system_service_pb2_grpc,
    worker_service_pb2,
    worker_service_pb2_grpc,
)
from tenure.v1.profile_service_pb2 import WatchProfilesResponse
from tenure.v1.system_service_pb2 import GetServerInfoResponse

Act = Callable[[Any], Awaitable[None]]


class Behaviour(
    system_service_pb2_grpc.SystemServiceServicer,
    profile_service_pb2_grpc.ProfileServiceServicer,
    session_service_pb2_grpc.SessionServiceServicer,
    worker_service_pb2_grpc.WorkerServiceServicer,
):
    """Every method awaits `act(context)` first."""

    def __init__(self) -> None:
        self.act: Act = nothing
        self.cancelled = asyncio.Event()
        self.entered = asyncio.Event()

    async def _do(self, context: Any) -> None:
        self.entered.set()
        try:
            await self.act(context)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    async def GetServerInfo(self, request: Any, context: Any) -> GetServerInfoResponse:
        await self._do(context)
        return GetServerInfoResponse(version="1")

    async def WatchProfiles(self, request: Any, context: Any) -> AsyncIterator[WatchProfilesResponse]:
        yield WatchProfilesResponse(bookmark="0")
        await self._do(context)
        yield WatchProfilesResponse(bookmark="1")

    async def UploadFile(self, requests: Any, context: Any) -> session_service_pb2.UploadFileResponse:
        await self._do(context)
        return session_service_pb2.UploadFileResponse(size=len([r async for r in requests]))

    # The other form that grpc.aio allows, a coroutine that writes; the stubs know only one.
    async def KeepAlive(self, requests: Any, context: Any) -> None:  # type: ignore[override]
        async for request in requests:
            await self._do(context)
            await context.write(worker_service_pb2.KeepAliveResponse(worker=request.worker))


async def nothing(context: Any) -> None:
    del context


async def forever(context: Any) -> None:
    del context
    await asyncio.Event().wait()


def raising(error: BaseException) -> Act:
    async def act(context: Any) -> None:
        raise error

    return act
