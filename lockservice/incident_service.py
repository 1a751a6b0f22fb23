"""tenure.internal.v1.LockService, incidents: what recovery follows, adds, decides, and reads."""

from __future__ import annotations

from collections.abc import AsyncIterator
from collections.abc import Set as AbstractSet
from contextlib import aclosing
from typing import Any

import grpc.aio
from google.protobuf.duration_pb2 import Duration

from lockservice import checkpoint_store, fields, paging
from lockservice.calls import deadline
from lockservice.core import decided, verdict
from lockservice.core.evidence import MAX_ITEMS
from lockservice.core.outcome import Choice, Outcome
from lockservice.core.record import State
from lockservice.encode import host_name, state_of
from lockservice.granter import now_ms
from lockservice.hosts import Hosts
from lockservice.incident_encode import decision_message, finding, incident_message, stored_steps
from lockservice.incidents import Incidents
from lockservice.replica import Replica
from servicekit.call import current_identity, require_role
from tenure import names
from tenure.errors import InvalidField, OutcomeUnknown, StoreUnavailable
from tenure.internal.v1 import lock_service_pb2 as pb
from tenure.internal.v1.lock_service_pb2_grpc import LockServiceServicer
from tenure.names import IncidentName
from tenure.v1 import incident_pb2
from tenure.v1.hold_pb2 import Checkpoint

REVIEWER_ROLE = "reviewer"
# etcd takes 1.5 MiB a request by default.
MAX_EVIDENCE = 1024 * 1024
MAX_ITEM = 8 * 1024
# As recovery's policies may say.
MAX_RESUME_DAYS = 30
_Context = grpc.aio.ServicerContext[Any, Any]


