"""HostService and SystemService: what runs here, what may run where, and for whom the caller is taken."""

from __future__ import annotations

from typing import Any

import grpc.aio

import tenure
from gateway import fields
from gateway.backends import Backends
from gateway.limits import LIMITS
from gateway.prewarming import Prewarming
from servicekit.call import current_identity, require_role
from tenure import names
from tenure.internal.v1.lock_service_pb2 import ScheduleHostRequest
from tenure.v1.host_pb2 import Host, HostState
from tenure.v1.host_service_pb2 import (
    CordonHostRequest,
    CordonHostResponse,
    DrainHostRequest,
    DrainHostResponse,
    ListHostsRequest,
    ListHostsResponse,
    PrewarmRequest,
    PrewarmResponse,
    UncordonHostRequest,
    UncordonHostResponse,
)
from tenure.v1.host_service_pb2_grpc import HostServiceServicer
from tenure.v1.system_service_pb2 import Caller, GetServerInfoRequest, GetServerInfoResponse
from tenure.v1.system_service_pb2_grpc import SystemServiceServicer

Context = grpc.aio.ServicerContext[Any, Any]


class Hosts(HostServiceServicer):
    """The machines that host browsers, and which of them take new profiles."""

    def __init__(self, backends: Backends) -> None:
        self._backends = backends
        self._prewarming = Prewarming(backends)

    async def Prewarm(self, request: PrewarmRequest, context: Context) -> PrewarmResponse:
        profile = names.resolve_profile(request.profile, current_identity().tenant)
        done = await self._prewarming.prewarm(profile, fields.proxy_key(request.proxy))
        return PrewarmResponse(prewarmed=done.prewarmed, already_warm=done.already_warm, timings=done.timings)

    async def ListHosts(self, request: ListHostsRequest, context: Context) -> ListHostsResponse:
        return ListHostsResponse(hosts=map(_shown, await self._backends.alive_hosts()))

    async def CordonHost(self, request: CordonHostRequest, context: Context) -> CordonHostResponse:
        return CordonHostResponse(host=await self._schedule(request.host, HostState.HOST_STATE_CORDONED))

    async def UncordonHost(self, request: UncordonHostRequest, context: Context) -> UncordonHostResponse:
        return UncordonHostResponse(host=await self._schedule(request.host, HostState.HOST_STATE_READY))

    async def DrainHost(self, request: DrainHostRequest, context: Context) -> DrainHostResponse:
        return DrainHostResponse(host=await self._schedule(request.host, HostState.HOST_STATE_DRAINING))

    async def _schedule(self, host: str, state: HostState.ValueType) -> Host:
        require_role("admin")
        wanted = ScheduleHostRequest(host=f"hosts/{names.host_id(host)}", state=state)
        return _shown((await self._backends.invoke(self._backends.lock.ScheduleHost, wanted)).host)


def _shown(host: Host) -> Host:
    """A host as a tenant sees it: addresses are internal, and other tenants' profiles are not told of."""
    own = f"tenants/{current_identity().tenant}/"
    warm = [browser for browser in host.warm if browser.profile.startswith(own)]
    for field in ("address", "cdp_address", "warm"):
        host.ClearField(field)
    host.warm.extend(warm)
    return host


class System(SystemServiceServicer):
    """The system itself."""

    async def GetServerInfo(self, request: GetServerInfoRequest, context: Context) -> GetServerInfoResponse:
        identity = current_identity()
        return GetServerInfoResponse(
            version=tenure.__version__,
            limits=LIMITS,
            caller=Caller(subject=identity.subject, tenant=identity.tenant, roles=identity.roles),
        )
