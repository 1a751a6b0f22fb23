"""What a person on call does: see who has what and why, look at incidents, decide them, stop a worker.

And, inherited, see to directories and to hosts.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable

import grpc.aio

from tenure.custody import Custody
from tenure.errors import TenureError, from_rpc_error
from tenure.hold import CALL_TIMEOUT_S
from tenure.retry import call, call_again
from tenure.v1 import (
    hold_pb2,
    hold_service_pb2,
    hold_service_pb2_grpc,
    incident_pb2,
    incident_service_pb2,
    incident_service_pb2_grpc,
    profile_pb2,
    profile_service_pb2,
    system_service_pb2,
    system_service_pb2_grpc,
)
from tenure.watch import watched

READ_TIMEOUT_S = 60.0
_PAGE = 1000


class Overseeing(Custody):
    """The calls that need no worker. Every one may raise PermissionDenied and Unavailable."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        super().__init__(channel)
        self._holds = hold_service_pb2_grpc.HoldServiceStub(channel)
        self._incidents = incident_service_pb2_grpc.IncidentServiceStub(channel)
        self._system = system_service_pb2_grpc.SystemServiceStub(channel)

    async def profiles(
        self, state: hold_pb2.ProfileState.ValueType = hold_pb2.PROFILE_STATE_UNSPECIFIED
    ) -> list[profile_pb2.Profile]:
        """The tenant's profiles by name, all of them or those in `state`."""
        found: list[profile_pb2.Profile] = []
        request = profile_service_pb2.ListProfilesRequest(state=state, page_size=_PAGE)
        while True:
            page = await call_again(self._profiles.ListProfiles, request, timeout=CALL_TIMEOUT_S)
            found.extend(page.profiles)
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token

    def watch(
        self,
        profile: str = "",
        *,
        queues: bool = False,
        broken: Callable[[TenureError], None] = lambda _: None,
    ) -> AsyncGenerator[profile_service_pb2.WatchProfilesResponse, None]:
        """The tenant's profiles, or one, as they are and as they change, and with `queues` who waits for
        them; without an end. A break is told to `broken` and resumed. Close it when done. Raises NotFound,
        QuotaExceeded.
        """
        request = profile_service_pb2.WatchProfilesRequest(profile=profile, queues=queues)
        return watched(self._profiles, request, broken)

    async def explain(self, profile: str) -> profile_service_pb2.ExplainProfileResponse:
        """Why a profile is as it is, what happens next by itself, what can be done. Raises NotFound."""
        request = profile_service_pb2.ExplainProfileRequest(profile=profile)
        return await call_again(self._profiles.ExplainProfile, request, timeout=CALL_TIMEOUT_S)

    async def incidents(
        self, *, open_only: bool = False, limit: int | None = None
    ) -> list[incident_pb2.Incident]:
        """The tenant's incidents, newest first, at most `limit`; `open_only`: those that are not over."""
        found: list[incident_pb2.Incident] = []
        request = incident_service_pb2.ListIncidentsRequest(open_only=open_only)
        while True:
            request.page_size = _PAGE if limit is None else max(1, min(_PAGE, limit - len(found)))
            page = await call_again(self._incidents.ListIncidents, request, timeout=CALL_TIMEOUT_S)
            found.extend(page.incidents)
            if not page.next_page_token or (limit is not None and len(found) >= limit):
                return found
            request.page_token = page.next_page_token

    async def incident(self, name: str) -> incident_pb2.Incident:
        """An incident by its name, with its evidence. Raises NotFound."""
        request = incident_service_pb2.GetIncidentRequest(incident=name)
        answer = await call_again(self._incidents.GetIncident, request, timeout=CALL_TIMEOUT_S)
        return answer.incident

    async def evidence(self, incident: str) -> list[incident_pb2.EvidenceItem]:
        """What was recorded under the hold that ended in the incident, oldest first. Raises NotFound."""
        found: list[incident_pb2.EvidenceItem] = []
        request = incident_service_pb2.ListEvidenceRequest(incident=incident, page_size=_PAGE)
        while True:
            page = await call_again(self._incidents.ListEvidence, request, timeout=CALL_TIMEOUT_S)
            found.extend(page.items)
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token

    async def read_evidence(self, name: str) -> bytes:
        """The bytes of a piece of evidence, for example a picture. Raises NotFound, HostUnreachable."""
        request = incident_service_pb2.ReadEvidenceRequest(evidence=name)
        parts = self._incidents.ReadEvidence(request, timeout=READ_TIMEOUT_S)
        try:
            return b"".join([part.chunk async for part in parts])
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None

    async def resolve(
        self,
        incident: str,
        outcome: incident_pb2.Outcome.ValueType,
        reason: str,
        *,
        etag: str,
        attest_destroyed: bool = False,
    ) -> incident_pb2.Incident:
        """A person's verdict on an incident in review; the same one again changes nothing.

        `etag` is that of the incident as it was read: a verdict on anything else is refused.
        `attest_destroyed` vouches that the old browser is destroyed, needed where its host
        never said that the old worker is cut off. Raises InvalidField, NotFound.
        """
        request = incident_service_pb2.ResolveIncidentRequest(
            incident=incident, etag=etag, outcome=outcome, reason=reason, attest_destroyed=attest_destroyed
        )
        answer = await call_again(self._incidents.ResolveIncident, request, timeout=CALL_TIMEOUT_S)
        return answer.incident

    async def revoke(self, profile: str, reason: str, *, fencing_token: int | None = None) -> str:
        """Take a profile from its worker: starts an incident and frees nothing. Returns the incident's name.

        With a token it is safe to repeat, and is repeated here. Without one it takes whatever hold is
        the current one, once. Raises NotFound, TokenSuperseded, InvalidField, OutcomeUnknown.
        """
        request = hold_service_pb2.RevokeHoldRequest(
            profile=profile, reason=reason, fencing_token=fencing_token or 0
        )
        if fencing_token is None:
            return (await call(self._holds.RevokeHold, request, timeout=CALL_TIMEOUT_S)).incident
        return (await call_again(self._holds.RevokeHold, request, timeout=CALL_TIMEOUT_S)).incident

    async def server_info(self) -> system_service_pb2.GetServerInfoResponse:
        """What runs there, its limits, and who this client is taken for."""
        request = system_service_pb2.GetServerInfoRequest()
        return await call_again(self._system.GetServerInfo, request, timeout=CALL_TIMEOUT_S)
