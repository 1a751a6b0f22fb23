"""A lock service of grpc.aio that answers as it is told, on a port of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio

from servicekit.channels import Channels
from tenure.errors import STATUS_DETAILS_KEY, LeaseExpired
from tenure.internal.v1 import lock_service_pb2 as pb
from tenure.internal.v1.lock_service_pb2_grpc import (
    LockServiceServicer,
    LockServiceStub,
    add_LockServiceServicer_to_server,
)
from tenure.v1.hold_pb2 import PROFILE_STATE_AVAILABLE
from tenure.v1.host_pb2 import HOST_STATE_READY, HostState

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass
class FakeLockService(LockServiceServicer):
    """Tokens below 1000 are current. `away` counts the calls that still fail. There is one host, the last
    that registered.
    """

    verifies: list[pb.VerifyTokensRequest] = field(default_factory=list)
    suspects: list[pb.SuspectHoldRequest] = field(default_factory=list)
    registered: list[pb.RegisterHostRequest] = field(default_factory=list)
    renewed: list[pb.RenewHostRequest] = field(default_factory=list)
    home: str = "hosts/h-1"
    state: int = PROFILE_STATE_AVAILABLE
    scheduled: HostState.ValueType = HOST_STATE_READY
    away: int = 0
    forgotten: bool = False
    silent: bool = False
    refused: dict[int, str] = field(default_factory=dict)
    """Tokens that are not current any more, and why."""
    called: asyncio.Event = field(default_factory=asyncio.Event)

    async def VerifyTokens(
        self, request: pb.VerifyTokensRequest, context: Context
    ) -> pb.VerifyTokensResponse:
        self.verifies.append(request)
        self.called.set()
        if self.silent:
            await asyncio.Event().wait()
        await self._fail(context)
        return pb.VerifyTokensResponse(
            verdicts=[self._verdict(each.fencing_token) for each in request.queries]
        )

    def _verdict(self, token: int) -> pb.TokenVerdict:
        current = token < 1000 and token not in self.refused
        return pb.TokenVerdict(current=current, reason=self.refused.get(token, ""))

    async def ListAliveHosts(
        self, request: pb.ListAliveHostsRequest, context: Context
    ) -> pb.ListAliveHostsResponse:
        return pb.ListAliveHostsResponse(hosts=[each.host for each in self.registered[-1:]])

    async def SuspectHold(self, request: pb.SuspectHoldRequest, context: Context) -> pb.SuspectHoldResponse:
        self.suspects.append(request)
        await self._fail(context)
        return pb.SuspectHoldResponse(suspected=True)

    async def LocateProfile(
        self, request: pb.LocateProfileRequest, context: Context
    ) -> pb.LocateProfileResponse:
        await self._fail(context)
        return pb.LocateProfileResponse(home=self.home, state=self.state, revision=7, epoch=1)  # type: ignore[arg-type]

    async def RegisterHost(
        self, request: pb.RegisterHostRequest, context: Context
    ) -> pb.RegisterHostResponse:
        self.registered.append(request)
        self.called.set()
        await self._fail(context)
        response = pb.RegisterHostResponse(registration=7, state=self.scheduled)
        response.ttl.FromMilliseconds(30)
        return response

    async def RenewHost(self, request: pb.RenewHostRequest, context: Context) -> pb.RenewHostResponse:
        self.renewed.append(request)
        self.called.set()
        if self.forgotten:
            self.forgotten = False
            status = LeaseExpired(worker="h-1").to_status()
            context.set_trailing_metadata(((STATUS_DETAILS_KEY, status.SerializeToString()),))
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, status.message)
        response = pb.RenewHostResponse(state=self.scheduled)
        response.ttl.FromMilliseconds(30)
        return response

    async def _fail(self, context: Context) -> None:
        if self.away > 0:
            self.away -= 1
            await context.abort(grpc.StatusCode.UNAVAILABLE, "no leader")


@asynccontextmanager
async def serving(service: FakeLockService) -> AsyncIterator[tuple[LockServiceStub, Channels]]:
    """The service behind a stub."""
    server = grpc.aio.server()
    add_LockServiceServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with Channels("browserhost") as channels:
        yield LockServiceStub(channels.to(f"127.0.0.1:{port}")), channels
    await server.stop(None)
