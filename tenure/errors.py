"""Every failure Tenure can answer, one class a reason, and their one wire form.

TenureError
├── Contended               ABORTED: somebody else has it now; waiting helps
│   ├── ProfileBusy             PROFILE_BUSY
│   └── WaitExpired             WAIT_EXPIRED
├── Refused                 FAILED_PRECONDITION: the same call again will fail again
│   ├── ProfileUnusable
│   │   ├── ProfileQuarantined      PROFILE_QUARANTINED
│   │   ├── ProfileInReview         PROFILE_IN_REVIEW
│   │   ├── ProfileDisabled         PROFILE_DISABLED
│   │   ├── ProfileMissing          PROFILE_MISSING
│   │   ├── ProfileCorrupt          PROFILE_CORRUPT
│   │   └── ResumePending           RESUME_PENDING
│   ├── HoldLost                the caller no longer owns what it acts on: stop working
│   │   ├── TokenSuperseded         TOKEN_SUPERSEDED
│   │   ├── LeaseExpired            LEASE_EXPIRED
│   │   └── HoldRevoked             HOLD_REVOKED
│   ├── CheckpointMismatch      CHECKPOINT_MISMATCH
│   ├── RequestEnded            REQUEST_ENDED
│   ├── DrainRequired           DRAIN_REQUIRED
│   ├── ProxyDown               PROXY_DOWN
│   ├── BrowserMissing          BROWSER_MISSING
│   └── NavigationFailed        NAVIGATION_FAILED
├── Unavailable             UNAVAILABLE: a part of Tenure is away
│   ├── StoreUnavailable        STORE_UNAVAILABLE
│   ├── HostUnreachable         HOST_UNREACHABLE
│   └── OutcomeUnknown          OUTCOME_UNKNOWN
├── Exhausted               RESOURCE_EXHAUSTED: a limit was met
│   ├── QuotaExceeded           QUOTA_EXCEEDED
│   ├── NoRoom                  NO_ROOM
│   └── DiskFull                DISK_FULL
├── InvalidArgument         INVALID_ARGUMENT: names the field, the value and the remedy
│   ├── InvalidId               INVALID_ID
│   ├── InvalidField            INVALID_FIELD
│   └── DeadlineRequired        DEADLINE_REQUIRED
├── Denied                  PERMISSION_DENIED
│   ├── PermissionDenied        PERMISSION_DENIED
│   └── CdpMethodDenied         CDP_METHOD_DENIED
├── Unauthenticated         UNAUTHENTICATED
├── NotFound                NOT_FOUND
├── Unimplemented           UNIMPLEMENTED
├── BrowserCrashed          INTERNAL, BROWSER_CRASHED
└── Internal                INTERNAL

An error carries fields, named as the ErrorInfo.metadata keys that the comments of
`tenure/v1/error_reason.proto` list; its text is made from them, or given. On the wire it is a
`google.rpc.Status` with one ErrorInfo (reason, domain, the fields as metadata) and,
where a time to wait is known, one RetryInfo. Services and SDK share this module, so an
error raised in a service arrives at the client as the same class with the same fields.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, field, fields
from typing import Any, ClassVar

import grpc
import grpc.aio
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

DOMAIN = "tenure.dev"
STATUS_DETAILS_KEY = "grpc-status-details-bin"

_OWN_FIELDS = frozenset({"message", "metadata", "retry_after_s"})


@dataclass(eq=False)
class TenureError(Exception):
    """Base of every documented failure. Raise a subclass, never this one.

    `message` replaces the text made from the fields. `metadata` holds what has no field
    of its own. `retry_after_s` (seconds) becomes RetryInfo.
    """

    message: str = ""
    _: KW_ONLY
    metadata: Mapping[str, str] = field(default_factory=dict)
    retry_after_s: float | None = None

    reason: ClassVar[str] = "INTERNAL"
    code: ClassVar[grpc.StatusCode] = grpc.StatusCode.INTERNAL
    text: ClassVar[str] = "Something failed inside Tenure."

    def __str__(self) -> str:
        return self.message or self.text.format_map(vars(self))

    def to_status(self) -> Status:
        """Return the wire form; `from_status` gives the same error back."""
        metadata = dict(self.metadata)
        for name in _field_names(type(self)):
            value = getattr(self, name)
            if value not in ("", 0, None):
                metadata[name] = str(value)
        status = Status(code=self.code.value[0], message=str(self))
        status.details.add().Pack(ErrorInfo(reason=self.reason, domain=DOMAIN, metadata=metadata))
        if self.retry_after_s is not None:
            delay = Duration()
            delay.FromNanoseconds(round(self.retry_after_s * 1e9))
            status.details.add().Pack(RetryInfo(retry_delay=delay))
        return status


# --- ABORTED ---------------------------------------------------------------------------


class Contended(TenureError):
    """Somebody else has the profile now. Waiting, or another profile, helps."""

    code = grpc.StatusCode.ABORTED


@dataclass(eq=False, kw_only=True)
class ProfileBusy(Contended):
    """`profile` is the id as the caller sent it; `position` counts from 1, 0 = not queued."""

    reason = "PROFILE_BUSY"
    text = (
        "profile_id '{profile}' is busy; held by run_id='{holder_run_id}'. "
        "Use a different profile_id or wait for the existing run to finish."
    )
    profile: str
    holder_run_id: str
    state: str = ""
    position: int = 0


@dataclass(eq=False, kw_only=True)
class WaitExpired(Contended):
    """The wait ended without a grant and the place in the queue is gone."""

    reason = "WAIT_EXPIRED"
    text = (
        "profile_id '{profile}' was not free within {wait_s:g} s; held by "
        "run_id='{holder_run_id}'. Wait longer, with a new request_id, or use a different profile_id."
    )
    profile: str
    holder_run_id: str = ""
    wait_s: float = 0.0
    state: str = ""
    position: int = 0


# --- FAILED_PRECONDITION ---------------------------------------------------------------


class Refused(TenureError):
    """The same call will fail again until something else has happened."""

    code = grpc.StatusCode.FAILED_PRECONDITION


@dataclass(eq=False, kw_only=True)
class ProfileUnusable(Refused):
    """The profile is free of a holder and yet must not be opened."""

    profile: str


@dataclass(eq=False, kw_only=True)
class ProfileQuarantined(ProfileUnusable):
    """An incident is being looked at; its decision frees the profile or asks a person."""

    reason = "PROFILE_QUARANTINED"
    text = (
        "profile_id '{profile}' is quarantined: its last hold ended without a release and "
        "the profile is being inspected. Wait for the decision, or use a different profile_id."
    )
    state: str = ""
    incident: str = ""


@dataclass(eq=False, kw_only=True)
class ProfileInReview(ProfileUnusable):
    """A person must decide."""

    reason = "PROFILE_IN_REVIEW"
    text = "profile_id '{profile}' waits for a person's review. Use a different profile_id."
    incident: str = ""


@dataclass(eq=False, kw_only=True)
class ProfileDisabled(ProfileUnusable):
    """An administrator, or a verdict, took the profile out of service."""

    reason = "PROFILE_DISABLED"
    text = "profile_id '{profile}' is disabled. An administrator can enable it again."


@dataclass(eq=False, kw_only=True)
class ProfileMissing(ProfileUnusable):
    """A used profile's directory is gone from its home host: never a silent fresh start."""

    reason = "PROFILE_MISSING"
    text = (
        "profile_id '{profile}' was used before but its directory is missing on host "
        "'{host}'. Restore the directory; a fresh one is never made in its place."
    )
    host: str = ""


