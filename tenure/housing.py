"""What an administrator does about hosts: see them, keep profiles away from one, empty it, move profiles."""

from __future__ import annotations

import grpc.aio

from tenure.errors import HostUnreachable, TenureError, Unavailable
from tenure.hold import CALL_TIMEOUT_S
from tenure.retry import call_again
from tenure.v1 import (
    host_pb2,
    host_service_pb2,
    host_service_pb2_grpc,
    profile_pb2,
    profile_service_pb2,
    profile_service_pb2_grpc,
    session_pb2,
)

MOVE_TIMEOUT_S = 600.0
PREWARM_TIMEOUT_S = 60.0
"""A launch, and an inspection before it."""


class Housing:
    """The calls about hosts. Every one may raise PermissionDenied and Unavailable."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._hosts = host_service_pb2_grpc.HostServiceStub(channel)
        self._profiles = profile_service_pb2_grpc.ProfileServiceStub(channel)

    async def hosts(self) -> list[host_pb2.Host]:
        """The hosts alive, by name; of warm browsers the tenant's own."""
        request = host_service_pb2.ListHostsRequest()
        return list((await call_again(self._hosts.ListHosts, request, timeout=CALL_TIMEOUT_S)).hosts)

    async def prewarm(
        self, profile: str, proxy: session_pb2.Proxy | None = None
    ) -> host_service_pb2.PrewarmResponse:
        """Launch the browser of a profile that nobody holds, ahead of its next session. Idempotent.

        Raises NotFound (it was never opened), ProfileBusy and the other states that are not free, NoRoom.
        """
        request = host_service_pb2.PrewarmRequest(profile=profile, proxy=proxy)
        return await call_again(self._hosts.Prewarm, request, timeout=PREWARM_TIMEOUT_S)

    async def cordon(self, host: str) -> host_pb2.Host:
        """Keep new profiles away from a host; those at home there go on. Idempotent. Raises NotFound."""
        request = host_service_pb2.CordonHostRequest(host=host)
        return (await call_again(self._hosts.CordonHost, request, timeout=CALL_TIMEOUT_S)).host

    async def uncordon(self, host: str) -> host_pb2.Host:
        """Take a cordon or a drain back. Idempotent. Raises NotFound."""
        request = host_service_pb2.UncordonHostRequest(host=host)
        return (await call_again(self._hosts.UncordonHost, request, timeout=CALL_TIMEOUT_S)).host

    async def drain(self, host: str) -> host_pb2.Host:
        """Cordon a host, and have it close each browser as nobody holds it any more; answers at once.

        It is empty when it is `emptying`, for it hears of the drain a moment later, and its `browsers` is 0.
        Profiles stay at home there. Idempotent. Raises NotFound.
        """
        request = host_service_pb2.DrainHostRequest(host=host)
        return (await call_again(self._hosts.DrainHost, request, timeout=CALL_TIMEOUT_S)).host

    async def move(
        self,
        profile: str,
        to: str,
        reason: str,
        *,
        attest_destroyed: bool = False,
        etag: str = "",
        timeout: float = MOVE_TIMEOUT_S,
    ) -> profile_pb2.Profile:
        """Give a free profile another home, its directory with it; returns it as it is then. Idempotent.

        `attest_destroyed` vouches that the old home, which is not alive, will never serve again: the login
        is lost with it. Raises NotFound, InvalidField, NoRoom, HostUnreachable, and what a profile that is
        not free is refused with; then it is where it was.
        """
        request = profile_service_pb2.MoveProfileRequest(
            profile=profile, to=to, reason=reason, attest_destroyed=attest_destroyed, etag=etag
        )
        answer = await call_again(self._profiles.MoveProfile, request, timeout=timeout, again=_may_pass)
        return answer.profile


def _may_pass(error: TenureError) -> bool:
    """A host that is away is not waited for: whoever moves a profile wants to know."""
    return isinstance(error, Unavailable) and not isinstance(error, HostUnreachable)
