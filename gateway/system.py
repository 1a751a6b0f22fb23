"""HostService and SystemService: what runs here, and for whom the caller is taken."""

from __future__ import annotations

from typing import Any

import grpc.aio

import tenure
from gateway.backends import Backends
from gateway.limits import LIMITS
from servicekit.call import current_identity
from tenure.v1.host_service_pb2 import ListHostsRequest, ListHostsResponse
from tenure.v1.host_service_pb2_grpc import HostServiceServicer
from tenure.v1.system_service_pb2 import Caller, GetServerInfoRequest, GetServerInfoResponse
from tenure.v1.system_service_pb2_grpc import SystemServiceServicer

Context = grpc.aio.ServicerContext[Any, Any]


class Hosts(HostServiceServicer):
    """The machines that host browsers."""

    def __init__(self, backends: Backends) -> None:
        self._backends = backends

    async def ListHosts(self, request: ListHostsRequest, context: Context) -> ListHostsResponse:
        hosts = await self._backends.alive_hosts()
        own = f"tenants/{current_identity().tenant}/"
        for host in hosts:
            # Internal, and other tenants' profiles are not told of.
            host.ClearField("address")
            host.ClearField("cdp_address")
            warm = [browser for browser in host.warm if browser.profile.startswith(own)]
            host.ClearField("warm")
            host.warm.extend(warm)
        return ListHostsResponse(hosts=hosts)


class System(SystemServiceServicer):
    """The system itself."""

    async def GetServerInfo(self, request: GetServerInfoRequest, context: Context) -> GetServerInfoResponse:
        identity = current_identity()
        return GetServerInfoResponse(
            version=tenure.__version__,
            limits=LIMITS,
            caller=Caller(subject=identity.subject, tenant=identity.tenant, roles=identity.roles),
        )
