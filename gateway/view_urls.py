"""IssueViewUrl: an address where a person sees a session, and may drive it."""

from __future__ import annotations

import math
from typing import Any

import grpc.aio

from gateway.backends import Backends, repeatable
from gateway.views import view_url
from servicekit.call import current_identity
from tenure import names, token
from tenure.errors import InvalidField, NotFound, PermissionDenied
from tenure.internal.v1.browser_host_service_pb2 import AddressKind, IssueAddressRequest
from tenure.v1.session_service_pb2 import IssueViewUrlRequest, IssueViewUrlResponse
from tenure.v1.session_service_pb2_grpc import SessionServiceServicer

TTL_S = 60
LONGEST_TTL_S = 3600
LOOKERS = frozenset({"reviewer", "admin"})
"""Who may look without the hold's token."""

Context = grpc.aio.ServicerContext[Any, Any]


class ViewUrls(SessionServiceServicer):
    """The part of SessionService that is for people's eyes."""

    _backends: Backends
    _http: str
    """The HTTP side's address."""

    async def IssueViewUrl(self, request: IssueViewUrlRequest, context: Context) -> IssueViewUrlResponse:
        identity = current_identity()
        name = names.resolve_session(request.session, identity.tenant)
        if request.control or request.fencing_token:
            if token.check(request.fencing_token) != name.fencing_token:
                raise InvalidField(
                    field="fencing_token",
                    value=str(request.fencing_token),
                    problem=f"is not the token of {name}",
                    remedy="send the token of the hold that the session was opened under",
                )
        elif not LOOKERS.intersection(identity.roles):
            raise PermissionDenied(
                f"Looking at {name} needs its hold's token, or one of the roles {', '.join(sorted(LOOKERS))}."
            )
        located = await self._backends.locate(name.profile)
        if not located.home:
            raise NotFound(name=str(name))
        kind = AddressKind.ADDRESS_KIND_CONTROL if request.control else AddressKind.ADDRESS_KIND_VIEW
        asked = IssueAddressRequest(
            session=str(name), fencing_token=request.fencing_token, kind=kind, ttl_s=_ttl_s(request)
        )
        with repeatable(located.home):
            host = self._backends.host_among(located.hosts, located.home)
            issued = await self._backends.invoke(host.IssueAddress, asked)
        url = view_url(self._http, located.home, issued.secret)
        return IssueViewUrlResponse(url=url, expire_time=issued.expire_time)


def _ttl_s(request: IssueViewUrlRequest) -> int:
    """Whole seconds, a part of one counting as one. Raises InvalidField."""
    if not request.HasField("ttl"):
        return TTL_S
    seconds = request.ttl.seconds + request.ttl.nanos / 1e9
    if not 0 < seconds <= LONGEST_TTL_S:
        raise InvalidField(
            field="ttl",
            value=f"{seconds:g}s",
            problem="is out of range",
            remedy="send more than 0s, up to 1h",
        )
    return math.ceil(seconds)
