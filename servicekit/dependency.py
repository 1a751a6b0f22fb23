"""Follow another service's health, to say in our own when it is away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

RETRY_S = 0.5

Tell = Callable[[str | None], Awaitable[None]]


async def follow_health(channel: grpc.aio.Channel, tell: Tell) -> None:
    """Call `tell` with None when the service serves, else with why not, until cancelled.

    One health stream, which the channel's keep-alive ends when the peer freezes.
    """
    stub = health_pb2_grpc.HealthStub(channel)
    while True:
        try:
            async for answer in stub.Watch(health_pb2.HealthCheckRequest()):
                serving = answer.status == health_pb2.HealthCheckResponse.SERVING
                await tell(None if serving else "it is not serving")
            await tell("it is stopping")
        except grpc.aio.AioRpcError as error:
            await tell(error.details() or error.code().name)
        await asyncio.sleep(RETRY_S)