@dataclass(eq=False, kw_only=True)
class ProfileCorrupt(ProfileUnusable):
    """Inspection found damage that a start of Chrome would make worse."""

    reason = "PROFILE_CORRUPT"
    text = "profile_id '{profile}' was not started: {finding}. A person must look at it."
    finding: str = ""


@dataclass(eq=False, kw_only=True)
class ResumePending(ProfileUnusable):
    """The profile is kept for the workflow whose checkpoint it carries."""

    reason = "RESUME_PENDING"
    text = (
        "profile_id '{profile}' is kept for workflow_id='{workflow_id}' to resume. "
        "Open it with that workflow_id, or use a different profile_id."
    )
    workflow_id: str = ""


class HoldLost(Refused):
    """The caller no longer owns what it acts on. It must stop its work at once."""


@dataclass(eq=False, kw_only=True)
class TokenSuperseded(HoldLost):
    """The fencing token is not, or no longer, the profile's current one."""

    reason = "TOKEN_SUPERSEDED"
    text = (
        "fencing_token {token} of profile_id '{profile}' is not the current one. "
        "The hold is over: stop working with it and open the profile again."
    )
    profile: str = ""
    token: int = 0


@dataclass(eq=False, kw_only=True)
class LeaseExpired(HoldLost):
    """The worker's lease ran out; its id is never used again."""

    reason = "LEASE_EXPIRED"
    text = "The lease of worker '{worker}' has ended. Stop its work and register a new worker."
    worker: str = ""


