"""From the API's requests about holds to what the lock service's core asks and tells."""

from __future__ import annotations

from typing import NamedTuple

from lockservice import fields
from lockservice.core.release import Ending, Result
from lockservice.core.stored import Ask
from servicekit.call import Identity
from tenure import request_id, token
from tenure.errors import InvalidField
from tenure.names import ProfileName, worker_id
from tenure.v1.hold_service_pb2 import AcquireHoldRequest, ReleaseHoldRequest, TransferHoldRequest
from tenure.value import value

MAX_PROXY_KEY = 256
MAX_PLAN = 256


@value
class Acquire:
    """A checked AcquireHold."""

    profile: ProfileName
    ask: Ask
    wait_s: float
    resume_state: bool


class Release(NamedTuple):
    """A checked ReleaseHold."""

    profile: ProfileName
    ending: Ending


class Transfer(NamedTuple):
    """A checked TransferHold."""

    profile: ProfileName
    token: int
    heir: Ask
    reason: str


def acquire(request: AcquireHoldRequest, identity: Identity, home: str = "") -> Acquire:
    """Check a request. Raises InvalidId, InvalidField, PermissionDenied."""
    profile = fields.profile(request.profile, identity)
    number = request_id.parse(request.request_id) if request.request_id else request_id.mint()
    # What is not there is not even looked at: each look makes a message.
    wait_ms = fields.duration_ms(request.wait, True, "wait", default=0) if request.HasField("wait") else 0
    runtime_ms = fields.HOUR_MS
    if request.HasField("max_runtime"):
        runtime_ms = fields.duration_ms(request.max_runtime, True, "max_runtime", default=0, low=1)
    ask = Ask(
        request_id=number,
        worker=worker_id(request.worker),
        run_id=fields.text(request.run_id, "run_id") or number,
        as_sent=fields.spelling(request.profile, profile),
        max_runtime_ms=runtime_ms,
        workflow_id=fields.workflow(request.workflow_id, required=request.resume_state),
        proxy_key=fields.text(request.proxy_key, "proxy_key", longest=MAX_PROXY_KEY),
        plan=fields.text(request.plan, "plan", longest=MAX_PLAN),
        restartable=request.restartable,
        home_hint=home,
    )
    return Acquire(profile, ask, wait_ms / 1000, request.resume_state)


def acquire_at_once(request: AcquireHoldRequest, identity: Identity) -> Acquire:
    """Check a request among many, none of which may wait. Raises as `acquire`."""
    wanted = acquire(request, identity)
    if wanted.wait_s:
        raise InvalidField(
            field="wait",
            value=f"{wanted.wait_s:g}s",
            problem="is not for many at once: two callers could wait for each other",
            remedy="leave it out, or wait with AcquireHold",
        )
    return wanted


def release(
    request: ReleaseHoldRequest,
    identity: Identity,
    *,
    drained: bool = False,
    used: bool = False,
    flushed_ms: int = 0,
) -> Release:
    """Check a request. Raises InvalidId, InvalidField, PermissionDenied."""
    profile = fields.profile(request.profile, identity)
    try:
        result = Result(int(request.result) or 1)
    except ValueError:
        raise InvalidField(
            field="result",
            value=str(int(request.result)),
            problem="is not a RunResult",
            remedy="send SUCCEEDED, FAILED_UNTOUCHED or NEEDS_REVIEW",
        ) from None
    number = token.check(request.fencing_token)
    ending = Ending(token=number, result=result, drained=drained, used=used, flushed_ms=flushed_ms)
    return Release(profile, ending)


def transfer(request: TransferHoldRequest, identity: Identity) -> Transfer:
    """Check a request. Raises InvalidId, InvalidField, PermissionDenied."""
    profile = fields.profile(request.profile, identity)
    number = request_id.parse(request.request_id)
    ask = Ask(
        request_id=number,
        worker=worker_id(request.to_worker, "to_worker"),
        run_id=fields.text(request.run_id, "run_id") or number,
        as_sent=fields.spelling(request.profile, profile),
        max_runtime_ms=fields.HOUR_MS,
    )
    reason = fields.text(request.reason, "reason", longest=fields.MAX_REASON)
    return Transfer(profile, token.check(request.fencing_token), ask, reason)
