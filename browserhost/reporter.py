"""Tells the lock service that a hold went wrong here, again and again until it has been heard."""

from __future__ import annotations

import asyncio

import structlog

from servicekit.channels import Channels
from tenure.errors import TenureError
from tenure.internal.v1.lock_service_pb2 import SuspectHoldRequest
from tenure.internal.v1.lock_service_pb2_grpc import LockServiceStub
from tenure.names import ProfileName
from tenure.v1.incident_pb2 import SuspicionCause

ANSWER_S = 4.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 3.0
_PREFIX = "SUSPICION_CAUSE_"

_log = structlog.get_logger("reporter")


class Reporter:
    """Makes holds suspect (rule 10). Idempotent on the other side, so repeating is safe."""

    def __init__(self, stub: LockServiceStub, channels: Channels) -> None:
        self._stub = stub
        self._channels = channels

    async def suspect(self, name: ProfileName, token: int, cause: str, detail: str) -> bool:
        """Report until there is an answer: whether the token is an incident now.

        `cause` is a SuspicionCause without its prefix, such as BROWSER_LOST. Ends only with an
        answer or by being cancelled.
        """
        request = SuspectHoldRequest(
            profile=str(name),
            fencing_token=token,
            cause=SuspicionCause.Value(_PREFIX + cause),
            detail=detail,
        )
        pause = _FIRST_PAUSE_S
        while True:
            try:
                answer = await self._channels.invoke(self._stub.SuspectHold, request, timeout=ANSWER_S)
            except TenureError as error:
                _log.warning("not reported yet", profile=str(name), token=token, cause=cause, why=str(error))
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_S)
                continue
            _log.warning("reported", profile=str(name), token=token, cause=cause, suspected=answer.suspected)
            return answer.suspected
