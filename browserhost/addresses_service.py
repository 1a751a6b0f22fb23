"""IssueAddress: a further secret of an open session, to connect with for a time."""

from __future__ import annotations

import time
from typing import Any

import grpc.aio

from browserhost.addresses import LONGEST_TTL_S, Kind
from browserhost.host import Host
from browserhost.session import timestamp
from tenure import names
from tenure import token as tokens
from tenure.errors import InvalidField
from tenure.internal.v1 import browser_host_service_pb2 as pb
from tenure.internal.v1.browser_host_service_pb2_grpc import BrowserHostServiceServicer

Context = grpc.aio.ServicerContext[Any, Any]


class AddressesServicer(BrowserHostServiceServicer):
    """The part of BrowserHostService that issues addresses."""

    _host: Host

    async def IssueAddress(
        self, request: pb.IssueAddressRequest, context: Context
    ) -> pb.IssueAddressResponse:
        parts = request.session.split("/")
        # Whose tenant it is has been checked where the caller came in.
        tenant = names.canonical_id(parts[1], "session") if len(parts) > 1 else "-"
        session = names.resolve_session(request.session, tenant)
        try:
            kind = Kind(request.kind)
        except ValueError:
            raise InvalidField(
                field="kind",
                value=str(request.kind),
                problem="is no kind of address",
                remedy="send CDP, VIEW or CONTROL",
            ) from None
        # Whoever may look need not be the one who holds.
        token = session.fencing_token
        if (request.fencing_token or kind is not Kind.VIEW) and tokens.check(request.fencing_token) != token:
            raise InvalidField(
                field="fencing_token",
                value=str(request.fencing_token),
                problem=f"is not the token of {session}",
                remedy="send the token of the hold that the session was opened under",
            )
        if not 1 <= request.ttl_s <= LONGEST_TTL_S:
            raise InvalidField(
                field="ttl",
                value=f"{request.ttl_s} s",
                problem="is not from 1 s to 1 h",
                remedy="send such a time",
            )
        until = time.time() + request.ttl_s
        secret = await self._host.profile(session.profile).issue_address(token, kind, until)
        return pb.IssueAddressResponse(secret=secret, expire_time=timestamp(until))
