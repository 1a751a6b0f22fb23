"""tenure.v1.HoldService."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import grpc.aio

from lockservice import asking, bulk, checkpoint_store, fields
from lockservice.acquires import Acquired, Home
from lockservice.bulk import Bulk
from lockservice.calls import deadline
from lockservice.core.acquire import other_plan
from lockservice.core.grant import fits
from lockservice.core.hold import Hold
from lockservice.core.record import Origin
from lockservice.core.release import Ending, Released, Result
from lockservice.core.steps import MAX_SEQ
from lockservice.core.stored import Step
from lockservice.encode import hold_message, state_of, step_message, timestamp
from lockservice.granter import now_ms
from lockservice.holds import Holds
from lockservice.replica import Replica
from lockservice.workers import Workers
from servicekit.call import current_identity, require_role
from tenure import request_id, token
from tenure.errors import InvalidField, NotFound, OutcomeUnknown, StoreUnavailable, TenureError
from tenure.names import worker_id
from tenure.v1 import hold_pb2
from tenure.v1 import hold_service_pb2 as pb
from tenure.v1.hold_service_pb2_grpc import HoldServiceServicer

MAX_PAYLOAD = 256 * 1024
# Of all checkpoints in one answer: gRPC clients take messages of 4 MiB if nobody told them otherwise.
MAX_CHECKPOINTS = 2 * 1024 * 1024
ADMIN_ROLE = "admin"
_Context = grpc.aio.ServicerContext[Any, Any]


class HoldServicer(HoldServiceServicer):
    """Holds."""

    def __init__(self, replica: Replica, holds: Holds, workers: Workers) -> None:
        self._replica = replica
        self._holds = holds
        self._bulk = Bulk(replica, holds)
        self._workers = workers

    async def acquire(
        self, wanted: asking.Acquire, home: Home | None = None
    ) -> tuple[Acquired, hold_pb2.Checkpoint | None]:
        """Acquire; and read the checkpoint if that was asked for, or if the hold resumes from it."""
        end = deadline()
        acquired = await self._holds.acquires.acquire(
            wanted.profile,
            wanted.ask,
            tenant=wanted.profile.tenant,
            wait_s=wanted.wait_s,
            deadline=end,
            resume=wanted.resume_state,
            home=home,
        )
        return acquired, await self._checkpoint(wanted, acquired.hold, end)

    async def _checkpoint(self, wanted: asking.Acquire, hold: Hold, end: float) -> hold_pb2.Checkpoint | None:
        resumed = hold.holding.origin is Origin.RESUMED
        if not wanted.resume_state and not resumed:
            return None
        workflow = wanted.ask.workflow_id
        try:
            checkpoint = await checkpoint_store.load(self._replica, wanted.profile, workflow, end)
            if checkpoint is not None and not resumed and checkpoint.fencing_token < hold.token:
                await self._check_plan(wanted, hold, checkpoint.plan, end)
        except StoreUnavailable:
            # Which says that nothing was changed; but something was.
            raise _without_checkpoint(wanted, "could not be read") from None
        return checkpoint

    async def _check_plan(self, wanted: asking.Acquire, hold: Hold, plan: str, end: float) -> None:
        """Give a hold back whose checkpoint became another plan's while its caller waited in the queue.

        Nobody was told of the hold yet, so nothing can have been opened under it: it counts as drained.
        """
        if not fits(wanted.ask, plan):
            ending = Ending(token=hold.token, result=Result.FAILED_UNTOUCHED, drained=True)
            await self._holds.release(wanted.profile, ending, end)
            raise other_plan(wanted.profile, wanted.ask)

    async def AcquireHold(self, request: pb.AcquireHoldRequest, context: _Context) -> pb.AcquireHoldResponse:
        acquired, checkpoint = await self.acquire(asking.acquire(request, current_identity()))
        return pb.AcquireHoldResponse(hold=self.message(acquired.hold), checkpoint=checkpoint)

    async def ReleaseHold(self, request: pb.ReleaseHoldRequest, context: _Context) -> pb.ReleaseHoldResponse:
        profile, ending = asking.release(request, current_identity())
        return released_message(await self._holds.release(profile, ending, deadline()))

    async def AcquireHolds(
        self, request: pb.AcquireHoldsRequest, context: _Context
    ) -> pb.AcquireHoldsResponse:
        identity, end = current_identity(), deadline()

        async def settle(wanted: list[asking.Acquire]) -> list[pb.AcquireHoldResponse | TenureError]:
            return await self._told(wanted, await self._bulk.acquire(wanted, end), end)

        answers = await bulk.answered(
            request.requests, lambda each: asking.acquire_at_once(each, identity), settle
        )
        return pb.AcquireHoldsResponse(
            results=[
                pb.AcquireHoldResult(error=answer.to_status())
                if isinstance(answer, TenureError)
                else pb.AcquireHoldResult(response=answer)
                for answer in answers
            ]
        )

    async def ReleaseHolds(
        self, request: pb.ReleaseHoldsRequest, context: _Context
    ) -> pb.ReleaseHoldsResponse:
        identity, end = current_identity(), deadline()

        async def settle(wanted: list[asking.Release]) -> list[Released | TenureError]:
            return await self._bulk.release(wanted, end)

        answers = await bulk.answered(request.requests, lambda each: asking.release(each, identity), settle)
        return pb.ReleaseHoldsResponse(
            results=[
                pb.ReleaseHoldResult(error=answer.to_status())
                if isinstance(answer, TenureError)
                else pb.ReleaseHoldResult(response=released_message(answer))
                for answer in answers
            ]
        )

    async def RevokeHold(self, request: pb.RevokeHoldRequest, context: _Context) -> pb.RevokeHoldResponse:
        operator = require_role(ADMIN_ROLE)
        profile = fields.profile(request.profile, operator)
        # 0 is the current hold's.
        number = token.check(request.fencing_token) if request.fencing_token else 0
        reason = fields.text(request.reason, "reason", required=True, longest=fields.MAX_REASON)
        detail = f"{operator.subject} revoked it: {reason}"
        incident = await self._replica.suspects.revoke(profile, number, detail, deadline())
        return pb.RevokeHoldResponse(incident=str(incident))

    async def CancelWait(self, request: pb.CancelWaitRequest, context: _Context) -> pb.CancelWaitResponse:
        identity = current_identity()
        profile = fields.profile(request.profile, identity)
        outcome = await self._holds.cancel(
            profile,
            worker=worker_id(request.worker),
            tenant=profile.tenant,
            request_id=request_id.parse(request.request_id),
            deadline=deadline(),
        )
        return pb.CancelWaitResponse(outcome=pb.CancelOutcome.Value(f"CANCEL_OUTCOME_{outcome.name}"))

    async def VerifyHold(self, request: pb.VerifyHoldRequest, context: _Context) -> pb.VerifyHoldResponse:
        profile = fields.profile(request.profile, current_identity())
        hold = await self._holds.verify(profile, token.check(request.fencing_token), deadline())
        return pb.VerifyHoldResponse(hold=self.message(hold))

    async def StartStep(self, request: pb.StartStepRequest, context: _Context) -> pb.StartStepResponse:
        step = Step(
            name=fields.text(request.name, "name", required=True),
            start_ms=now_ms(),
            sensitive=request.sensitive if request.HasField("sensitive") else None,
        )
        stored = await self._holds.start_step(
            fields.profile(request.profile, current_identity()),
            token.check(request.fencing_token),
            fields.number(request.seq, "seq", low=0, high=MAX_SEQ),
            step,
            deadline(),
        )
        return pb.StartStepResponse(step=step_message(stored))

    async def FinishStep(self, request: pb.FinishStepRequest, context: _Context) -> pb.FinishStepResponse:
        stored = await self._holds.finish_step(
            fields.profile(request.profile, current_identity()),
            token.check(request.fencing_token),
            fields.number(request.seq, "seq", low=1, high=MAX_SEQ),
            deadline(),
        )
        return pb.FinishStepResponse(step=step_message(stored))

    async def SaveCheckpoint(
        self, request: pb.SaveCheckpointRequest, context: _Context
    ) -> pb.SaveCheckpointResponse:
        profile = fields.profile(request.profile, current_identity())
        workflow = fields.workflow(request.workflow_id, required=True)
        if len(request.payload) > MAX_PAYLOAD:
            raise InvalidField(
                field="payload",
                value=f"{len(request.payload)} bytes",
                problem="is too large",
                remedy=f"use at most {MAX_PAYLOAD} bytes, and keep more elsewhere",
            )
        checkpoint = hold_pb2.Checkpoint(
            profile=str(profile),
            workflow_id=workflow,
            plan=fields.text(request.plan, "plan", longest=asking.MAX_PLAN),
            step=fields.text(request.step, "step"),
            payload=request.payload,
            safe=request.safe,
            fencing_token=token.check(request.fencing_token),
            save_time=timestamp(now_ms()),
        )
        await self._holds.save_checkpoint(
            profile, request.fencing_token, workflow, checkpoint.SerializeToString(), deadline()
        )
        return pb.SaveCheckpointResponse(checkpoint=checkpoint)

    async def GetCheckpoint(
        self, request: pb.GetCheckpointRequest, context: _Context
    ) -> pb.GetCheckpointResponse:
        profile = fields.profile(request.profile, current_identity())
        workflow = fields.workflow(request.workflow_id, required=True)
        found = await checkpoint_store.load(self._replica, profile, workflow, deadline())
        if found is None:
            raise NotFound(f"workflow_id '{workflow}' has no checkpoint on {profile}.", name=str(profile))
        return pb.GetCheckpointResponse(checkpoint=found)

    async def _told(
        self, wanted: Sequence[asking.Acquire], found: Sequence[Hold | TenureError], end: float
    ) -> list[pb.AcquireHoldResponse | TenureError]:
        """Holds as answers, with the checkpoints that belong to them, as far as one message has room."""
        room = MAX_CHECKPOINTS
        told: list[pb.AcquireHoldResponse | TenureError] = []
        for item, hold in zip(wanted, found, strict=True):
            if isinstance(hold, TenureError):
                told.append(hold)
                continue
            try:
                checkpoint = await self._checkpoint(item, hold, end)
            except TenureError as error:
                told.append(error)
                continue
            if checkpoint is not None and (room := room - checkpoint.ByteSize()) < 0:
                told.append(_without_checkpoint(item, "has no room in this answer of many"))
                continue
            told.append(pb.AcquireHoldResponse(hold=self.message(hold), checkpoint=checkpoint))
        return told

    def message(self, hold: Hold) -> hold_pb2.Hold:
        return hold_message(hold, self._workers.remaining_s(hold.holding.worker))


def _without_checkpoint(wanted: asking.Acquire, why: str) -> OutcomeUnknown:
    return OutcomeUnknown(
        f"The profile is acquired, but its checkpoint {why}. Ask for it again, alone, with the same "
        "request_id.",
        request_id=wanted.ask.request_id,
        retry_after_s=1.0,
    )


def released_message(released: Released) -> pb.ReleaseHoldResponse:
    """What a release tells, at either of its two doors."""
    return pb.ReleaseHoldResponse(state=state_of(released.state), already_released=released.already)
