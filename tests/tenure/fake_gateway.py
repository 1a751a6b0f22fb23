"""A gateway in memory on a real gRPC port: as much of the API as the SDK speaks, and its faults on order."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc.aio

from tenure import errors
from tenure.duration import to_duration
from tenure.v1 import (
    hold_pb2,
    hold_service_pb2,
    hold_service_pb2_grpc,
    host_pb2,
    host_service_pb2,
    host_service_pb2_grpc,
    incident_pb2,
    incident_service_pb2,
    incident_service_pb2_grpc,
    profile_pb2,
    profile_service_pb2,
    profile_service_pb2_grpc,
    session_pb2,
    session_service_pb2,
    session_service_pb2_grpc,
    system_service_pb2,
    system_service_pb2_grpc,
    worker_pb2,
    worker_service_pb2,
    worker_service_pb2_grpc,
)


class FakeGateway(
    worker_service_pb2_grpc.WorkerServiceServicer,
    hold_service_pb2_grpc.HoldServiceServicer,
    session_service_pb2_grpc.SessionServiceServicer,
    profile_service_pb2_grpc.ProfileServiceServicer,
    incident_service_pb2_grpc.IncidentServiceServicer,
    host_service_pb2_grpc.HostServiceServicer,
    system_service_pb2_grpc.SystemServiceServicer,
):
    """Grants what is free. `calls`: every request by method; `faults`: what a method's next calls raise."""

    def __init__(self) -> None:
        self.target = ""
        self.calls: dict[str, list[Any]] = defaultdict(list)
        self.faults: dict[str, list[errors.TenureError]] = defaultdict(list)
        self.faults_after: dict[str, list[errors.TenureError]] = defaultdict(list)
        self.called: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self.stalled: set[str] = set()
        self.holds: dict[str, hold_pb2.Hold] = {}
        self.ended: dict[str, int] = {}
        self.lost: list[hold_pb2.Hold] = []
        self.ttl = 15.0
        self.free: list[profile_pb2.Profile] = []
        """Profiles that nobody holds."""
        self.checkpoint: hold_pb2.Checkpoint | None = None
        self.granted_as: dict[str, Any] = {}
        """Fields of the holds granted from now on, for example their origin."""
        self.explanation = profile_service_pb2.ExplainProfileResponse()
        self.hosts: list[host_pb2.Host] = []
        self.shown_url = ""
        """Where the page of every session is."""
        self.leaving: list[int] = []
        """How many browsers the first host has at each look from now on."""
        self.deaf_looks = 0
        """At so many looks from now on no host has heard yet that it is to be emptied."""
        self.incidents: dict[str, incident_pb2.Incident] = {}
        """By name, oldest first."""
        self.evidence: dict[str, list[incident_pb2.EvidenceItem]] = {}
        self.pictures: dict[str, bytes] = {}
        self.watches: list[list[profile_service_pb2.WatchProfilesResponse | errors.TenureError]] = []
        """What each WatchProfiles tells; the last one goes on without a word."""
        self._workers = 0
        self._token = 100

    async def _enter(self, method: str, request: Any, context: Any) -> None:
        self.calls[method].append(request)
        self.called[method].set()
        if method in self.stalled:
            await asyncio.Event().wait()
        await self._raise(self.faults[method], context)

    async def _raise(self, faults: list[errors.TenureError], context: Any) -> None:
        if faults:
            status = faults.pop(0).to_status()
            context.set_trailing_metadata(((errors.STATUS_DETAILS_KEY, status.SerializeToString()),))
            code = next(code for code in grpc.StatusCode if code.value[0] == status.code)
            await context.abort(code, status.message)

    async def RegisterWorker(self, request: Any, context: Any) -> Any:
        await self._enter("RegisterWorker", request, context)
        self._workers += 1
        worker = worker_pb2.Worker(name=f"workers/w{self._workers}", ttl=to_duration(self.ttl))
        return worker_service_pb2.RegisterWorkerResponse(worker=worker)

    async def RenewWorker(self, request: Any, context: Any) -> Any:
        await self._enter("RenewWorker", request, context)
        held = [hold for hold in self.holds.values() if hold.worker == request.worker]
        return worker_service_pb2.RenewWorkerResponse(ttl=to_duration(self.ttl), holds=held, lost=self.lost)

    async def EndWorker(self, request: Any, context: Any) -> Any:
        await self._enter("EndWorker", request, context)
        return worker_service_pb2.EndWorkerResponse()

    def grant(self, profile: str, worker: str, request_id: str, **fields: Any) -> hold_pb2.Hold:
        """Give the profile to a worker, or find the grant of the same request again."""
        hold = self.holds.get(profile)
        if hold is None:
            self._token += 1
            hold = self.holds[profile] = hold_pb2.Hold(
                profile=profile,
                worker=worker,
                request_id=request_id,
                fencing_token=self._token,
                **fields,
                **self.granted_as,
            )
        if hold.request_id != request_id:
            raise errors.ProfileBusy(profile=profile, holder_run_id=hold.run_id)
        return hold

    async def _granted(self, request: Any, context: Any) -> hold_pb2.Hold:
        if getattr(request, "fencing_token", 0):
            return self.holds[request.profile]
        try:
            return self.grant(
                request.profile,
                request.worker,
                request.request_id,
                run_id=request.run_id,
                workflow_id=request.workflow_id,
                plan=request.plan,
            )
        except errors.ProfileBusy as busy:
            await self._raise([busy], context)
            raise

    async def AcquireHold(self, request: Any, context: Any) -> Any:
        await self._enter("AcquireHold", request, context)
        hold = await self._granted(request, context)
        await self._raise(self.faults_after["AcquireHold"], context)
        return hold_service_pb2.AcquireHoldResponse(hold=hold)

    async def ReleaseHold(self, request: Any, context: Any) -> Any:
        await self._enter("ReleaseHold", request, context)
        self._let_go(request.profile, request.result)
        return hold_service_pb2.ReleaseHoldResponse(state=hold_pb2.PROFILE_STATE_AVAILABLE)

    def _let_go(self, profile: str, result: int) -> None:
        self.holds.pop(profile, None)
        self.ended[profile] = result

    async def TransferHold(self, request: Any, context: Any) -> Any:
        await self._enter("TransferHold", request, context)
        self.holds.pop(request.profile)
        hold = self.grant(request.profile, request.to_worker, request.request_id, run_id=request.run_id)
        return hold_service_pb2.TransferHoldResponse(hold=hold)

    async def CancelWait(self, request: Any, context: Any) -> Any:
        await self._enter("CancelWait", request, context)
        self.holds.pop(request.profile, None)
        return hold_service_pb2.CancelWaitResponse(outcome=hold_service_pb2.CANCEL_OUTCOME_RELEASED)

    async def VerifyHold(self, request: Any, context: Any) -> Any:
        await self._enter("VerifyHold", request, context)
        return hold_service_pb2.VerifyHoldResponse()

    async def StartStep(self, request: Any, context: Any) -> Any:
        await self._enter("StartStep", request, context)
        return hold_service_pb2.StartStepResponse(step=hold_pb2.Step(seq=request.seq, name=request.name))

    async def FinishStep(self, request: Any, context: Any) -> Any:
        await self._enter("FinishStep", request, context)
        return hold_service_pb2.FinishStepResponse()

    async def SaveCheckpoint(self, request: Any, context: Any) -> Any:
        await self._enter("SaveCheckpoint", request, context)
        return hold_service_pb2.SaveCheckpointResponse()

    async def OpenSession(self, request: Any, context: Any) -> Any:
        await self._enter("OpenSession", request, context)
        hold = await self._granted(request, context)
        await self._raise(self.faults_after["OpenSession"], context)
        name = f"tenants/default/profiles/{request.profile}/sessions/{hold.fencing_token}"
        return session_service_pb2.OpenSessionResponse(
            session=session_pb2.Session(name=name, cdp_url="ws://127.0.0.1:1/cdp/secret"),
            hold=hold,
            checkpoint=self.checkpoint,
            reused_session=True,
            timings=[session_pb2.PhaseTiming(phase="launch", duration=to_duration(0.25))],
        )

    async def GetSession(self, request: Any, context: Any) -> Any:
        await self._enter("GetSession", request, context)
        token = int(request.session.rpartition("/")[2])
        session = session_pb2.Session(name=request.session, url=self.shown_url, fencing_token=token)
        return session_service_pb2.GetSessionResponse(session=session)

    async def CloseSession(self, request: Any, context: Any) -> Any:
        await self._enter("CloseSession", request, context)
        profile = request.session.split("/")[3]
        self._let_go(profile, request.result)
        return session_service_pb2.CloseSessionResponse(state=hold_pb2.PROFILE_STATE_AVAILABLE)

    async def Act(self, request: Any, context: Any) -> Any:
        await self._enter("Act", request, context)
        results = [session_service_pb2.ActionResult() for _ in request.actions]
        return session_service_pb2.ActResponse(results=results, settle_reason="settled")

    async def IssueCdpUrl(self, request: Any, context: Any) -> Any:
        await self._enter("IssueCdpUrl", request, context)
        return session_service_pb2.IssueCdpUrlResponse(cdp_url="ws://127.0.0.1:1/cdp/further")

    async def CaptureScreenshot(self, request: Any, context: Any) -> Any:
        await self._enter("CaptureScreenshot", request, context)
        picture = session_pb2.Screenshot(media_type="image/png", inline=b"png")
        return session_service_pb2.CaptureScreenshotResponse(screenshot=picture)

    async def ListHosts(self, request: Any, context: Any) -> Any:
        await self._enter("ListHosts", request, context)
        if self.leaving:
            self.hosts[0].browsers = self.leaving.pop(0)
        self.deaf_looks -= 1
        for host in self.hosts:
            host.emptying = host.state == host_pb2.HOST_STATE_DRAINING and self.deaf_looks < 0
        return host_service_pb2.ListHostsResponse(hosts=self.hosts)

    async def _schedule(self, request: Any, state: host_pb2.HostState.ValueType, context: Any) -> Any:
        found = [host for host in self.hosts if host.name.endswith(f"/{request.host.rpartition('/')[2]}")]
        if not found:
            await self._raise([errors.NotFound(name=request.host)], context)
        found[0].state = state
        return found[0]

    async def CordonHost(self, request: Any, context: Any) -> Any:
        await self._enter("CordonHost", request, context)
        host = await self._schedule(request, host_pb2.HOST_STATE_CORDONED, context)
        return host_service_pb2.CordonHostResponse(host=host)

    async def UncordonHost(self, request: Any, context: Any) -> Any:
        await self._enter("UncordonHost", request, context)
        host = await self._schedule(request, host_pb2.HOST_STATE_READY, context)
        return host_service_pb2.UncordonHostResponse(host=host)

    async def DrainHost(self, request: Any, context: Any) -> Any:
        await self._enter("DrainHost", request, context)
        host = await self._schedule(request, host_pb2.HOST_STATE_DRAINING, context)
        return host_service_pb2.DrainHostResponse(host=host)

    async def MoveProfile(self, request: Any, context: Any) -> Any:
        await self._enter("MoveProfile", request, context)
        name = f"tenants/default/profiles/{request.profile}"
        moved = profile_pb2.Profile(name=name, home=f"hosts/{request.to}", used=True)
        return profile_service_pb2.MoveProfileResponse(profile=moved)

    async def RevokeHold(self, request: Any, context: Any) -> Any:
        await self._enter("RevokeHold", request, context)
        name = f"tenants/default/profiles/{request.profile}/incidents/{request.fencing_token or 101}"
        return hold_service_pb2.RevokeHoldResponse(incident=name)

    async def ExplainProfile(self, request: Any, context: Any) -> Any:
        await self._enter("ExplainProfile", request, context)
        return self.explanation

    async def ListIncidents(self, request: Any, context: Any) -> Any:
        """One incident a page, newest first."""
        await self._enter("ListIncidents", request, context)
        found = [each for each in reversed(self.incidents.values()) if each.open or not request.open_only]
        at = int(request.page_token or 0)
        token = str(at + 1) if at + 1 < len(found) else ""
        page = found[at : at + 1]
        return incident_service_pb2.ListIncidentsResponse(incidents=page, next_page_token=token)

    async def GetIncident(self, request: Any, context: Any) -> Any:
        await self._enter("GetIncident", request, context)
        if request.incident not in self.incidents:
            await self._raise([errors.NotFound(name=request.incident)], context)
        return incident_service_pb2.GetIncidentResponse(incident=self.incidents[request.incident])

    async def ListEvidence(self, request: Any, context: Any) -> Any:
        await self._enter("ListEvidence", request, context)
        return incident_service_pb2.ListEvidenceResponse(items=self.evidence.get(request.incident, []))

    async def ReadEvidence(self, request: Any, context: Any) -> Any:
        """In two parts."""
        await self._enter("ReadEvidence", request, context)
        data = self.pictures[request.evidence]
        for part in (data[:2], data[2:]):
            yield incident_service_pb2.ReadEvidenceResponse(chunk=part)

    async def ResolveIncident(self, request: Any, context: Any) -> Any:
        await self._enter("ResolveIncident", request, context)
        incident = self.incidents[request.incident]
        incident.open = False
        incident.verdict.outcome = request.outcome
        incident.verdict.reason = request.reason
        return incident_service_pb2.ResolveIncidentResponse(incident=incident)

    async def ListProfiles(self, request: Any, context: Any) -> Any:
        """One profile a page; what is in `free` stands on the last."""
        await self._enter("ListProfiles", request, context)
        holds = sorted(self.holds.values(), key=lambda hold: hold.profile)
        at = int(request.page_token or 0)
        held = hold_pb2.PROFILE_STATE_HELD
        page = [
            profile_pb2.Profile(
                name=f"tenants/default/profiles/{hold.profile}", state=held, hold=hold, waiters=at
            )
            for hold in holds[at : at + 1]
        ]
        token = str(at + 1) if at + 1 < len(holds) else ""
        if not token:
            page += self.free
        return profile_service_pb2.ListProfilesResponse(profiles=page, next_page_token=token)

    async def WatchProfiles(self, request: Any, context: Any) -> Any:
        await self._enter("WatchProfiles", request, context)
        for told in self.watches.pop(0):
            if isinstance(told, errors.TenureError):
                await self._raise([told], context)
            else:
                yield told
        if not self.watches:
            await asyncio.Event().wait()

    async def GetServerInfo(self, request: Any, context: Any) -> Any:
        await self._enter("GetServerInfo", request, context)
        return system_service_pb2.GetServerInfoResponse(version="fake")


@asynccontextmanager
async def fake_gateway() -> AsyncIterator[FakeGateway]:
    """Serve a FakeGateway on a free port."""
    gateway, server = FakeGateway(), grpc.aio.server()
    worker_service_pb2_grpc.add_WorkerServiceServicer_to_server(gateway, server)
    hold_service_pb2_grpc.add_HoldServiceServicer_to_server(gateway, server)
    session_service_pb2_grpc.add_SessionServiceServicer_to_server(gateway, server)
    profile_service_pb2_grpc.add_ProfileServiceServicer_to_server(gateway, server)
    incident_service_pb2_grpc.add_IncidentServiceServicer_to_server(gateway, server)
    host_service_pb2_grpc.add_HostServiceServicer_to_server(gateway, server)
    system_service_pb2_grpc.add_SystemServiceServicer_to_server(gateway, server)
    gateway.target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        yield gateway
    finally:
        await server.stop(grace=None)
