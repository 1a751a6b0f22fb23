"""Many holds in one message; each is a call of its own in the record, from the message's start to its end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import grpc.aio

from servicekit.call import DEV_IDENTITY
from tenure import errors
from tenure.v1 import hold_service_pb2 as pb
from tests.chaos.call import Call
from tests.chaos.caller import TIMEOUT_S, Caller, Door, state


async def acquire_many(
    caller: Caller, door: Door, asks: Sequence[tuple[str, str]], worker: str
) -> list[Call]:
    """Acquire (profile, request id) pairs."""
    calls = [
        caller.begin("acquire", profile, door, worker=worker, request=request, waits=0, workflow="")
        for profile, request in asks
    ]
    requests = [
        pb.AcquireHoldRequest(profile=profile, worker=f"workers/{worker}", request_id=request)
        for profile, request in asks
    ]
    answers = await _send(caller, calls, door.holds.AcquireHolds, pb.AcquireHoldsRequest(requests=requests))
    for call, answer in zip(calls, answers, strict=False):
        if answer.HasField("response"):
            caller.answered(call, token=answer.response.hold.fencing_token)
        else:
            caller.failed(call, errors.from_status(answer.error))
    return calls


async def release_many(caller: Caller, door: Door, held: Sequence[tuple[str, int]]) -> list[Call]:
    """Release (profile, token) pairs."""
    calls = [
        caller.begin("release", profile, door, token=token, result="SUCCEEDED") for profile, token in held
    ]
    requests = [pb.ReleaseHoldRequest(profile=profile, fencing_token=token) for profile, token in held]
    answers = await _send(caller, calls, door.holds.ReleaseHolds, pb.ReleaseHoldsRequest(requests=requests))
    for call, answer in zip(calls, answers, strict=False):
        if answer.HasField("response"):
            response = answer.response
            caller.answered(call, state=state(response.state), already=response.already_released)
        else:
            caller.failed(call, errors.from_status(answer.error))
    return calls


async def _send(caller: Caller, calls: Sequence[Call], method: Any, request: Any) -> Sequence[Any]:
    """The results; none when the message as a whole was not answered."""
    try:
        answer = await method(request, timeout=TIMEOUT_S, metadata=DEV_IDENTITY.metadata())
    except grpc.aio.AioRpcError as error:
        for call in calls:
            caller.failed(call, errors.from_rpc_error(error))
        return ()
    results: Sequence[Any] = answer.results
    return results