@dataclass(eq=False, kw_only=True)
class HoldRevoked(HoldLost):
    """An operator, or a limit, ended the hold; an incident decides what becomes of it."""

    reason = "HOLD_REVOKED"
    text = "The hold {token} on profile_id '{profile}' was revoked. Stop its work."
    profile: str = ""
    token: int = 0


@dataclass(eq=False, kw_only=True)
class CheckpointMismatch(Refused):
    """A checkpoint exists but belongs to another plan, proxy or profile generation."""

    reason = "CHECKPOINT_MISMATCH"
    text = (
        "The checkpoint of workflow_id='{workflow_id}' does not fit this request: {problem}. "
        "Send the plan it was written under, or resume_state=false to start over."
    )
    profile: str = ""
    workflow_id: str = ""
    problem: str = "it was written under another"


@dataclass(eq=False, kw_only=True)
class RequestEnded(Refused):
    """What this request id named is over; a request id never gives a second hold."""

    reason = "REQUEST_ENDED"
    text = "request_id '{request_id}' is over. Send a new request_id for a new hold."
    request_id: str = ""


@dataclass(eq=False, kw_only=True)
class DrainRequired(Refused):
    """A release that did not come through the profile's host, which may still serve the token."""

    reason = "DRAIN_REQUIRED"
    text = (
        "{profile} lives on {home}, which must be drained of token {token} before the hold is released. "
        "Call ReleaseHold, CloseSession or CancelWait at the gateway."
    )
    profile: str = ""
    home: str = ""
    token: int = 0


@dataclass(eq=False, kw_only=True)
class ProxyDown(Refused):
    """The proxy asked for is unknown or does not answer: never opened without it."""

    reason = "PROXY_DOWN"
    text = "proxy '{proxy_key}' is not usable: {problem}. Choose another or disable the proxy."
    proxy_key: str = ""
    problem: str = "unknown or not answering"


@dataclass(eq=False, kw_only=True)
class BrowserMissing(Refused):
    """The host has no Chrome, or not what Chrome needs."""

    reason = "BROWSER_MISSING"
    text = "The host cannot start a browser: {program} is missing. Run `tenure doctor` there."
    program: str = "chromium"


@dataclass(eq=False, kw_only=True)
class BrowserOutdated(Refused):
    """The host's Chrome is older than the one that drove the profile last, and would damage it."""

    reason = "BROWSER_OUTDATED"
    text = (
        "{profile} was last driven by Chrome {last_version}, and {host} has {version}, which would damage "
        "it. Upgrade Chrome there, or move the profile to a host that has it."
    )
    profile: str = ""
    last_version: str = ""
    version: str = ""
    host: str = ""


@dataclass(eq=False, kw_only=True)
class ConfigUnmet(Refused):
    """The host lacks what the profile's browser configuration asks for."""

    reason = "CONFIG_UNMET"
    text = "{host} lacks {lacking}, which the browser configuration of {profile} asks for. Install it there."
    profile: str = ""
    host: str = ""
    lacking: str = ""


@dataclass(eq=False, kw_only=True)
class NavigationFailed(Refused):
    """The browser is sound but the start URL did not load."""

    reason = "NAVIGATION_FAILED"
    text = "start_url '{url}' did not load: {error}."
    url: str = ""
    error: str = "no answer"


# --- UNAVAILABLE -----------------------------------------------------------------------


class Unavailable(TenureError):
    """A part of Tenure is away. It is safe to try again, later."""

    code = grpc.StatusCode.UNAVAILABLE


@dataclass(eq=False, kw_only=True)
class StoreUnavailable(Unavailable):
    """etcd does not answer, and nothing was changed."""

    reason = "STORE_UNAVAILABLE"
    text = "The store (etcd) does not answer; nothing was changed. Try again shortly."


@dataclass(eq=False, kw_only=True)
class HostUnreachable(Unavailable):
    """The profile's home host does not answer, or there is none."""

    reason = "HOST_UNREACHABLE"
    text = "host '{host}' does not answer. Try again; the profile stays where it is."
    host: str = ""