class IncidentServicer(LockServiceServicer):
    """The part of LockService that is about incidents."""

    def __init__(self, replica: Replica, hosts: Hosts) -> None:
        self._replica = replica
        self._hosts = hosts
        self._incidents = Incidents(replica)

    async def FollowIncidents(
        self, request: pb.FollowIncidentsRequest, context: _Context
    ) -> AsyncIterator[pb.FollowIncidentsResponse]:
        await self._replica.committer.until_loaded(deadline())
        async with aclosing(self._replica.feed.follow()) as feed:
            async for found in feed:
                if found is None:
                    yield pb.FollowIncidentsResponse(synced=True)
                else:
                    yield pb.FollowIncidentsResponse(incident=str(found[0]), state=state_of(found[1]))

    async def ReadIncident(
        self, request: pb.ReadIncidentRequest, context: _Context
    ) -> pb.ReadIncidentResponse:
        incident, end = _incident(request.incident), deadline()
        found = await self._incidents.read(incident, end)
        seen = found.seen
        answer = pb.ReadIncidentResponse(
            incident=incident_message(seen, found.evidence),
            revision=seen.mod if seen.at_work else 0,
            # Not that of the profile, which may have moved since: what there was to see stayed with its host.
            home=host_name(seen.incident.home),
            steps=stored_steps(self._replica.keys, found.steps),
            host_items=[incident_pb2.EvidenceItem.FromString(kv.value) for kv in found.host_items],
            hosts=await self._hosts.alive(end),
        )
        if found.checkpoint is not None:
            answer.checkpoint.CopyFrom(Checkpoint.FromString(found.checkpoint.value))
            answer.checkpoint_revision = found.checkpoint.mod_revision
        return answer

    async def ListStoredIncidents(
        self, request: pb.ListStoredIncidentsRequest, context: _Context
    ) -> pb.ListStoredIncidentsResponse:
        tenant = names.check_parent(request.parent, current_identity().tenant)
        found, next_before = await self._incidents.page(
            tenant,
            open_only=request.open_only,
            size=fields.number(request.page_size, "page_size", low=0, high=paging.MAX) or paging.DEFAULT,
            before=paging.revision(request.page_token),
            deadline=deadline(),
        )
        return pb.ListStoredIncidentsResponse(
            incidents=[incident_message(seen) for seen in found],
            next_page_token=paging.token(str(next_before)) if next_before else "",
        )

    async def QuarantineIncident(
        self, request: pb.QuarantineIncidentRequest, context: _Context
    ) -> pb.QuarantineIncidentResponse:
        incident = _incident(request.incident)
        state = await self._incidents.quarantine(incident, request.acknowledged, deadline())
        return pb.QuarantineIncidentResponse(state=state_of(state))

    async def AddHostEvidence(
        self, request: pb.AddHostEvidenceRequest, context: _Context
    ) -> pb.AddHostEvidenceResponse:
        incident = _incident(request.incident)
        fields.number(len(request.items), "items", low=0, high=MAX_ITEMS)
        items = [(_item_id(item, incident), item.SerializeToString()) for item in request.items]
        for item, value in items:
            _check_size(len(value), f"items[{item}]", MAX_ITEM)
        added = await self._incidents.add_evidence(incident, items, deadline())
        return pb.AddHostEvidenceResponse(added=added)

    async def RecordInspection(
        self, request: pb.RecordInspectionRequest, context: _Context
    ) -> pb.RecordInspectionResponse:
        incident, end = _incident(request.incident), deadline()
        began, quarantine = await self._incidents.how_it_began(incident, end)
        if quarantine is None:
            return pb.RecordInspectionResponse(state=state_of(State.SUSPECTED_STALE))
        found = finding(request.evidence, began, quarantine, now_ms())
        _check_size(len(found.evidence), "evidence", MAX_EVIDENCE)
        inspected = await self._incidents.inspect(incident, found, end)
        return pb.RecordInspectionResponse(
            state=state_of(inspected.state),
            revision=inspected.revision,
            evidence=incident_pb2.Evidence.FromString(inspected.evidence),
        )

    async def RecordDecision(
        self, request: pb.RecordDecisionRequest, context: _Context
    ) -> pb.RecordDecisionResponse:
        incident, end = _incident(request.incident), deadline()
        choice = await self._choice(incident, request, decided.CHOICES, end)
        settled = await self._incidents.decide(incident, request.revision, choice, end)
        return pb.RecordDecisionResponse(
            decision=decision_message(settled.decided), state=state_of(settled.state)
        )

    async def RecordVerdict(
        self, request: pb.RecordVerdictRequest, context: _Context
    ) -> pb.RecordVerdictResponse:
        reviewer = require_role(REVIEWER_ROLE)
        incident, end = _incident(request.incident), deadline()
        await self._incidents.resolve(
            incident,
            fields.revision(request.etag, "etag"),
            await self._choice(incident, request, verdict.CHOICES, end),
            reviewer=reviewer.subject,
            attested=request.attest_destroyed,
            deadline=end,
        )
        try:
            found = await self._incidents.read(incident, end)
        except StoreUnavailable as error:
            raise OutcomeUnknown(
                "The verdict is recorded, but the incident could not be read back. Read it again.",
                retry_after_s=error.retry_after_s,
            ) from None
        return pb.RecordVerdictResponse(incident=incident_message(found.seen, found.evidence))

    async def _choice(
        self,
        incident: IncidentName,
        request: pb.RecordDecisionRequest | pb.RecordVerdictRequest,
        allowed: AbstractSet[Outcome],
        end: float,
    ) -> Choice:
        """Check what is chosen. Raises InvalidField, NotFound, StoreUnavailable."""
        names_of = {number: name.removeprefix("OUTCOME_") for name, number in incident_pb2.Outcome.items()}
        name = names_of.get(request.outcome, "")
        if name not in {outcome.value for outcome in allowed}:
            raise InvalidField(
                field="outcome",
                value=name or str(int(request.outcome)),
                problem="cannot be chosen here",
                remedy=f"send {', '.join(sorted(outcome.value for outcome in allowed))}",
            )
        outcome = Outcome(name)
        reason = fields.text(request.reason, "reason", required=True, longest=fields.MAX_REASON)
        if outcome is not Outcome.RESUME_PENDING:
            return Choice(outcome=outcome, reason=reason)
        return Choice(
            outcome=outcome,
            reason=reason,
            resume_for_ms=_resume_for_ms(request.resume_for, request.HasField("resume_for")),
            resume_plan=await self._resume_plan(incident, end),
        )

    async def _resume_plan(self, incident: IncidentName, end: float) -> str | None:
        """The plan of the checkpoint that the workflow would go on from.

        Only an owner writes a checkpoint: from the hold's end until the next grant it stays what it is, and
        the Txn compares that p was not granted.
        """
        began, _ = await self._incidents.how_it_began(incident, end)
        workflow = began.holding.workflow_id
        found = await checkpoint_store.load(self._replica, incident.profile, workflow, end)
        return found.plan if found is not None else None


def _incident(text: str) -> IncidentName:
    return fields.incident(text, current_identity())


def _item_id(item: incident_pb2.EvidenceItem, incident: IncidentName) -> str:
    name = names.resolve_evidence(item.name, incident.profile.tenant, "items.name")
    if name.incident != incident:
        raise InvalidField(
            field="items.name",
            value=item.name,
            problem="is of another incident",
            remedy=f"send items of {incident} only",
        )
    return name.item


def _check_size(size: int, field: str, most: int) -> None:
    if size > most:
        raise InvalidField(
            field=field, value=f"{size} bytes", problem="is too large", remedy=f"use at most {most} bytes"
        )


def _resume_for_ms(value: Duration, present: bool) -> int:
    high = MAX_RESUME_DAYS * fields.DAY_MS
    return fields.duration_ms(value, present, "resume_for", default=fields.HOUR_MS, low=1, high=high)
