"""Small real services behind the gateway: a lock service and hosts, in memory, one process.

They keep the rules that the gateway relies on (same request id, same hold; release guarded
by the token; homes set once), record what they were asked, and fail where a test says so.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

from lockservice.core import placement
from servicekit.call import current_identity
from tenure import errors, names
from tenure.cdp import MAX_MESSAGE
from tenure.internal.v1 import browser_host_service_pb2 as host_pb
from tenure.internal.v1 import lock_service_pb2 as lock_pb
from tenure.internal.v1.browser_host_service_pb2_grpc import BrowserHostServiceServicer
from tenure.internal.v1.lock_service_pb2_grpc import LockServiceServicer
from tenure.v1 import hold_service_pb2 as hold_pb
from tenure.v1 import incident_service_pb2 as incident_pb
from tenure.v1 import profile_service_pb2 as profile_pb
from tenure.v1 import worker_service_pb2 as worker_pb
from tenure.v1.hold_pb2 import Checkpoint, Hold, ProfileState, Step
from tenure.v1.hold_service_pb2_grpc import HoldServiceServicer
from tenure.v1.host_pb2 import Host, HostState, WarmBrowser
from tenure.v1.incident_service_pb2_grpc import IncidentServiceServicer
from tenure.v1.profile_pb2 import Profile
from tenure.v1.profile_service_pb2_grpc import ProfileServiceServicer
from tenure.v1.session_pb2 import PhaseTiming, Screenshot, Session, SessionState
from tenure.v1.session_service_pb2 import ActionResult, ActResponse, CaptureScreenshotResponse
from tenure.v1.worker_pb2 import Worker
from tenure.v1.worker_service_pb2_grpc import WorkerServiceServicer

Hook = Callable[[], Awaitable[None]]

SECRET = "s3cret_of-the-session"


def raising(error: BaseException) -> Hook:
    async def hook() -> None:
        raise error

    return hook


async def forever() -> None:
    await asyncio.Event().wait()


class Recorder:
    """Remembers the requests, and runs a test's hook before answering the method."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.hooks: dict[str, Hook] = {}
        self.entered: dict[str, asyncio.Event] = {}

    def of(self, kind: type[Any]) -> list[Any]:
        """Return the recorded requests of one message type."""
        return [request for request in self.asked if isinstance(request, kind)]

    def event(self, kind: type[Any]) -> asyncio.Event:
        """Return an event that is set once such a request has come."""
        return self.entered.setdefault(kind.__name__, asyncio.Event())

    async def record(self, request: Any) -> None:
        self.asked.append(request)
        name = type(request).__name__
        self.event(type(request)).set()
        if name in self.hooks:
            await self.hooks[name]()


@dataclass
class Record:
    """A profile's record."""

    home: str = ""
    holds: list[Hold] = field(default_factory=list)
    held: bool = False
    released: set[int] = field(default_factory=set)
    suspect: set[int] = field(default_factory=set)

    @property
    def token(self) -> int:
        return self.holds[-1].fencing_token if self.held else 0


