"""The methods of HoldService that need the host: releases, transfers, and cancels that find a grant."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import grpc.aio

from gateway import fields
from gateway.backends import Backends
from gateway.release import Releaser
from servicekit.call import current_identity
from tenure import names, request_id, token
from tenure.errors import DrainRequired, TenureError, from_status
from tenure.v1.hold_service_pb2 import (
    CancelWaitRequest,
    CancelWaitResponse,
    ReleaseHoldRequest,
    ReleaseHoldResponse,
    ReleaseHoldResult,
    ReleaseHoldsRequest,
    ReleaseHoldsResponse,
    TransferHoldRequest,
    TransferHoldResponse,
)

# Hosts are asked to drain so many holds of one call at a time.
IN_FLIGHT = 64

Context = grpc.aio.ServicerContext[Any, Any]


class Releases:
    """ReleaseHold, ReleaseHolds, TransferHold and CancelWait, through the hosts."""

    def __init__(self, backends: Backends, releaser: Releaser) -> None:
        self._backends = backends
        self._releaser = releaser

    async def ReleaseHold(self, request: ReleaseHoldRequest, context: Context) -> ReleaseHoldResponse:
        return await self._release(request)

    async def ReleaseHolds(self, request: ReleaseHoldsRequest, context: Context) -> ReleaseHoldsResponse:
        # The lock service itself refuses what lives on a host, so all the others are done with this.
        answer = await self._backends.invoke(self._backends.holds.ReleaseHolds, request)
        room = asyncio.Semaphore(IN_FLIGHT)

        async def drain(asked: ReleaseHoldRequest, result: ReleaseHoldResult) -> None:
            async with room:
                try:
                    result.response.CopyFrom(await self._release(asked))
                except TenureError as error:
                    result.error.CopyFrom(error.to_status())

        async with asyncio.TaskGroup() as group:
            for asked, result in zip(request.requests, answer.results, strict=True):
                if result.HasField("error") and isinstance(from_status(result.error), DrainRequired):
                    group.create_task(drain(asked, result))
        return answer

    async def CancelWait(self, request: CancelWaitRequest, context: Context) -> CancelWaitResponse:
        profile = names.resolve_profile(request.profile, current_identity().tenant)
        return await self._releaser.cancel(request, profile)

    async def TransferHold(self, request: TransferHoldRequest, context: Context) -> TransferHoldResponse:
        profile = names.resolve_profile(request.profile, current_identity().tenant)
        token.check(request.fencing_token)
        # Before anything is drained: what the lock service would refuse must not have cost the holder.
        names.worker_id(request.to_worker, "to_worker")
        request_id.parse(request.request_id)
        return await self._releaser.transfer(request, profile)

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
                "TransferHold": grpc.unary_unary_rpc_method_handler(
                    self.TransferHold,
                    TransferHoldRequest.FromString,
                    TransferHoldResponse.SerializeToString,
                ),
                "CancelWait": grpc.unary_unary_rpc_method_handler(
                    self.CancelWait,
                    CancelWaitRequest.FromString,
                    CancelWaitResponse.SerializeToString,
                ),
            },
        )
