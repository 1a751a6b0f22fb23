"""tenure.v1.IncidentService: incidents as their tenant's people and programs see them.

Names are checked here, against the caller's tenant; the lock service keeps what there is, and checks again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any

import grpc.aio
import structlog

from recovery import listing
from recovery.backends import Backends
from recovery.decide import decide
from recovery.policy import BadPolicy, Policy, parse
from servicekit import call
from tenure import names
from tenure.duration import to_duration
from tenure.errors import HostUnreachable, InvalidField, OutcomeUnknown, TenureError, from_rpc_error
from tenure.internal.v1.browser_host_service_pb2 import ListWitnessRequest, ReadWitnessRequest
from tenure.internal.v1.lock_service_pb2 import (
    ListStoredIncidentsRequest,
    ReadIncidentResponse,
    RecordVerdictRequest,
)
from tenure.v1 import incident_service_pb2 as pb
from tenure.v1.incident_pb2 import EvidenceItem, Outcome
from tenure.v1.incident_service_pb2_grpc import IncidentServiceServicer

REVIEWER = "reviewer"
MAX_REASON = 1000

_VERDICTS = (
    Outcome.OUTCOME_AVAILABLE,
    Outcome.OUTCOME_RETRY,
    Outcome.OUTCOME_RESUME_PENDING,
    Outcome.OUTCOME_DISABLED,
)
# Of a stream whose caller set no deadline: pieces are small.
_READ_S = 30.0
_WITNESS_S = 5.0

_log = structlog.get_logger("incidents")
_Context = grpc.aio.ServicerContext[Any, Any]


class IncidentServicer(IncidentServiceServicer):
    """WatchIncidents is left out: the lock service streams what recovery has to work on, not what is over."""

    def __init__(self, backends: Backends, policy: Policy) -> None:
        self._backends = backends
        self._policy = policy

    async def GetIncident(self, request: pb.GetIncidentRequest, context: _Context) -> pb.GetIncidentResponse:
        stored = await self._read(names.resolve_incident(request.incident, _tenant()))
        return pb.GetIncidentResponse(incident=stored.incident)

    async def ListIncidents(
        self, request: pb.ListIncidentsRequest, context: _Context
    ) -> pb.ListIncidentsResponse:
        tenant = names.check_parent(request.parent, _tenant())
        answer = await self._backends.invoke(
            self._backends.lock.ListStoredIncidents,
            ListStoredIncidentsRequest(
                parent=f"tenants/{tenant}",
                open_only=request.open_only,
                page_size=request.page_size,
                page_token=request.page_token,
            ),
        )
        return pb.ListIncidentsResponse(incidents=answer.incidents, next_page_token=answer.next_page_token)

    async def ListEvidence(
        self, request: pb.ListEvidenceRequest, context: _Context
    ) -> pb.ListEvidenceResponse:
        name = names.resolve_incident(request.incident, _tenant())
        stored = await self._read(name)
        recorded: Sequence[EvidenceItem] = stored.host_items
        if not recorded:
            recorded = await self._witnessed(stored, name)
        items = listing.merged(listing.step_items(str(name), stored.steps), recorded)
        some, next_token = listing.page(items, request.page_size, request.page_token)
        return pb.ListEvidenceResponse(items=some, next_page_token=next_token)

    async def ReadEvidence(
        self, request: pb.ReadEvidenceRequest, context: _Context
    ) -> AsyncIterator[pb.ReadEvidenceResponse]:
        name = names.resolve_evidence(request.evidence, _tenant())
        stored = await self._read(name.incident)
        for item in listing.step_items(str(name.incident), stored.steps):
            if item.name == str(name):
                yield pb.ReadEvidenceResponse(chunk=item.text.encode())
                return
        stream = self._backends.home(stored).ReadWitness(
            ReadWitnessRequest(evidence=str(name)),
            timeout=_remaining(_READ_S),
            metadata=call.outgoing_metadata(self._backends.identity),
        )
        try:
            async for part in stream:
                yield pb.ReadEvidenceResponse(chunk=part.chunk)
        except grpc.aio.AioRpcError as error:
            raise _why_unread(error, stored.home) from None
        finally:
            stream.cancel()

    async def ResolveIncident(
        self, request: pb.ResolveIncidentRequest, context: _Context
    ) -> pb.ResolveIncidentResponse:
        reviewer = call.require_role(REVIEWER)
        name = names.resolve_incident(request.incident, reviewer.tenant)
        _check_verdict(request)
        answer = await self._backends.invoke(
            self._backends.lock.RecordVerdict,
            RecordVerdictRequest(
                incident=str(name),
                etag=request.etag,
                outcome=request.outcome,
                reason=request.reason.strip(),
                attest_destroyed=request.attest_destroyed,
                resume_for=to_duration(self._policy.resume_for_s),
            ),
        )
        _log.info(
            "resolved",
            incident=str(name),
            outcome=Outcome.Name(request.outcome).removeprefix("OUTCOME_"),
            reviewer=reviewer.subject,
            attested=request.attest_destroyed,
        )
        return pb.ResolveIncidentResponse(incident=answer.incident)

    async def SimulateDecision(
        self, request: pb.SimulateDecisionRequest, context: _Context
    ) -> pb.SimulateDecisionResponse:
        if not request.HasField("evidence"):
            raise InvalidField(
                field="evidence",
                problem="is missing",
                remedy="send an incident's, changed at will",
            )
        policy = self._policy
        if request.policy:
            try:
                policy = parse(request.policy)
            except BadPolicy as error:
                raise InvalidField(
                    field=f"policy.{error.field}".removesuffix(".policy"),
                    value=error.value,
                    problem=error.problem,
                    remedy=error.remedy,
                ) from None
        decision = decide(request.evidence, policy, datetime.now(UTC))
        return pb.SimulateDecisionResponse(decision=decision)

    async def _read(self, name: names.IncidentName) -> ReadIncidentResponse:
        return await self._backends.read(str(name), _remaining(_READ_S))

    async def _witnessed(
        self, stored: ReadIncidentResponse, name: names.IncidentName
    ) -> Sequence[EvidenceItem]:
        """What the host has before recovery stored it; nothing while the host is away."""
        request = ListWitnessRequest(profile=str(name.profile), fencing_token=name.fencing_token)
        try:
            host = self._backends.home(stored)
            answer = await self._backends.invoke(host.ListWitness, request, timeout=_WITNESS_S)
        except TenureError as error:
            _log.info("listed without the host", incident=str(name), why=str(error))
            return ()
        return answer.items


def _check_verdict(request: pb.ResolveIncidentRequest) -> None:
    """Raises InvalidField."""
    if request.outcome not in _VERDICTS:
        raise InvalidField(
            field="outcome",
            value=_outcome_name(request.outcome),
            problem="is no verdict",
            remedy=f"send {', '.join(Outcome.Name(verdict) for verdict in _VERDICTS)}",
        )
    if not request.etag:
        raise InvalidField(
            field="etag", problem="is missing", remedy="send the etag of the incident as you read it"
        )
    if not request.reason.strip():
        raise InvalidField(field="reason", problem="is missing", remedy="say in words why, for the record")
    if len(request.reason) > MAX_REASON:
        raise InvalidField(
            field="reason",
            value=request.reason,
            problem="is too long",
            remedy=f"use at most {MAX_REASON} characters",
        )


def _outcome_name(outcome: Outcome.ValueType) -> str:
    return Outcome.Name(outcome) if outcome in Outcome.values() else str(int(outcome))


def _why_unread(error: grpc.aio.AioRpcError, host: str) -> TenureError:
    """A reading that broke off may simply be repeated: its host is away."""
    why = from_rpc_error(error)
    broke_off = isinstance(why, OutcomeUnknown) and "grpc_code" in why.metadata
    return HostUnreachable(host=host) if broke_off else why


def _tenant() -> str:
    return call.current_identity().tenant


def _remaining(default: float) -> float:
    remaining = call.remaining_s()
    return default if remaining is None else remaining
