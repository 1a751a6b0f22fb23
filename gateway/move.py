"""MoveProfile: a free profile's directory copied to another host, and then, in one Txn, its home changed.

Every step may be repeated, and until the last one nothing has moved: the old home serves the next hold as it
always did. So a gateway that dies on the way leaves nothing to tidy up; the call is made again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
import structlog

from gateway import fields, sending
from gateway.backends import Backends, repeatable
from servicekit import call
from tenure import names
from tenure.errors import InvalidField, NoRoom, ProfileBusy, TokenSuperseded
from tenure.internal.v1.browser_host_service_pb2 import (
    ReceivedProfile,
    ReceiveProfileRequest,
    RetireHomeRequest,
    SendProfileRequest,
)
from tenure.internal.v1.browser_host_service_pb2_grpc import BrowserHostServiceStub
from tenure.internal.v1.lock_service_pb2 import MoveHomeRequest
from tenure.names import ProfileName
from tenure.v1.hold_pb2 import ProfileState
from tenure.v1.host_pb2 import Host, HostState
from tenure.v1.profile_pb2 import Profile
from tenure.v1.profile_service_pb2 import GetProfileRequest, MoveProfileRequest, MoveProfileResponse

Context = grpc.aio.ServicerContext[Any, Any]

_log = structlog.get_logger("move")


@dataclass(frozen=True, slots=True)
class _Plan:
    """A move that is begun: `revision` is mod(p), `source` the old home, empty for none."""

    profile: ProfileName
    revision: int
    source: str
    to: str
    reason: str
    attested: bool


class Moves:
    """MoveProfile, through the hosts and the lock service."""

    def __init__(self, backends: Backends) -> None:
        self._backends = backends

    async def MoveProfile(self, request: MoveProfileRequest, context: Context) -> MoveProfileResponse:
        identity = call.require_role("admin")
        name = names.resolve_profile(request.profile, identity.tenant)
        to, reason = f"hosts/{names.host_id(request.to, 'to')}", fields.reason(request.reason)
        profile = await self._read(name)
        if profile.home == to:
            return MoveProfileResponse(profile=profile)
        if request.etag not in ("", profile.etag):
            raise _changed(request.etag)
        if profile.state == ProfileState.PROFILE_STATE_HELD:
            holder = profile.hold.run_id
            raise ProfileBusy(profile=name.as_sent, holder_run_id=holder, state="HELD", retry_after_s=1.0)
        plan = _Plan(name, int(profile.etag), profile.home, to, reason, request.attest_destroyed)
        try:
            await self._move(plan)
        except TokenSuperseded as error:
            raise _changed(profile.etag) from error
        except InvalidField as error:
            if error.field != "revision":
                raise
            raise _changed(profile.etag) from error
        return MoveProfileResponse(profile=await self._read(name))

    async def _move(self, plan: _Plan) -> None:
        hosts = await self._backends.alive_hosts()
        target = self._backends.host_among(hosts, plan.to)
        _refuse(plan, hosts)
        digest = ""
        if plan.source and not plan.attested:
            source = self._backends.host_among(hosts, plan.source)
            retire = RetireHomeRequest(profile=str(plan.profile), revision=plan.revision)
            with repeatable(plan.source):
                retired = await self._backends.invoke(source.RetireHome, retire)
            digest = retired.digest
            _log.info("home retired", profile=str(plan.profile), home=plan.source, size=retired.size_bytes)
            await self._copy(plan, source, target, digest)
        else:
            # Nothing comes along, and what an earlier stay has left there is not taken for it.
            await self._copy(plan, None, target, digest)
        moved = MoveHomeRequest(
            profile=str(plan.profile),
            revision=plan.revision,
            to=plan.to,
            reason=plan.reason,
            digest=digest,
            attest_destroyed=plan.attested,
        )
        await self._backends.invoke(self._backends.lock.MoveHome, moved)

    async def _copy(
        self,
        plan: _Plan,
        source: BrowserHostServiceStub | None,
        target: BrowserHostServiceStub,
        digest: str,
    ) -> None:
        """Pass the directory on as it comes; back once it is verified and on disk there."""
        header = ReceivedProfile(profile=str(plan.profile), revision=plan.revision, digest=digest)
        how: dict[str, Any] = {
            "timeout": call.remaining_s(),
            "metadata": call.outgoing_metadata(self._backends.channels.identity),
        }
        receiving = sending.streaming(self._backends, target.ReceiveProfile)
        try:
            await sending.write(plan.to, receiving, ReceiveProfileRequest(header=header))
            if source is not None and digest:
                asked = SendProfileRequest(profile=str(plan.profile), revision=plan.revision)
                with repeatable(plan.source), sending.as_ours():
                    async for part in source.SendProfile(asked, **how):
                        await sending.write(plan.to, receiving, ReceiveProfileRequest(chunk=part.chunk))
            await sending.answer(plan.to, receiving)
        finally:
            receiving.cancel()  # nothing, once it has ended

    async def _read(self, profile: ProfileName) -> Profile:
        wanted = GetProfileRequest(profile=str(profile))
        return (await self._backends.invoke(self._backends.profiles.GetProfile, wanted)).profile

    def handler(self) -> grpc.GenericRpcHandler:
        """Return the handler of this; ask it before the one that passes the rest on."""
        return grpc.method_handlers_generic_handler(
            "tenure.v1.ProfileService",
            {
                "MoveProfile": grpc.unary_unary_rpc_method_handler(
                    self.MoveProfile, MoveProfileRequest.FromString, MoveProfileResponse.SerializeToString
                )
            },
        )


def _refuse(plan: _Plan, hosts: Iterable[Host]) -> None:
    """Raise for a host that takes no profiles, and for one that is said to be destroyed and lives.

    The lock service's Txn is the law; this is told before anything is done.
    """
    alive = {host.name: host for host in hosts}
    if alive[plan.to].state != HostState.HOST_STATE_READY:
        raise NoRoom(f"'{plan.to}' takes no new profiles: it is cordoned or draining.")
    if plan.attested and plan.source in alive:
        raise InvalidField(
            field="attest_destroyed",
            value="true",
            problem=f"cannot be: {plan.source} is alive",
            remedy="move the profile without it",
        )


def _changed(etag: str) -> InvalidField:
    return InvalidField(
        field="etag",
        value=etag,
        problem="is not that of the profile as it is now",
        remedy="read the profile again, and move it as it is then",
    )