class FakeLock(LockServiceServicer, HoldServiceServicer, WorkerServiceServicer, ProfileServiceServicer):
    """The lock service's answers, without a store."""

    def __init__(self) -> None:
        self.record = Recorder()
        self.profiles: dict[str, Record] = {}
        self.hosts: list[Host] = []
        self.ended: list[str] = []
        self.askers: dict[tuple[str, str], str] = {}
        self.checkpoint: Checkpoint | None = None
        self.unsure = False
        """Whether the store's reply to each grant is lost, so that it is found as some copy's."""
        self.older = False
        """Whether it knows neither of homes in its answers nor of earlier copies."""
        self._tokens = itertools.count(100)
        self._workers = itertools.count(1)

    async def LocateProfile(self, request: Any, context: Any) -> lock_pb.LocateProfileResponse:
        await self.record.record(request)
        profile = self.profiles.get(request.profile, Record())
        return lock_pb.LocateProfileResponse(home=profile.home, fencing_token=profile.token, hosts=self.hosts)

    async def ListAliveHosts(self, request: Any, context: Any) -> lock_pb.ListAliveHostsResponse:
        await self.record.record(request)
        return lock_pb.ListAliveHostsResponse(hosts=self.hosts)

    async def ScheduleHost(self, request: Any, context: Any) -> lock_pb.ScheduleHostResponse:
        await self.record.record(request)
        [host] = [host for host in self.hosts if host.name == request.host] or [Host(name=request.host)]
        host.state = request.state
        return lock_pb.ScheduleHostResponse(host=host)

    async def AcquireForSession(
        self, request: lock_pb.AcquireForSessionRequest, context: Any
    ) -> lock_pb.AcquireForSessionResponse:
        asked = request.acquire
        name = names.resolve_profile(asked.profile, current_identity().tenant)
        profile = self.profiles.get(str(name), Record())
        if asked.worker in self.ended:
            raise errors.LeaseExpired(worker=asked.worker)
        for hold in profile.holds:
            if hold.request_id == asked.request_id:
                await self.record.record(request)
                return self._acquired(hold, earlier=True)
        home = self._home(str(name), profile.home, asked.proxy_key) if request.choose_home else ""
        if profile.held:
            await self.record.record(request)
            raise errors.ProfileBusy(profile=name.as_sent, holder_run_id=profile.holds[-1].run_id)
        profile.home = home or profile.home or request.home_hint
        hold = Hold(
            profile=str(name),
            as_sent=name.as_sent,
            fencing_token=next(self._tokens),
            worker=asked.worker,
            run_id=asked.run_id or asked.request_id,
            workflow_id=asked.workflow_id,
            state=ProfileState.PROFILE_STATE_HELD,
            request_id=asked.request_id,
            home=profile.home,
        )
        profile.holds.append(hold)
        profile.held = True
        self.profiles[str(name)] = profile
        # After the grant: a hook that hangs or fails here is a lost answer.
        await self.record.record(request)
        return self._acquired(hold, checkpoint=self.checkpoint, earlier=self.unsure)

    def _acquired(
        self, hold: Hold, *, earlier: bool, checkpoint: Checkpoint | None = None
    ) -> lock_pb.AcquireForSessionResponse:
        if self.older:
            return lock_pb.AcquireForSessionResponse(hold=hold, checkpoint=checkpoint)
        return lock_pb.AcquireForSessionResponse(
            hold=hold, checkpoint=checkpoint, hosts=self._alive(hold.home), earlier=earlier
        )

    def _home(self, profile: str, current: str, proxy_key: str) -> str:
        if not current:
            return placement.place(self.hosts, profile, proxy_key)
        if not self._alive(current):
            raise errors.HostUnreachable(host=current)
        return current

    def _alive(self, name: str) -> list[Host]:
        return [host for host in self.hosts if host.name == name]

    async def ReleaseDrained(self, request: Any, context: Any) -> lock_pb.ReleaseDrainedResponse:
        await self.record.record(request)
        return lock_pb.ReleaseDrainedResponse(release=self._release(request.release))

    async def TransferDrained(self, request: Any, context: Any) -> lock_pb.TransferDrainedResponse:
        await self.record.record(request)
        wanted = request.transfer
        profile = self.profiles[wanted.profile]
        for hold in profile.holds:
            if hold.request_id == wanted.request_id:
                return lock_pb.TransferDrainedResponse(hold=hold)
        if wanted.to_worker in self.ended:
            raise errors.LeaseExpired(worker=wanted.to_worker)
        if profile.token != wanted.fencing_token:
            raise errors.TokenSuperseded(profile=wanted.profile, token=wanted.fencing_token)
        if request.check_only:
            return lock_pb.TransferDrainedResponse()
        hold = Hold(
            profile=wanted.profile,
            worker=wanted.to_worker,
            fencing_token=next(self._tokens),
            request_id=wanted.request_id,
        )
        profile.holds.append(hold)
        return lock_pb.TransferDrainedResponse(hold=hold)

    async def ReleaseHold(self, request: Any, context: Any) -> hold_pb.ReleaseHoldResponse:
        await self.record.record(request)
        return self._release(request)

    async def ReleaseHolds(
        self, request: hold_pb.ReleaseHoldsRequest, context: Any
    ) -> hold_pb.ReleaseHoldsResponse:
        await self.record.record(request)
        answer = hold_pb.ReleaseHoldsResponse()
        for asked in request.requests:
            result = answer.results.add()
            try:
                name = names.resolve_profile(asked.profile, current_identity().tenant)
                profile = self.profiles[str(name)]
                if profile.home and profile.token == asked.fencing_token:
                    raise errors.DrainRequired(profile=str(name), home=profile.home, token=profile.token)
                copy = hold_pb.ReleaseHoldRequest(profile=str(name), fencing_token=asked.fencing_token)
                result.response.CopyFrom(self._release(copy))
            except errors.TenureError as error:
                result.error.CopyFrom(error.to_status())
        return answer

    def _release(self, request: hold_pb.ReleaseHoldRequest) -> hold_pb.ReleaseHoldResponse:
        profile = self.profiles[request.profile]
        if request.fencing_token in profile.released:
            return hold_pb.ReleaseHoldResponse(
                state=ProfileState.PROFILE_STATE_AVAILABLE, already_released=True
            )
        if profile.token != request.fencing_token:
            raise errors.TokenSuperseded(profile=request.profile, token=request.fencing_token)
        profile.held = False
        profile.released.add(request.fencing_token)
        return hold_pb.ReleaseHoldResponse(state=ProfileState.PROFILE_STATE_AVAILABLE)

    async def SuspectHold(self, request: Any, context: Any) -> lock_pb.SuspectHoldResponse:
        await self.record.record(request)
        profile = self.profiles[request.profile]
        if profile.token == request.fencing_token:
            profile.held = False
            profile.suspect.add(request.fencing_token)
        return lock_pb.SuspectHoldResponse(suspected=request.fencing_token in profile.suspect)

    async def VerifyHold(self, request: Any, context: Any) -> hold_pb.VerifyHoldResponse:
        await self.record.record(request)
        profile = self.profiles.get(request.profile, Record())
        if profile.token != request.fencing_token:
            raise errors.TokenSuperseded(profile=request.profile, token=request.fencing_token)
        return hold_pb.VerifyHoldResponse(hold=profile.holds[-1])

    async def CancelWait(self, request: Any, context: Any) -> hold_pb.CancelWaitResponse:
        await self.record.record(request)
        profile = self.profiles[request.profile]
        if profile.held and profile.holds[-1].request_id == request.request_id:
            raise errors.DrainRequired(profile=request.profile, home=profile.home, token=profile.token)
        return hold_pb.CancelWaitResponse()

    async def GetCheckpoint(self, request: Any, context: Any) -> hold_pb.GetCheckpointResponse:
        await self.record.record(request)
        if self.checkpoint is None:
            raise errors.NotFound(name=request.workflow_id)
        return hold_pb.GetCheckpointResponse(checkpoint=self.checkpoint)

    async def StartStep(self, request: Any, context: Any) -> hold_pb.StartStepResponse:
        await self.record.record(request)
        return hold_pb.StartStepResponse(step=Step(seq=request.seq or 7, name=request.name))

    async def RevokeHold(self, request: Any, context: Any) -> hold_pb.RevokeHoldResponse:
        await self.record.record(request)
        return hold_pb.RevokeHoldResponse(incident=f"{request.profile}/incidents/5")

    async def AcquireHold(self, request: Any, context: Any) -> hold_pb.AcquireHoldResponse:
        await self.record.record(request)
        raise errors.ProfileBusy(profile=request.profile, holder_run_id="r9", position=3, retry_after_s=2)

    async def RegisterWorker(self, request: Any, context: Any) -> worker_pb.RegisterWorkerResponse:
        await self.record.record(request)
        name = f"workers/w{next(self._workers)}"
        return worker_pb.RegisterWorkerResponse(worker=Worker(name=name, ttl=request.ttl))

    async def RegisterImplicitWorker(
        self, request: Any, context: Any
    ) -> lock_pb.RegisterImplicitWorkerResponse:
        await self.record.record(request)
        key = request.profile, request.request_id
        registered = key not in self.askers
        if registered:
            self.askers[key] = f"workers/w{next(self._workers)}"
        return lock_pb.RegisterImplicitWorkerResponse(worker=self.askers[key], registered=registered)

    async def ForgetImplicitWorker(self, request: Any, context: Any) -> lock_pb.ForgetImplicitWorkerResponse:
        await self.record.record(request)
        del self.askers[request.profile, request.request_id]
        self.ended.append(request.worker)
        return lock_pb.ForgetImplicitWorkerResponse(forgotten=True)

    async def EndWorker(self, request: Any, context: Any) -> worker_pb.EndWorkerResponse:
        await self.record.record(request)
        self.ended.append(request.worker)
        return worker_pb.EndWorkerResponse()

    async def KeepAlive(self, requests: Any, context: Any) -> Any:
        async for request in requests:
            await self.record.record(request)
            yield worker_pb.KeepAliveResponse(worker=request.worker)

    async def GetProfile(self, request: Any, context: Any) -> profile_pb.GetProfileResponse:
        await self.record.record(request)
        record = self.profiles.get(request.profile)
        if record is None:
            raise errors.NotFound(name=request.profile)
        hold = record.holds[-1] if record.held else None
        return profile_pb.GetProfileResponse(profile=Profile(name=request.profile, hold=hold))

    async def WatchProfiles(self, request: Any, context: Any) -> Any:
        await self.record.record(request)
        yield profile_pb.WatchProfilesResponse(bookmark="1")
        yield profile_pb.WatchProfilesResponse(bookmark="2")
        raise errors.StoreUnavailable("the watch ended", retry_after_s=1)


