"""A hold as its worker works with it: steps, checkpoints, and how the run ended."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tenure.retry import call, call_again
from tenure.v1 import hold_pb2, hold_service_pb2, hold_service_pb2_grpc

CALL_TIMEOUT_S = 30.0


class Result(enum.IntEnum):
    """How a run ended, as its worker vouches for it. The numbers are those of `RunResult`."""

    SUCCEEDED = hold_pb2.RUN_RESULT_SUCCEEDED
    """Done, or ended in a way that leaves the account in order."""
    FAILED_UNTOUCHED = hold_pb2.RUN_RESULT_FAILED_UNTOUCHED
    """Failed before it touched the account."""
    NEEDS_REVIEW = hold_pb2.RUN_RESULT_NEEDS_REVIEW
    """The worker does not vouch for the account: an incident begins, and nobody gets it meanwhile."""

    @property
    def wire(self) -> hold_pb2.RunResult.ValueType:
        return hold_pb2.RunResult.ValueType(self.value)


class Origin(enum.IntEnum):
    """Where a hold comes from. The numbers are those of `HoldOrigin`."""

    NEW = hold_pb2.HOLD_ORIGIN_NEW
    """A fresh task."""
    RESUMED = hold_pb2.HOLD_ORIGIN_RESUMED
    """The workflow goes on from its checkpoint, after its last run died."""
    RETRY = hold_pb2.HOLD_ORIGIN_RETRY
    """The task starts over, after an earlier attempt died."""


class HeldProfile:
    """A profile that this worker owns until the `async with` around it ends.

    `result` says how the run ended. Left at None it means SUCCEEDED when the body ends by
    itself and NEEDS_REVIEW when an exception ends it, cancellation and Ctrl-C included: an
    exception says nothing about what the run had already done to the account. A body that
    knows better sets it, also before it raises:

        except LoginFormGone:
            hold.result = Result.FAILED_UNTOUCHED
            raise
    """

    def __init__(
        self,
        holds: hold_service_pb2_grpc.HoldServiceStub,
        hold: hold_pb2.Hold,
        restored: hold_pb2.Checkpoint | None,
    ) -> None:
        self.hold = hold
        self.restored = restored
        """The workflow's checkpoint; None unless `resume_state` asked for it or `origin` is RESUMED."""
        self.result: Result | None = None
        self._holds = holds
        self._steps = 0
        self._numbering = asyncio.Lock()

    @property
    def profile(self) -> str:
        """The canonical name, `tenants/{tenant}/profiles/{profile}`."""
        return self.hold.profile

    @property
    def fencing_token(self) -> int:
        """Orders holds: whoever holds the profile later has a higher one."""
        return self.hold.fencing_token

    @property
    def run_id(self) -> str:
        return self.hold.run_id

    @property
    def origin(self) -> Origin:
        """Whether this is a fresh task, one that goes on, or one that starts over."""
        return Origin(self.hold.origin or Origin.NEW)

    @property
    def attempt(self) -> int:
        """Number of the attempt, from 1; above 1 when the task starts over."""
        return self.hold.attempt or 1

    @asynccontextmanager
    async def step(self, name: str, *, sensitive: bool | None = None) -> AsyncIterator[hold_pb2.Step]:
        """Declare a step; the body is what it does. Durable before the body begins.

        Say `sensitive=True` when the step may change the account in a way that must not be
        repeated (checkout, payment, password). A step that never says counts as sensitive
        once the account was touched. A body that raises leaves its step unfinished, which
        is what recovery must see. Raises HoldLost when the hold is over, InvalidField.
        """
        async with self._numbering:
            # The number makes a retry safe: the same step twice is one step.
            request = hold_service_pb2.StartStepRequest(
                profile=self.profile, fencing_token=self.fencing_token, name=name, seq=self._steps + 1
            )
            if sensitive is not None:
                request.sensitive = sensitive
            started = await call_again(self._holds.StartStep, request, timeout=CALL_TIMEOUT_S)
            self._steps = started.step.seq
        yield started.step
        finish = hold_service_pb2.FinishStepRequest(
            profile=self.profile, fencing_token=self.fencing_token, seq=started.step.seq
        )
        await call_again(self._holds.FinishStep, finish, timeout=CALL_TIMEOUT_S)

    async def checkpoint(
        self, step: str, payload: bytes = b"", *, plan: str | None = None, safe: bool = False
    ) -> None:
        """Store where the workflow stands, replacing its checkpoint before. Durable when this returns.

        `safe=True` vouches that going on from here does no harm, also after a crash. The plan
        is the hold's, unless another is named. At most 256 KiB of `payload`. The hold must
        have a workflow_id. Raises HoldLost, InvalidField.
        """
        request = hold_service_pb2.SaveCheckpointRequest(
            profile=self.profile,
            fencing_token=self.fencing_token,
            workflow_id=self.hold.workflow_id,
            plan=self.hold.plan if plan is None else plan,
            step=step,
            payload=payload,
            safe=safe,
        )
        await call_again(self._holds.SaveCheckpoint, request, timeout=CALL_TIMEOUT_S)

    async def verify(self) -> None:
        """Ask whether the hold is current; says nothing about later. Raises HoldLost when it is not."""
        request = hold_service_pb2.VerifyHoldRequest(profile=self.profile, fencing_token=self.fencing_token)
        await call(self._holds.VerifyHold, request, timeout=CALL_TIMEOUT_S)

    async def disconnect(self) -> None:
        """Close what this end has open under the hold. Idempotent; the hold goes on."""
