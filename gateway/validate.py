"""An OpenSessionRequest, checked whole before anything happens, as one plan. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from gateway import fields, limits
from tenure import names, request_id, token
from tenure.errors import InvalidField
from tenure.names import ProfileName
from tenure.v1.session_service_pb2 import OpenSessionRequest


@dataclass(frozen=True, slots=True)
class OpenPlan:
    """What one OpenSession is to do. Times in seconds; names canonical."""

    profile: ProfileName
    # As the caller wrote it: the lock service keeps an id's first spelling.
    profile_text: str
    start_url: str
    proxy_key: str
    reuse_session: bool | None
    # `workers/{worker}`; "" for an implicit worker of `lease_ttl_s`.
    worker: str
    lease_ttl_s: float
    # 0 acquires; otherwise the hold to open under.
    fencing_token: int
    # Canonical; minted when the caller sent none, who then cannot repeat the request.
    request_id: str
    minted: bool
    run_id: str
    workflow_id: str
    resume_state: bool
    wait_s: float
    max_runtime_s: float | None
    restartable: bool
    # The caller's own name for the steps that the run follows; "" for none.
    plan: str


def plan_open(request: OpenSessionRequest, tenant: str) -> OpenPlan:
    """Return the plan of a request of `tenant`.

    Raises InvalidId, InvalidField or PermissionDenied. Changes nothing (a minted request
    id is not known to anyone yet).
    """
    profile, workflow = _profile_and_workflow(request)
    _check_who(request)
    return OpenPlan(
        profile=names.resolve_profile(profile, tenant),
        profile_text=profile,
        start_url=fields.start_url(request.start_url),
        proxy_key=fields.proxy_key(request.proxy),
        reuse_session=request.reuse_session if request.HasField("reuse_session") else None,
        worker=f"workers/{names.worker_id(request.worker)}" if request.worker else "",
        lease_ttl_s=_lease_ttl(request),
        fencing_token=token.check(request.fencing_token) if request.fencing_token else 0,
        request_id=request_id.parse(request.request_id) if request.request_id else request_id.mint(),
        minted=not request.request_id,
        run_id=fields.run_id(request.run_id),
        workflow_id=names.canonical_id(workflow, "workflow_id") if workflow else "",
        resume_state=request.resume_state,
        wait_s=fields.seconds(request.wait, "wait", 0, limits.MAX_WAIT_S),
        max_runtime_s=fields.seconds(request.max_runtime, "max_runtime", 1, limits.MAX_RUNTIME_S)
        if request.HasField("max_runtime")
        else None,
        restartable=request.restartable,
        plan=fields.plan(request.plan),
    )


def _profile_and_workflow(request: OpenSessionRequest) -> tuple[str, str]:
    """The legacy state_key stands for both, and is never mixed with the split fields."""
    if not request.state_key:
        return request.profile, request.workflow_id
    if request.profile or request.workflow_id:
        raise InvalidField(
            field="state_key",
            value=request.state_key,
            problem="came together with profile or workflow_id",
            remedy="send profile and workflow_id only; state_key is deprecated",
        )
    return request.state_key, request.state_key


def _check_who(request: OpenSessionRequest) -> None:
    """A hold's worker is known from one place: the token, the worker, or none (implicit)."""
    if request.worker and request.HasField("lease_ttl"):
        raise InvalidField(
            field="lease_ttl",
            value=f"{request.lease_ttl.seconds}s",
            problem="came together with worker",
            remedy="leave it out: the worker named has its own lease",
        )
    if request.keep_page:
        raise InvalidField(
            field="keep_page",
            value="true",
            problem="is not served yet: what a worker left in a page is never handed on",
            remedy="leave it out, and send the address as start_url",
        )
    if not request.fencing_token:
        return
    own = {
        "worker": bool(request.worker),
        "lease_ttl": request.HasField("lease_ttl"),
        "wait": request.HasField("wait"),
        "max_runtime": request.HasField("max_runtime"),
        "run_id": bool(request.run_id),
        "restartable": request.restartable,
        "plan": bool(request.plan),
    }
    for name in (name for name, sent in own.items() if sent):
        raise InvalidField(
            field=name,
            problem="came together with fencing_token",
            remedy="leave it out: the hold has its own",
        )


def _lease_ttl(request: OpenSessionRequest) -> float:
    if not request.HasField("lease_ttl"):
        return limits.DEFAULT_LEASE_TTL_S
    return fields.seconds(request.lease_ttl, "lease_ttl", limits.MIN_LEASE_TTL_S, limits.MAX_LEASE_TTL_S)
