"""IssueCdpUrl: a further DevTools address of an open session, at its host and here."""

from __future__ import annotations

import math
from typing import Any

import grpc.aio

from gateway import fields, limits
from gateway.backends import Backends
from gateway.relay import gateway_url
from servicekit.call import current_identity
from tenure import names, token
from tenure.errors import InvalidField, NotFound
from tenure.internal.v1 import browser_host_service_pb2 as pb
from tenure.names import SessionName
from tenure.v1.session_service_pb2 import IssueCdpUrlRequest, IssueCdpUrlResponse
from tenure.v1.session_service_pb2_grpc import SessionServiceServicer

Context = grpc.aio.ServicerContext[Any, Any]


class SessionAddresses(SessionServiceServicer):
    """The part of SessionService that issues DevTools addresses."""

    _backends: Backends
    _http: str

    async def IssueCdpUrl(self, request: IssueCdpUrlRequest, context: Context) -> IssueCdpUrlResponse:
        name = under_token(request.session, request.fencing_token)
        ttl_s = limits.DEFAULT_ADDRESS_TTL_S
        if request.HasField("ttl"):
            ttl_s = fields.seconds(request.ttl, "ttl", limits.MIN_ADDRESS_TTL_S, limits.MAX_ADDRESS_TTL_S)
        located = await self._backends.locate(name.profile)
        if not located.home:
            raise NotFound(name=str(name))
        asked = pb.IssueAddressRequest(
            session=str(name),
            fencing_token=name.fencing_token,
            kind=pb.ADDRESS_KIND_CDP,
            ttl_s=math.ceil(ttl_s),
        )
        host = self._backends.host_among(located.hosts, located.home)
        issued = await self._backends.invoke(host.IssueAddress, asked)
        [at] = [each.cdp_address for each in located.hosts if each.name == located.home]
        return IssueCdpUrlResponse(
            cdp_url=f"ws://{at}/cdp/{issued.secret}",
            gateway_cdp_url=gateway_url("ws", self._http, located.home, issued.secret),
            expire_time=issued.expire_time,
            http_url=gateway_url("http", self._http, located.home, issued.secret),
        )


def under_token(session: str, fencing_token: int) -> SessionName:
    """The canonical name of a session whose token was sent with it. Raises InvalidId, InvalidField."""
    name = names.resolve_session(session, current_identity().tenant)
    if token.check(fencing_token) != name.fencing_token:
        raise InvalidField(
            field="fencing_token",
            value=str(fencing_token),
            problem=f"is not the token of {name}",
            remedy="send the token of the hold that the session was opened under",
        )
    return name