@dataclass(eq=False, kw_only=True)
class OutcomeUnknown(Unavailable):
    """The call may or may not have taken effect: repeat only with the same request_id."""

    reason = "OUTCOME_UNKNOWN"
    text = "It is not known whether the call took effect. Repeat it with the same request_id."
    request_id: str = ""


# --- RESOURCE_EXHAUSTED ----------------------------------------------------------------


class Exhausted(TenureError):
    """A limit was met."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED


@dataclass(eq=False, kw_only=True)
class QuotaExceeded(Exhausted):
    """A limit of the tenant, the worker or the service; `value` is how much it allows."""

    reason = "QUOTA_EXCEEDED"
    text = "The limit '{limit}' is reached."
    limit: str = ""
    value: int = 0


@dataclass(eq=False, kw_only=True)
class NoRoom(Exhausted):
    """No host can take one more browser now."""

    reason = "NO_ROOM"
    text = "No host has room for another browser now. Try again when a session has ended."


@dataclass(eq=False, kw_only=True)
class DiskFull(Exhausted):
    """The host's disk is full, and nothing was started or written over."""

    reason = "DISK_FULL"
    text = "The host's disk is too full at '{path}'. Free space there and try again."
    path: str = ""
    free_bytes: int = 0


# --- INVALID_ARGUMENT ------------------------------------------------------------------


@dataclass(eq=False, kw_only=True)
class InvalidArgument(TenureError):
    """The request can never succeed as sent, and nothing was changed.

    `field` is the path of the field in the request, `value` what was sent (shortened),
    `problem` and `remedy` are clauses without a full stop.
    """

    code = grpc.StatusCode.INVALID_ARGUMENT
    text = "{field} '{value}' {problem}; {remedy}."
    field: str
    value: str = ""
    problem: str = "is not valid"
    remedy: str = "see the field's comment in the API"

    def __post_init__(self) -> None:
        if len(self.value) > 80:
            self.value = self.value[:77] + "..."


@dataclass(eq=False, kw_only=True)
class InvalidId(InvalidArgument):
    """An id, or a resource name, that does not follow the rules of `tenure.names`."""

    reason = "INVALID_ID"


@dataclass(eq=False, kw_only=True)
class InvalidField(InvalidArgument):
    """A field, or a combination of fields, that is not allowed."""

    reason = "INVALID_FIELD"


@dataclass(eq=False, kw_only=True)
class DeadlineRequired(TenureError):
    """A service called another one without a deadline: a bug in the caller."""

    reason = "DEADLINE_REQUIRED"
    code = grpc.StatusCode.INVALID_ARGUMENT
    text = "{method} needs a deadline between services; the caller set none."
    method: str = ""


# --- others ----------------------------------------------------------------------------


class Denied(TenureError):
    """The caller is known and may not do this."""

    code = grpc.StatusCode.PERMISSION_DENIED


@dataclass(eq=False, kw_only=True)
class PermissionDenied(Denied):
    """Never tells whether what was named exists."""

    reason = "PERMISSION_DENIED"
    text = "This credential may not do that."


@dataclass(eq=False, kw_only=True)
class CdpMethodDenied(Denied):
    """The session's policy refuses a DevTools method, or an argument of it."""

    reason = "CDP_METHOD_DENIED"
    text = "{method} is refused by the session's policy: {problem}."
    method: str = ""
    problem: str = "not allowed"


@dataclass(eq=False, kw_only=True)
class Unauthenticated(TenureError):
    """No credential, or one that is not valid."""

    reason = "UNAUTHENTICATED"
    code = grpc.StatusCode.UNAUTHENTICATED
    text = "This call needs a valid credential."


@dataclass(eq=False, kw_only=True)
class NotFound(TenureError):
    """A session, profile, worker or other resource that does not exist (any more)."""

    reason = "NOT_FOUND"
    code = grpc.StatusCode.NOT_FOUND
    text = "'{name}' does not exist."
    name: str = ""


@dataclass(eq=False, kw_only=True)
class Unimplemented(TenureError):
    """A method of the API that this version does not serve yet."""

    reason = "UNIMPLEMENTED"
    code = grpc.StatusCode.UNIMPLEMENTED
    text = "{method} is part of the API but this version of Tenure does not serve it yet."
    method: str = ""


@dataclass(eq=False, kw_only=True)
class BrowserCrashed(TenureError):
    """The browser ended by itself, or stopped answering."""

    reason = "BROWSER_CRASHED"
    text = "The browser of profile_id '{profile}' ended unexpectedly: {problem}."
    profile: str = ""
    problem: str = "no further detail"


