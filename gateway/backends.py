"""The services behind the gateway: the lock service at its address, hosts by their names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from servicekit.channels import Channels
from tenure.errors import HostUnreachable, OutcomeUnknown
from tenure.internal.v1.browser_host_service_pb2_grpc import BrowserHostServiceStub
from tenure.internal.v1.lock_service_pb2 import (
    ListAliveHostsRequest,
    LocateProfileRequest,
    LocateProfileResponse,
)
from tenure.internal.v1.lock_service_pb2_grpc import LockServiceStub
from tenure.names import ProfileName
from tenure.v1.hold_service_pb2_grpc import HoldServiceStub
from tenure.v1.host_pb2 import Host
from tenure.v1.profile_service_pb2_grpc import ProfileServiceStub
from tenure.v1.worker_service_pb2_grpc import WorkerServiceStub


class Backends:
    """Stubs, and where things are. Every answer is fresh: hosts move."""

    def __init__(self, channels: Channels, lockservice: str) -> None:
        channel = channels.spread(lockservice)
        self.lock = LockServiceStub(channel)
        self.holds = HoldServiceStub(channel)
        self.workers = WorkerServiceStub(channel)
        self.profiles = ProfileServiceStub(channel)
        self.channels = channels
        self.invoke = channels.invoke
        self._hosts: dict[str, BrowserHostServiceStub] = {}

    async def alive_hosts(self, *, timeout: float | None = None) -> list[Host]:
        """Return the hosts whose leases live, by name; `timeout` (seconds) as `Channels.invoke` has it."""
        answer = await self.invoke(self.lock.ListAliveHosts, ListAliveHostsRequest(), timeout=timeout)
        return list(answer.hosts)

    async def locate(self, profile: ProfileName) -> LocateProfileResponse:
        """Return where a profile lives, and the hosts alive; a hint, as the lock service says."""
        return await self.invoke(self.lock.LocateProfile, LocateProfileRequest(profile=str(profile)))

    def host_among(self, hosts: Iterable[Host], name: str) -> BrowserHostServiceStub:
        """Return the host's stub. Raises HostUnreachable when it is not among those alive."""
        for host in hosts:
            if host.name == name:
                if host.address not in self._hosts:
                    self._hosts[host.address] = BrowserHostServiceStub(self.channels.to(host.address))
                return self._hosts[host.address]
        raise HostUnreachable(host=name)


@contextmanager
def repeatable(host: str) -> Iterator[None]:
    """A call that broke off and may simply be repeated only says that its host is away."""
    try:
        yield
    except OutcomeUnknown as error:
        if "grpc_code" not in error.metadata:
            raise  # the host itself said so
        raise HostUnreachable(host=host) from error
