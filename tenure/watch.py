"""Profiles as they change, for as long as one likes to look: a broken stream is resumed where it was."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable

import grpc.aio

from tenure.errors import QuotaExceeded, TenureError, Unavailable, from_rpc_error
from tenure.retry import pauses
from tenure.v1 import profile_service_pb2 as pb
from tenure.v1 import profile_service_pb2_grpc


async def watched(
    stub: profile_service_pb2_grpc.ProfileServiceStub,
    request: pb.WatchProfilesRequest,
    broken: Callable[[TenureError], None],
) -> AsyncGenerator[pb.WatchProfilesResponse, None]:
    """Every message of WatchProfiles, without an end. What it sends replaces what it sent before of the same
    profile; an empty bookmark means that all before counts no more.

    `broken` hears of each break, which is then resumed from the last bookmark, later each time, and never
    sooner than the answer says: also where the replica that it is resumed at has as many streams as it may,
    for another one has room, or this one soon. Raises the TenureError of a refusal, such as NotFound; and
    Unavailable or QuotaExceeded only when there was no answer ever.
    """
    begun = False
    waits = pauses()
    while True:
        least = 0.0
        call = stub.WatchProfiles(request)
        try:
            async for message in call:
                begun, waits = True, pauses()
                if message.WhichOneof("event") == "bookmark":
                    request.resume_cursor = message.bookmark
                yield message
        except grpc.aio.AioRpcError as failure:
            error = from_rpc_error(failure)
            if not begun or not isinstance(error, Unavailable | QuotaExceeded):
                raise error from None
            least = error.retry_after_s or 0.0
            broken(error)
        finally:
            call.cancel()
        # It ended well because the service stops, or did not: either way it is resumed.
        await asyncio.sleep(max(next(waits), least))
