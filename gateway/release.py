"""Releasing a hold: through the profile's host first, whenever it has one.

The host raises its floor above the token and drains what is at or below it, so nothing
of the token is served once the lock service lets the next one in. A host that does not
answer cannot promise that: then the hold becomes suspect instead of free.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import structlog

from gateway.backends import Backends
from tenure.errors import (
    DrainRequired,
    HostUnreachable,
    LeaseExpired,
    OutcomeUnknown,
    QuotaExceeded,
    RequestEnded,
    TenureError,
    TokenSuperseded,
)
from tenure.internal.v1.browser_host_service_pb2 import CloseHoldRequest, CloseHoldResponse
from tenure.internal.v1.lock_service_pb2 import (
    ReleaseDrainedRequest,
    SuspectHoldRequest,
    TransferDrainedRequest,
)
from tenure.names import ProfileName
from tenure.v1.hold_pb2 import RunResult
from tenure.v1.hold_service_pb2 import (
    CancelOutcome,
    CancelWaitRequest,
    CancelWaitResponse,
    ReleaseHoldRequest,
    ReleaseHoldResponse,
    TransferHoldRequest,
    TransferHoldResponse,
)
from tenure.v1.host_pb2 import Host
from tenure.v1.incident_pb2 import SuspicionCause

# How long a host gets to come back (its supervisor starts it again) before the hold is
# given up as suspect, and how long one attempt to drain may take.
HOST_PATIENCE_S = 10.0
DRAIN_S = 10.0
RETRY_S = 0.5

_log = structlog.get_logger("release")


class Releaser:
    """Ends holds. Idempotent by token, whatever went before."""

    def __init__(self, backends: Backends, host_patience_s: float = HOST_PATIENCE_S) -> None:
        self._backends = backends
        self._host_patience_s = host_patience_s

    async def release(
        self, profile: ProfileName, fencing_token: int, result: RunResult.ValueType
    ) -> tuple[ReleaseHoldResponse, CloseHoldResponse]:
        """Release, and return what became of the profile and how its session ended.

        Raises TokenSuperseded, LeaseExpired, HostUnreachable (the hold is suspect now),
        StoreUnavailable or OutcomeUnknown (call again).
        """
        request = ReleaseHoldRequest(profile=str(profile), fencing_token=fencing_token, result=result)
        located = await self._backends.locate(profile)
        home = located.home
        if not home:
            try:
                released = await self._backends.invoke(self._backends.holds.ReleaseHold, request)
            except DrainRequired as lives:
                # The replica that was asked where had not heard of the grant yet.
                home = lives.home
            else:
                return released, CloseHoldResponse()
        try:
            closed = await self._close_at_host(home, located.hosts, profile, fencing_token)
        except HostUnreachable as error:
            return await self._without_host(request, error), CloseHoldResponse()
        drained = ReleaseDrainedRequest(release=request, used=closed.used)
        if closed.HasField("flushed_at"):
            drained.flushed_at.CopyFrom(closed.flushed_at)
        answer = await self._backends.invoke(self._backends.lock.ReleaseDrained, drained)
        return answer.release, closed

    async def transfer(self, request: TransferHoldRequest, profile: ProfileName) -> TransferHoldResponse:
        """Drain the hold at its host, whose clients are told that it was superseded, and hand it over.

        Looks first whether it could be handed over, so that an heir who is gone, or a request id that is used
        up, costs the holder nothing. What is drained and cannot be handed over after all, since the heir went
        between that look and the hand-over, is nobody's: its work was cut off, so it becomes suspect, and
        recovery decides what becomes of the profile.

        Raises as `release`; LeaseExpired of either worker, RequestEnded, QuotaExceeded, what is wrong in the
        request.
        """
        wanted = TransferHoldRequest()
        wanted.CopyFrom(request)
        wanted.profile = str(profile)
        looking = TransferDrainedRequest(transfer=wanted, check_only=True)
        seen = await self._backends.invoke(self._backends.lock.TransferDrained, looking)
        if seen.HasField("hold"):
            return TransferHoldResponse(hold=seen.hold)
        located = await self._backends.locate(profile)
        # A later hold: which one is for the lock service to say.
        if located.home and located.fencing_token <= request.fencing_token:
            try:
                await self._close_at_host(
                    located.home, located.hosts, profile, request.fencing_token, passed_on=True
                )
            except HostUnreachable as error:
                ending = ReleaseHoldRequest(profile=str(profile), fencing_token=request.fencing_token)
                await self._without_host(ending, error)
                raise TokenSuperseded(profile=str(profile), token=request.fencing_token) from error
        transferred = TransferDrainedRequest(transfer=wanted)
        try:
            answer = await self._backends.invoke(self._backends.lock.TransferDrained, transferred)
        except (LeaseExpired, RequestEnded, QuotaExceeded) as refused:
            await self._without_heir(wanted, refused)
            raise
        return TransferHoldResponse(hold=answer.hold)

    async def cancel(self, request: CancelWaitRequest, profile: ProfileName) -> CancelWaitResponse:
        """Give up an Acquire; what was granted meanwhile is released through the host.

        Raises LeaseExpired, HostUnreachable (the hold is suspect now), StoreUnavailable or
        OutcomeUnknown (call again).
        """
        try:
            return await self._backends.invoke(self._backends.holds.CancelWait, request)
        except DrainRequired as granted:
            released, _ = await self.release(profile, granted.token, RunResult.RUN_RESULT_FAILED_UNTOUCHED)
        over = released.already_released
        return CancelWaitResponse(
            outcome=CancelOutcome.CANCEL_OUTCOME_ALREADY_ENDED
            if over
            else CancelOutcome.CANCEL_OUTCOME_RELEASED
        )

    async def _close_at_host(
        self,
        home: str,
        hosts: Iterable[Host],
        profile: ProfileName,
        fencing_token: int,
        *,
        passed_on: bool = False,
    ) -> CloseHoldResponse:
        """Drain at the host, trying again for a while: closing is idempotent."""
        request = CloseHoldRequest(profile=str(profile), fencing_token=fencing_token, passed_on=passed_on)
        clock = asyncio.get_running_loop().time
        give_up = clock() + self._host_patience_s
        while True:
            try:
                host = self._backends.host_among(hosts, home)
                return await self._backends.invoke(host.CloseHold, request, timeout=DRAIN_S)
            except (HostUnreachable, OutcomeUnknown) as error:
                if clock() + RETRY_S > give_up:
                    raise HostUnreachable(host=home) from error
                _log.warning("host does not answer, trying again", host=home, why=str(error))
            await asyncio.sleep(RETRY_S)
            # It may have come back at another address.
            hosts = await self._backends.alive_hosts()

    async def _without_heir(self, wanted: TransferHoldRequest, refused: TenureError) -> None:
        """Nobody works under the token any more, and nobody has vouched for the account. Does not raise: the
        holder's own release, or its lease's end, does as much.
        """
        suspect = SuspectHoldRequest(
            profile=wanted.profile,
            fencing_token=wanted.fencing_token,
            cause=SuspicionCause.SUSPICION_CAUSE_UNTRUSTED_RELEASE,
            detail=f"drained for {wanted.to_worker}, which could not have it: {refused.reason}",
        )
        try:
            await self._backends.invoke(self._backends.lock.SuspectHold, suspect)
        except TenureError as error:
            _log.warning("a drained hold is left", profile=wanted.profile, why=str(error))

    async def _without_host(
        self, request: ReleaseHoldRequest, unreachable: HostUnreachable
    ) -> ReleaseHoldResponse:
        lock = self._backends.lock
        answer = await self._backends.invoke(
            lock.SuspectHold,
            SuspectHoldRequest(
                profile=request.profile,
                fencing_token=request.fencing_token,
                cause=SuspicionCause.SUSPICION_CAUSE_HOST_UNREACHABLE,
                detail="released while its host did not answer",
            ),
        )
        if answer.suspected:
            raise HostUnreachable(
                f"host '{unreachable.host}' does not answer, so the hold could not be drained. "
                "It became suspect, and recovery decides about the profile.",
                host=unreachable.host,
            ) from unreachable
        # Safe without the host: the Txn behind SuspectHold proved that the token is not the
        # profile's current one, so this only tells how its hold ended.
        released = await self._backends.invoke(lock.ReleaseDrained, ReleaseDrainedRequest(release=request))
        return released.release
