"""One OpenSession: a worker, a hold, a browser; and what becomes of them when it fails.

What is undone: a hold and an implicit worker that *this* call got, when the call has
failed for certain, so that nothing stays held. What is not: after an unclear outcome
(OUTCOME_UNKNOWN) the hold is left, because the browser may be open; the same request_id
finds it again. A caller who went away and cannot repeat the request, because its id was
minted here, is cleaned up after too.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine

import structlog
from google.protobuf.duration_pb2 import Duration

from gateway.backends import Backends
from gateway.release import Releaser
from gateway.validate import OpenPlan
from gateway.workers import ImplicitWorkers
from servicekit import call
from tenure.errors import (
    InvalidField,
    LeaseExpired,
    NotFound,
    OutcomeUnknown,
    RequestEnded,
    TenureError,
)
from tenure.internal.v1.browser_host_service_pb2 import OpenBrowserRequest, OpenBrowserResponse
from tenure.internal.v1.lock_service_pb2 import (
    AcquireForSessionRequest,
    AcquireForSessionResponse,
    LocateProfileResponse,
)
from tenure.v1.hold_pb2 import Checkpoint, Hold, HoldOrigin, RunResult
from tenure.v1.hold_service_pb2 import (
    AcquireHoldRequest,
    CancelWaitRequest,
    GetCheckpointRequest,
    VerifyHoldRequest,
)
from tenure.v1.session_pb2 import PhaseTiming
from tenure.v1.session_service_pb2 import OpenSessionResponse

# How long the clean-up after a failure may take, whatever the caller's deadline left.
UNDO_S = 20.0

Found = AcquireForSessionResponse | LocateProfileResponse
"""What tells where a profile is at home, and how its browser looks."""

_log = structlog.get_logger("opening")


class Opening:
    """One OpenSession under way. Use it once."""

    def __init__(
        self, backends: Backends, workers: ImplicitWorkers, releaser: Releaser, plan: OpenPlan
    ) -> None:
        self._backends = backends
        self._workers = workers
        self._releaser = releaser
        self._plan = plan
        self._worker = plan.worker
        self._registered = False
        self._unanswered = False
        self._acquired: Hold | None = None
        self._checkpoint: Checkpoint | None = None
        self._started = time.monotonic()

    async def run(self) -> OpenSessionResponse:
        """Open, or leave nothing behind. Raises what OpenSession documents."""
        with self._workers.asked_by(self._plan):
            return await self._open_or_undo()

    async def _open_or_undo(self) -> OpenSessionResponse:
        try:
            return await self._run()
        except OutcomeUnknown as error:
            # The id may have been minted here: without it the caller could not ask again.
            error.request_id = self._plan.request_id
            if self._plan.minted and _caller_has_gone():
                await _whole(self._undo())
            raise
        except TenureError:
            await _whole(self._undo())
            raise
        except asyncio.CancelledError:
            if self._plan.minted:
                await _whole(self._undo())
            raise

    async def _run(self) -> OpenSessionResponse:
        plan = self._plan
        found: Found
        if plan.fencing_token:
            found = await self._backends.locate(plan.profile)
            phase, hold = "verify", await self._verify()
        else:
            found = answer = await self._acquire()
            phase, hold = "acquire", answer.hold
        if not hold.home:
            raise InvalidField(
                field="fencing_token",
                value=str(hold.fencing_token),
                problem="is of a hold without a host: the profile never had a browser here",
                remedy="release it, and open without a token",
            )
        got_hold = PhaseTiming(phase=phase)
        got_hold.duration.FromNanoseconds(round((time.monotonic() - self._started) * 1e9))
        opened = await self._open(hold, found)
        return OpenSessionResponse(
            session=opened.session,
            hold=hold,
            reused_session=opened.reused_session,
            prewarmed=opened.prewarmed,
            timings=[got_hold, *opened.timings],
            checkpoint=self._checkpoint,
        )

    async def _verify(self) -> Hold:
        plan = self._plan
        request = VerifyHoldRequest(profile=str(plan.profile), fencing_token=plan.fencing_token)
        hold = (await self._backends.invoke(self._backends.holds.VerifyHold, request)).hold
        resumes = plan.resume_state or hold.origin == HoldOrigin.HOLD_ORIGIN_RESUMED
        if resumes and hold.workflow_id:
            wanted = GetCheckpointRequest(profile=str(plan.profile), workflow_id=hold.workflow_id)
            try:
                found = await self._backends.invoke(self._backends.holds.GetCheckpoint, wanted)
            except NotFound:
                return hold
            self._checkpoint = found.checkpoint
        return hold

    async def _acquire(self) -> AcquireForSessionResponse:
        plan = self._plan
        acquire = AcquireHoldRequest(
            profile=plan.profile_text,
            worker=plan.worker,
            run_id=plan.run_id,
            workflow_id=plan.workflow_id,
            resume_state=plan.resume_state,
            wait=_duration(plan.wait_s),
            request_id=plan.request_id,
            proxy_key=plan.proxy_key,
            restartable=plan.restartable,
            plan=plan.plan,
        )
        if plan.max_runtime_s is not None:
            acquire.max_runtime.CopyFrom(_duration(plan.max_runtime_s))
        # One call: a home that is away is refused before anything is held; it cannot be had elsewhere.
        wanted = AcquireForSessionRequest(acquire=acquire, choose_home=True)
        answer = await (self._ask(wanted) if plan.worker else self._ask_by_implicit(wanted))
        # An earlier copy's hold, whose session may be in use, is not ours to undo. Of a minted id there is no
        # other copy; an older lock service does not say, and is known by naming no hosts.
        if plan.minted or (answer.hosts and not answer.earlier):
            self._acquired = answer.hold
        if answer.HasField("checkpoint"):
            self._checkpoint = answer.checkpoint
        return answer

    async def _ask_by_implicit(self, request: AcquireForSessionRequest) -> AcquireForSessionResponse:
        """Ask by the request's own worker. Raises RequestEnded when that one is dead: so is its request."""
        self._worker, self._registered = await self._workers.of(self._plan)
        while True:
            request.acquire.worker = self._worker
            try:
                return await self._ask(request)
            except LeaseExpired:
                # Unless another copy that acquired nothing gave it up meanwhile; then there is a new one.
                worker, registered = await self._workers.of(self._plan)
                if worker == self._worker:
                    raise RequestEnded(request_id=self._plan.request_id) from None
                self._worker, self._registered = worker, registered

    async def _ask(self, request: AcquireForSessionRequest) -> AcquireForSessionResponse:
        self._unanswered = True
        try:
            answer = await self._backends.invoke(self._backends.lock.AcquireForSession, request)
        except OutcomeUnknown:
            raise
        except TenureError:
            self._unanswered = False
            raise
        self._unanswered = False
        return answer

    async def _open(self, hold: Hold, found: Found) -> OpenBrowserResponse:
        plan = self._plan
        request = OpenBrowserRequest(
            profile=str(plan.profile),
            fencing_token=hold.fencing_token,
            start_url=plan.start_url,
            proxy_key=plan.proxy_key,
            reuse_session=plan.reuse_session,
            config_generation=found.config_generation,
        )
        if found.HasField("config"):
            request.config.CopyFrom(found.config)
        host = self._backends.host_among(found.hosts, hold.home)
        return await self._backends.invoke(host.OpenBrowser, request)

    async def _undo(self) -> None:
        """Let go of what this call got. Bounded; what fails is left to the lease's end."""
        call.limit(UNDO_S)
        try:
            if self._acquired is not None:
                await self._releaser.release(
                    self._plan.profile,
                    self._acquired.fencing_token,
                    RunResult.RUN_RESULT_FAILED_UNTOUCHED,
                )
            elif self._unanswered:
                # Whatever became, or will become, of the Acquire: nobody can ask for it again.
                cancel = CancelWaitRequest(
                    profile=str(self._plan.profile),
                    worker=self._worker,
                    request_id=self._plan.request_id,
                )
                await self._releaser.cancel(cancel, self._plan.profile)
            if self._registered and (self._acquired is not None or self._unanswered):
                await self._workers.end(self._plan, self._worker)
            elif self._registered:
                await self._workers.forget(self._plan, self._worker)
        except TenureError as error:
            _log.warning("could not undo", profile=str(self._plan.profile), why=str(error))


def _caller_has_gone() -> bool:
    """Whether the deadline is over: what is answered now reaches nobody."""
    remaining = call.remaining_s()
    return remaining is not None and remaining < 0.05


async def _whole(undo: Coroutine[None, None, None]) -> None:
    """Run it to its end also when this call is cancelled meanwhile, as its deadline does."""
    task = asyncio.ensure_future(undo)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromNanoseconds(round(seconds * 1e9))
    return duration