@dataclass(eq=False, kw_only=True)
class Internal(TenureError):
    """A fault of Tenure's; its log has more under the request id."""

    text = "Something failed inside Tenure; its log has more under request_id '{request_id}'."
    request_id: str = ""


# --- the way back from the wire --------------------------------------------------------


def from_status(status: Status) -> TenureError:
    """Return the error a service raised, with its fields.

    A reason this version does not know gives the generic error of its status code, with
    the reason kept in `metadata["reason"]`.
    """
    info, retry_after_s = ErrorInfo(), None
    for detail in status.details:
        if detail.Is(ErrorInfo.DESCRIPTOR):
            detail.Unpack(info)
        elif detail.Is(RetryInfo.DESCRIPTOR):
            retry = RetryInfo()
            detail.Unpack(retry)
            retry_after_s = retry.retry_delay.ToNanoseconds() / 1e9
    kind = BY_REASON.get(info.reason) if info.domain == DOMAIN else None
    if kind is None:
        return _from_code(status, info)
    metadata = dict(info.metadata)
    values = {name: _parse(kind, name, metadata.pop(name, "")) for name in _field_names(kind)}
    error: TenureError = kind(
        message=status.message, metadata=metadata, retry_after_s=retry_after_s, **values
    )
    return error


def from_rpc_error(error: grpc.aio.AioRpcError) -> TenureError:
    """Return what a failed call means, also when no Tenure service answered at all.

    A call that broke off (UNAVAILABLE, DEADLINE_EXCEEDED, CANCELLED, UNKNOWN without
    details) is OUTCOME_UNKNOWN: gRPC does not say whether the other side acted on it.
    """
    for key, value in error.trailing_metadata() or ():
        if key == STATUS_DETAILS_KEY and isinstance(value, bytes):
            return from_status(Status.FromString(value))
    status = Status(code=error.code().value[0], message=error.details() or error.code().name)
    return _from_code(status, ErrorInfo())


def _from_code(status: Status, info: ErrorInfo) -> TenureError:
    code = _CODES.get(status.code, grpc.StatusCode.UNKNOWN)
    metadata = {**info.metadata, "grpc_code": code.name}
    if info.reason:
        metadata["reason"] = info.reason
    if code is grpc.StatusCode.INVALID_ARGUMENT:
        return InvalidField(message=status.message, metadata=metadata, field="")
    kind = _BY_CODE.get(code, Internal)
    if kind is OutcomeUnknown:
        said = f"The service gave no clear answer ({status.message}). {OutcomeUnknown.text}"
        return OutcomeUnknown(message=said, metadata=metadata)
    return kind(message=status.message, metadata=metadata)


def _field_names(kind: type[TenureError]) -> list[str]:
    return [f.name for f in fields(kind) if f.name not in _OWN_FIELDS]


def _parse(kind: type[TenureError], name: str, text: str) -> Any:
    """A field's value from its metadata string; one that does not parse counts as absent."""
    # Annotations are strings here (PEP 563), and only these three types are in use.
    annotation = next(f.type for f in fields(kind) if f.name == name)
    try:
        if annotation == "int":
            return int(text or 0)
        if annotation == "float":
            return float(text or 0)
    except ValueError:
        return 0
    return text


def _leaves(kind: type[TenureError]) -> Iterator[type[TenureError]]:
    for child in kind.__subclasses__():
        yield child
        yield from _leaves(child)


BY_REASON: Mapping[str, type[TenureError]] = {
    **{kind.reason: kind for kind in _leaves(TenureError) if "reason" in vars(kind)},
    Internal.reason: Internal,
}

_CODES = {code.value[0]: code for code in grpc.StatusCode}

_BY_CODE: Mapping[grpc.StatusCode, type[TenureError]] = {
    grpc.StatusCode.ABORTED: Contended,
    grpc.StatusCode.FAILED_PRECONDITION: Refused,
    grpc.StatusCode.UNAVAILABLE: OutcomeUnknown,
    grpc.StatusCode.DEADLINE_EXCEEDED: OutcomeUnknown,
    grpc.StatusCode.CANCELLED: OutcomeUnknown,
    grpc.StatusCode.UNKNOWN: OutcomeUnknown,
    grpc.StatusCode.RESOURCE_EXHAUSTED: QuotaExceeded,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.UNIMPLEMENTED: Unimplemented,
}
