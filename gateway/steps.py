"""StartStep: durable at the lock service first, then witnessed by the profile's host.

The worker hears OK after the host has its picture of the moment before the step on disk, so that
the evidence is there when worker, browser and host die together. That the host is away, or slow,
or has no session of the token, never fails the step: it is stored already.
"""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import grpc.aio
import structlog

from gateway.backends import Backends
from servicekit.call import current_identity, remaining_s
from tenure import names
from tenure.errors import TenureError
from tenure.internal.v1.browser_host_service_pb2 import WitnessStepRequest
from tenure.names import ProfileName
from tenure.v1.hold_service_pb2 import StartStepRequest, StartStepResponse

WITNESS_S = 2.0
"""How long the worker waits for its witness at most."""
_SHARE = 0.5
"""Of what is left of the call's deadline: a step that is stored must be answered in time."""

Context = grpc.aio.ServicerContext[Any, Any]

_log = structlog.get_logger("steps")


class Steps:
    """StartStep, through the lock service and the host."""

    def __init__(self, backends: Backends, witness_s: float = WITNESS_S) -> None:
        self._backends = backends
        self._witness_s = witness_s

    async def StartStep(self, request: StartStepRequest, context: Context) -> StartStepResponse:
        profile = names.resolve_profile(request.profile, current_identity().tenant)
        started = await self._backends.invoke(self._backends.holds.StartStep, request)
        remaining = remaining_s()
        patience = self._witness_s if remaining is None else min(self._witness_s, remaining * _SHARE)
        try:
            async with asyncio.timeout(patience):
                await self._witness(profile, request.fencing_token, started)
        except (TenureError, TimeoutError) as error:
            why = str(error) or f"no answer within {patience:.1f} s"
            _log.warning("step not witnessed", profile=str(profile), step=started.step.seq, why=why)
        return started

    async def _witness(self, profile: ProfileName, token: int, started: StartStepResponse) -> None:
        located = await self._backends.locate(profile)
        if located.home:
            host = self._backends.host_among(located.hosts, located.home)
            asked = WitnessStepRequest(profile=str(profile), fencing_token=token, step=started.step)
            await self._backends.invoke(host.WitnessStep, asked)

    def handler(self) -> grpc.GenericRpcHandler:
        """Return the handler of this; ask it before the one that passes the rest on."""
        return grpc.method_handlers_generic_handler(
            "tenure.v1.HoldService",
            {
                "StartStep": grpc.unary_unary_rpc_method_handler(
                    self.StartStep, StartStepRequest.FromString, StartStepResponse.SerializeToString
                )
            },
        )