class FakeRecovery(IncidentServiceServicer):
    """Recovery, with one picture as evidence."""

    def __init__(self) -> None:
        self.record = Recorder()

    async def ReadEvidence(
        self, request: Any, context: Any
    ) -> AsyncIterator[incident_pb.ReadEvidenceResponse]:
        await self.record.record(request)
        for number in range(3):
            yield incident_pb.ReadEvidenceResponse(chunk=bytes([number]) * (1 << 20))


class FakeHost(BrowserHostServiceServicer):
    """A host without a browser."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.record = Recorder()
        self.sessions: dict[str, Session] = {}
        self.devtools = FakeDevTools()

    def facts(self, address: str) -> Host:
        return Host(
            name=self.name,
            address=address,
            cdp_address=self.devtools.address,
            capacity=10,
            state=HostState.HOST_STATE_READY,
            warm=[WarmBrowser(profile="tenants/other/profiles/theirs")],
        )

    async def OpenBrowser(
        self, request: host_pb.OpenBrowserRequest, context: Any
    ) -> host_pb.OpenBrowserResponse:
        await self.record.record(request)
        session = Session(
            name=f"{request.profile}/sessions/{request.fencing_token}",
            cdp_url=f"ws://{self.devtools.address}/cdp/{SECRET}",
            host=self.name,
            url=request.start_url,
            state=SessionState.SESSION_STATE_OPEN,
            fencing_token=request.fencing_token,
        )
        reused = request.profile in {s.name.rpartition("/sessions/")[0] for s in self.sessions.values()}
        self.sessions[session.name] = session
        return host_pb.OpenBrowserResponse(
            session=session, reused_session=reused, timings=[PhaseTiming(phase="navigate")]
        )

    async def PrewarmBrowser(self, request: Any, context: Any) -> host_pb.PrewarmBrowserResponse:
        await self.record.record(request)
        return host_pb.PrewarmBrowserResponse(prewarmed=True, timings=[PhaseTiming(phase="launch")])

    async def CloseHold(self, request: Any, context: Any) -> host_pb.CloseHoldResponse:
        await self.record.record(request)
        session = self.sessions.get(f"{request.profile}/sessions/{request.fencing_token}")
        response = host_pb.CloseHoldResponse(used=bool(self.sessions), session=session)
        response.flushed_at.GetCurrentTime()
        return response

    async def EndSession(self, request: Any, context: Any) -> host_pb.EndSessionResponse:
        await self.record.record(request)
        session = self.sessions.get(f"{request.profile}/sessions/{request.fencing_token}")
        return host_pb.EndSessionResponse(session=session)

    async def ShutdownProfileBrowser(
        self, request: Any, context: Any
    ) -> host_pb.ShutdownProfileBrowserResponse:
        await self.record.record(request)
        return host_pb.ShutdownProfileBrowserResponse(was_running=bool(self.sessions))

    async def ActInBrowser(self, request: Any, context: Any) -> host_pb.ActInBrowserResponse:
        await self.record.record(request)
        results = [ActionResult() for _ in request.act.actions]
        return host_pb.ActInBrowserResponse(act=ActResponse(results=results, settle_reason="settled"))

    async def CaptureBrowser(self, request: Any, context: Any) -> host_pb.CaptureBrowserResponse:
        await self.record.record(request)
        picture = Screenshot(media_type="image/png", width=1, inline=b"picture")
        return host_pb.CaptureBrowserResponse(capture=CaptureScreenshotResponse(screenshot=picture))

    async def WitnessStep(self, request: Any, context: Any) -> host_pb.WitnessStepResponse:
        await self.record.record(request)
        return host_pb.WitnessStepResponse()

    async def IssueAddress(self, request: Any, context: Any) -> host_pb.IssueAddressResponse:
        await self.record.record(request)
        response = host_pb.IssueAddressResponse(secret=SECRET)
        response.expire_time.FromSeconds(1_000_000 + request.ttl_s)
        return response

    async def DescribeSessions(self, request: Any, context: Any) -> host_pb.DescribeSessionsResponse:
        await self.record.record(request)
        wanted = request.profile or request.parent
        found = [s for name, s in self.sessions.items() if name.startswith(f"{wanted}/")]
        return host_pb.DescribeSessionsResponse(sessions=found)


class FakeDevTools:
    """A host's DevTools side: it echoes, does what `serve` says instead, or `refuses`, or `is_full`."""

    def __init__(self) -> None:
        self.address = ""
        self.serve: Callable[[web.WebSocketResponse], Awaitable[None]] = echo
        self.refuses = False
        self.is_full = False
        self.ended = asyncio.Event()
        self.close_code: int | None = None
        self.headers: Mapping[str, str] = {}
        self.autoping = True
        self.resumed: dict[str, Callable[[web.WebSocketResponse], Awaitable[None]]] = {}
        """By ticket: what is done with who comes back."""
        self.unready = 0
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/resumed/{ticket}", self._resume)
        app.router.add_get("/cdp/{secret}", self._handle)
        app.router.add_get("/cdp/{secret}/page/{target}", self._handle)
        app.router.add_get("/cdp/{secret}/json{which:.*}", self._tell)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.address = f"127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    def _check(self, request: web.Request) -> None:
        if self.refuses:
            raise web.HTTPServiceUnavailable
        if self.is_full:
            raise web.HTTPTooManyRequests
        if request.match_info["secret"] != SECRET:
            raise web.HTTPNotFound

    async def _tell(self, request: web.Request) -> web.Response:
        self._check(request)
        at, which = f"ws://{self.address}/cdp/{SECRET}", request.match_info["which"].strip("/")
        if which == "version":
            return web.json_response({"Browser": "Fake/1", "webSocketDebuggerUrl": at})
        return web.json_response([{"id": "T", "webSocketDebuggerUrl": f"{at}/page/T"}])

    async def _handle(self, request: web.Request) -> web.WebSocketResponse:
        self._check(request)
        self.headers = request.headers
        return await self._attend(request, self.serve)

    async def _resume(self, request: web.Request) -> web.WebSocketResponse:
        if self.unready:
            self.unready -= 1
            raise web.HTTPServiceUnavailable
        if request.match_info["ticket"] not in self.resumed:
            raise web.HTTPNotFound
        return await self._attend(request, self.resumed.pop(request.match_info["ticket"]))

    async def _attend(
        self, request: web.Request, serve: Callable[[web.WebSocketResponse], Awaitable[None]]
    ) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(
            max_msg_size=MAX_MESSAGE, compress=False, timeout=1, autoping=self.autoping
        )
        await socket.prepare(request)
        try:
            await serve(socket)
        finally:
            self.close_code = socket.close_code
            self.ended.set()
        return socket


async def echo(socket: web.WebSocketResponse) -> None:
    """Send back what comes, until the client closes."""
    async for frame in socket:
        await socket.send_str(frame.data)
