"""SessionService: what of it this version serves; the rest answers UNIMPLEMENTED by itself."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc.aio

from gateway import fields
from gateway.backends import Backends, repeatable
from gateway.opening import Opening
from gateway.prewarming import Prewarming
from gateway.relay import through_gateway
from gateway.release import Releaser
from gateway.session_addresses import SessionAddresses, under_token
from gateway.session_files import SessionFiles
from gateway.validate import plan_open
from gateway.view_urls import ViewUrls
from gateway.workers import ImplicitWorkers
from servicekit.call import current_identity
from tenure import names, token
from tenure.errors import HostUnreachable, NotFound
from tenure.internal.v1.browser_host_service_pb2 import (
    ActInBrowserRequest,
    CaptureBrowserRequest,
    DescribeSessionsRequest,
    EndSessionRequest,
    ShutdownProfileBrowserRequest,
)
from tenure.internal.v1.browser_host_service_pb2_grpc import BrowserHostServiceStub
from tenure.names import ProfileName
from tenure.v1.hold_pb2 import ProfileState
from tenure.v1.host_pb2 import Host
from tenure.v1.session_pb2 import Session
from tenure.v1.session_service_pb2 import (
    ActRequest,
    ActResponse,
    CaptureScreenshotRequest,
    CaptureScreenshotResponse,
    CloseSessionRequest,
    CloseSessionResponse,
    GetSessionRequest,
    GetSessionResponse,
    ListSessionsRequest,
    ListSessionsResponse,
    OpenSessionRequest,
    OpenSessionResponse,
    ShutdownBrowserRequest,
    ShutdownBrowserResponse,
)

DESCRIBE_S = 5.0
_FREE = (ProfileState.PROFILE_STATE_AVAILABLE, ProfileState.PROFILE_STATE_RETRY)

Context = grpc.aio.ServicerContext[Any, Any]


class Sessions(SessionAddresses, SessionFiles, ViewUrls):
    """Browsers under holds, each at its profile's host."""

    def __init__(self, backends: Backends, releaser: Releaser, http: str) -> None:
        self._backends = backends
        self._http = http
        self._releaser = releaser
        self._workers = ImplicitWorkers(backends)
        self._prewarming = Prewarming(backends)

    async def OpenSession(self, request: OpenSessionRequest, context: Context) -> OpenSessionResponse:
        plan = plan_open(request, current_identity().tenant)
        opened = await Opening(self._backends, self._workers, self._releaser, plan).run()
        opened.session.gateway_cdp_url = through_gateway(self._http, opened.session)
        return opened

    async def GetSession(self, request: GetSessionRequest, context: Context) -> GetSessionResponse:
        name = names.resolve_session(request.session, current_identity().tenant)
        home, host = await self._at_home(name.profile, str(name))
        with repeatable(home):
            asked = DescribeSessionsRequest(profile=str(name.profile))
            answer = await self._backends.invoke(host.DescribeSessions, asked, timeout=DESCRIBE_S)
        for session in answer.sessions:
            if session.name == str(name):
                return GetSessionResponse(session=_without_secret(session))
        raise NotFound(name=str(name))

    async def ListSessions(self, request: ListSessionsRequest, context: Context) -> ListSessionsResponse:
        tenant = names.check_parent(request.parent, current_identity().tenant)
        size = fields.page_size(request.page_size)
        after = fields.page_after(request.page_token)
        hosts = await self._backends.alive_hosts()
        async with asyncio.TaskGroup() as group:
            asking = [group.create_task(self._describe(hosts, host.name, tenant)) for host in hosts]
        # A host that is away hides its sessions; half a list would look whole.
        answers = [task.result() for task in asking]
        for answer in answers:
            if isinstance(answer, HostUnreachable):
                raise answer
        found = sorted(
            (s for answer in answers if not isinstance(answer, HostUnreachable) for s in answer),
            key=lambda session: session.name,
        )
        rest = [session for session in found if session.name > after]
        page = [_without_secret(session) for session in rest[:size]]
        following = fields.page_token(page[-1].name) if len(rest) > size else ""
        return ListSessionsResponse(sessions=page, next_page_token=following)

    async def CloseSession(self, request: CloseSessionRequest, context: Context) -> CloseSessionResponse:
        name = under_token(request.session, request.fencing_token)
        result = fields.run_result(request.result)
        if not request.keep_hold:
            released, closed = await self._releaser.release(name.profile, name.fencing_token, result)
            if request.prewarm and released.state in _FREE:
                self._prewarming.after(name.profile, closed.session.proxy_key)
            return CloseSessionResponse(state=released.state, session=_without_secret(closed.session))
        home, host = await self._at_home(name.profile, str(name))
        with repeatable(home):
            ended = await self._backends.invoke(
                host.EndSession,
                EndSessionRequest(profile=str(name.profile), fencing_token=name.fencing_token),
            )
        return CloseSessionResponse(
            state=ProfileState.PROFILE_STATE_HELD, session=_without_secret(ended.session)
        )

    async def ShutdownBrowser(
        self, request: ShutdownBrowserRequest, context: Context
    ) -> ShutdownBrowserResponse:
        profile = names.resolve_profile(request.profile, current_identity().tenant)
        asked = ShutdownProfileBrowserRequest(
            profile=str(profile), fencing_token=token.check(request.fencing_token)
        )
        home, host = await self._at_home(profile, str(profile))
        with repeatable(home):
            answer = await self._backends.invoke(host.ShutdownProfileBrowser, asked)
        return ShutdownBrowserResponse(was_running=answer.was_running)

    async def Act(self, request: ActRequest, context: Context) -> ActResponse:
        _, host = await self._acted_on(request)
        # Broken off it stays OUTCOME_UNKNOWN: some may be done, and a repetition would act again.
        return (await self._backends.invoke(host.ActInBrowser, ActInBrowserRequest(act=request))).act

    async def CaptureScreenshot(
        self, request: CaptureScreenshotRequest, context: Context
    ) -> CaptureScreenshotResponse:
        home, host = await self._acted_on(request)
        with repeatable(home):
            asked = CaptureBrowserRequest(capture=request)
            return (await self._backends.invoke(host.CaptureBrowser, asked)).capture

    async def _acted_on(
        self, request: ActRequest | CaptureScreenshotRequest
    ) -> tuple[str, BrowserHostServiceStub]:
        """The home of the request's session, whose name becomes canonical."""
        name = under_token(request.session, request.fencing_token)
        request.session = str(name)
        return await self._at_home(name.profile, str(name))

    async def _at_home(self, profile: ProfileName, name: str) -> tuple[str, BrowserHostServiceStub]:
        """The profile's host; what never had one never had a browser: `name` is not found."""
        located = await self._backends.locate(profile)
        if not located.home:
            raise NotFound(name=name)
        return located.home, self._backends.host_among(located.hosts, located.home)

    async def _describe(self, hosts: list[Host], host: str, tenant: str) -> list[Session] | HostUnreachable:
        asked = DescribeSessionsRequest(parent=f"tenants/{tenant}")
        try:
            with repeatable(host):
                stub = self._backends.host_among(hosts, host)
                answer = await self._backends.invoke(stub.DescribeSessions, asked, timeout=DESCRIBE_S)
        except HostUnreachable as error:
            return error
        return list(answer.sessions)


def _without_secret(session: Session) -> Session:
    """A session as anyone of its tenant may see it: the CDP addresses have a secret in them."""
    session.ClearField("cdp_url")
    session.ClearField("gateway_cdp_url")
    return session
