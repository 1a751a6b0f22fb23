"""The call being served: its request id, who makes it, and how long it may take.

Context variables, set by the server's wrapper and read wherever the call goes, so
outgoing calls and log lines carry them on without every function passing them along.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, MutableMapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from tenure import request_id
from tenure.errors import PermissionDenied, Unauthenticated

REQUEST_ID_KEY = "tenure-request-id"
TENANT_KEY = "tenure-tenant"
SUBJECT_KEY = "tenure-subject"
ROLES_KEY = "tenure-roles"

_SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True, slots=True)
class Identity:
    """Who makes a call: a subject of a tenant, with any of the roles worker, reviewer, admin."""

    tenant: str
    subject: str
    roles: tuple[str, ...]

    def metadata(self) -> list[tuple[str, str]]:
        """Return the metadata in which services tell each other who the caller is."""
        return [
            (TENANT_KEY, self.tenant),
            (SUBJECT_KEY, self.subject),
            (ROLES_KEY, ",".join(self.roles)),
        ]


DEV_IDENTITY = Identity(tenant="default", subject="dev", roles=("worker", "reviewer", "admin"))

_request_id: ContextVar[str] = ContextVar("request_id", default="")
_method: ContextVar[str] = ContextVar("method", default="")
_identity: ContextVar[Identity | None] = ContextVar("identity", default=None)
_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)


def current_request_id() -> str:
    """Return the id under which this call is logged everywhere; "" outside of any call."""
    return _request_id.get()


def current_identity() -> Identity:
    """Return who makes the call being served. Raises Unauthenticated outside of any call."""
    identity = _identity.get()
    if identity is None:
        raise Unauthenticated
    return identity


def require_role(role: str) -> Identity:
    """Return who makes the call being served. Raises PermissionDenied when that one has not the role."""
    identity = current_identity()
    if role not in identity.roles:
        raise PermissionDenied(f"This credential may not do that: it needs the role '{role}'.")
    return identity


def remaining_s() -> float | None:
    """Return how long the call being served may still take, in seconds; None is no limit."""
    deadline = _deadline.get()
    if deadline is None:
        return None
    return max(0.0, deadline - asyncio.get_running_loop().time())


def outgoing_metadata(own: Identity) -> list[tuple[str, str]]:
    """Return what an outgoing call carries on; `own` is the service's identity outside of calls."""
    identity = _identity.get() or own
    return [(REQUEST_ID_KEY, _request_id.get() or request_id.mint()), *identity.metadata()]


def begin(metadata: Mapping[str, str], method: str = "") -> str:
    """Take the request id of a call of `method` from its metadata, or mint one; answers it."""
    sent = metadata.get(REQUEST_ID_KEY, "")
    taken = sent if _SANE_REQUEST_ID.fullmatch(sent) else request_id.mint()
    _request_id.set(taken)
    _method.set(method)
    return taken


def add_to_log(logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Say in a log line, as a processor of structlog's, which call it is about."""
    del logger, method
    if _request_id.get():
        event.setdefault("request_id", _request_id.get())
        if _method.get():
            event.setdefault("method", _method.get())
    return event


def identify(identity: Identity) -> None:
    """Note who makes the call being served."""
    _identity.set(identity)


def limit(seconds: float | None) -> None:
    """Note how long the call being served may take from now."""
    _deadline.set(None if seconds is None else asyncio.get_running_loop().time() + seconds)


# --- ways to learn who calls -----------------------------------------------------------


def development_identity(metadata: Mapping[str, str]) -> Identity:
    """Everybody who can reach a loopback address is the developer, whatever they claim."""
    del metadata
    return DEV_IDENTITY


def forwarded_identity(metadata: Mapping[str, str]) -> Identity:
    """Believe the calling service. Only safe where none but our services can connect.

    Raises Unauthenticated when the metadata names nobody.
    """
    try:
        tenant, subject = metadata[TENANT_KEY], metadata[SUBJECT_KEY]
    except KeyError:
        raise Unauthenticated(
            "This service is called through the gateway, which says who the caller is."
        ) from None
    return Identity(tenant, subject, tuple(filter(None, metadata.get(ROLES_KEY, "").split(","))))
