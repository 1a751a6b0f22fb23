"""Calls that come by the thousand while the event loop is busy."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import grpc

from tests.servicekit.test_server import MakeServer

# gRPC itself takes 3,000 at most.
CALLS = 3200


async def test_a_burst_that_comes_before_the_loop_takes_any_is_answered_whole(
    make_server: MakeServer,
) -> None:
    async with make_server() as server:
        await server.start()
        await server.ready()
        with grpc.insecure_channel(server.address) as channel:
            method: Any = channel.unary_unary("/tenure.v1.SystemService/GetServerInfo")
            # This blocks the loop, so all of them wait in gRPC's own backlog.
            calls = [method.future(b"", timeout=60) for _ in range(CALLS)]
            codes = await asyncio.to_thread(lambda: Counter(call.code() for call in calls))
        assert codes == {grpc.StatusCode.OK: CALLS}
