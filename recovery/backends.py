"""The services that recovery works with: the lock service at its address, hosts by their names."""

from __future__ import annotations

from servicekit.channels import Channels
from tenure.errors import HostUnreachable
from tenure.internal.v1.browser_host_service_pb2_grpc import BrowserHostServiceStub
from tenure.internal.v1.lock_service_pb2 import ReadIncidentRequest, ReadIncidentResponse
from tenure.internal.v1.lock_service_pb2_grpc import LockServiceStub


class Backends:
    """Stubs, and where things are. Every answer is fresh: hosts move."""

    def __init__(self, channels: Channels, lockservice: str) -> None:
        self.lock = LockServiceStub(channels.to(lockservice))
        self.invoke = channels.invoke
        self.identity = channels.identity
        self._channels = channels

    async def read(self, incident: str, timeout: float | None = None) -> ReadIncidentResponse:
        """Return all that is stored of an incident. Raises NotFound, and what `invoke` raises."""
        return await self.invoke(
            self.lock.ReadIncident, ReadIncidentRequest(incident=incident), timeout=timeout
        )

    def home(self, stored: ReadIncidentResponse) -> BrowserHostServiceStub:
        """Return the stub of the host that keeps the profile. Raises HostUnreachable when it is not alive."""
        if not stored.home:
            raise HostUnreachable("The profile has no home: no host ever kept it.")
        for host in stored.hosts:
            if host.name == stored.home:
                return BrowserHostServiceStub(self._channels.to(host.address))
        raise HostUnreachable(host=stored.home)
