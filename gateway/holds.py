"""The methods of HoldService that need the host: releases, and cancels that find a grant."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import grpc.aio

from gateway import fields
from gateway.release import Releaser
from servicekit.call import current_identity
from tenure import names, token
from tenure.errors import InvalidField, TenureError
from tenure.v1.hold_service_pb2 import (
    CancelWaitRequest,
    CancelWaitResponse,
    ReleaseHoldRequest,
    ReleaseHoldResponse,
    ReleaseHoldResult,
    ReleaseHoldsRequest,
    ReleaseHoldsResponse,
)

MAX_BULK = 1000
IN_FLIGHT = 64

Context = grpc.aio.ServicerContext[Any, Any]


class Releases:
    """ReleaseHold, ReleaseHolds and CancelWait, through the hosts."""

    def __init__(self, releaser: Releaser) -> None:
        self._releaser = releaser

    async def ReleaseHold(self, request: ReleaseHoldRequest, context: Context) -> ReleaseHoldResponse:
        return await self._release(request)

    async def ReleaseHolds(self, request: ReleaseHoldsRequest, context: Context) -> ReleaseHoldsResponse:
        if len(request.requests) > MAX_BULK:
            raise InvalidField(
                field="requests",
                value=str(len(request.requests)),
                problem="are too many",
                remedy=f"send at most {MAX_BULK} a call",
            )
        room = asyncio.Semaphore(IN_FLIGHT)

        async def one(each: ReleaseHoldRequest) -> ReleaseHoldResult:
            async with room:
                try:
                    return ReleaseHoldResult(response=await self._release(each))
                except TenureError as error:
                    return ReleaseHoldResult(error=error.to_status())

        async with asyncio.TaskGroup() as group:
            releasing = [group.create_task(one(each)) for each in request.requests]
        return ReleaseHoldsResponse(results=[task.result() for task in releasing])

    async def CancelWait(self, request: CancelWaitRequest, context: Context) -> CancelWaitResponse:
        profile = names.resolve_profile(request.profile, current_identity().tenant)
        return await self._releaser.cancel(request, profile)

    async def _release(self, request: ReleaseHoldRequest) -> ReleaseHoldResponse:
        profile = names.resolve_profile(request.profile, current_identity().tenant)
        released, _ = await self._releaser.release(
            profile, token.check(request.fencing_token), fields.run_result(request.result)
        )
        return released

    def handler(self) -> grpc.GenericRpcHandler:
        """Return the handler of these; ask it before the one that passes the rest on."""
        return grpc.method_handlers_generic_handler(
            "tenure.v1.HoldService",
            {
                "ReleaseHold": grpc.unary_unary_rpc_method_handler(
                    self.ReleaseHold,
                    ReleaseHoldRequest.FromString,
                    ReleaseHoldResponse.SerializeToString,
                ),
                "ReleaseHolds": grpc.unary_unary_rpc_method_handler(
                    self.ReleaseHolds,
                    ReleaseHoldsRequest.FromString,
                    ReleaseHoldsResponse.SerializeToString,
                ),
                "CancelWait": grpc.unary_unary_rpc_method_handler(
                    self.CancelWait,
                    CancelWaitRequest.FromString,
                    CancelWaitResponse.SerializeToString,
                ),
            },
        )
