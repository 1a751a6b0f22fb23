"""The methods of ProfileService about copies of a profile's directory: its snapshots, and putting one back.

Each is done by the profile's home. Whoever asked, and why, goes on record there and in this log.
"""

from __future__ import annotations

from typing import Any

import grpc
import grpc.aio
import structlog

from gateway import fields
from gateway.backends import Backends, repeatable
from servicekit import call
from servicekit.call import Identity, current_identity
from tenure import names
from tenure.errors import InvalidField, NotFound, PermissionDenied, ProfileBusy, TokenSuperseded
from tenure.internal.v1.browser_host_service_pb2 import (
    ListProfileSnapshotsRequest,
    RestoreDirectoryRequest,
    TakeProfileSnapshotRequest,
)
from tenure.internal.v1.browser_host_service_pb2_grpc import BrowserHostServiceStub
from tenure.names import ProfileName
from tenure.v1 import profile_service_pb2 as pb
from tenure.v1.profile_pb2 import Profile, SnapshotCause

Context = grpc.aio.ServicerContext[Any, Any]

_log = structlog.get_logger("custody")


class Custody:
    """ListSnapshots, TakeSnapshot and RestoreProfile, at the profile's home."""

    def __init__(self, backends: Backends) -> None:
        self._backends = backends

    async def ListSnapshots(
        self, request: pb.ListSnapshotsRequest, context: Context
    ) -> pb.ListSnapshotsResponse:
        name = names.resolve_profile(request.profile, current_identity().tenant)
        size, after = fields.page_size(request.page_size), fields.page_after(request.page_token)
        profile = await self._read(name)
        if not profile.home:
            return pb.ListSnapshotsResponse()
        host = await self._at(profile.home)
        with repeatable(profile.home):
            asked = ListProfileSnapshotsRequest(profile=str(name))
            found = list((await self._backends.invoke(host.ListProfileSnapshots, asked)).snapshots)
        known = [each.name for each in found]
        rest = found[known.index(after) + 1 :] if after in known else found
        following = fields.page_token(rest[size - 1].name) if len(rest) > size else ""
        return pb.ListSnapshotsResponse(snapshots=rest[:size], next_page_token=following)

    async def TakeSnapshot(
        self, request: pb.TakeSnapshotRequest, context: Context
    ) -> pb.TakeSnapshotResponse:
        identity = call.require_role("admin")
        name = names.resolve_profile(request.profile, identity.tenant)
        reason = fields.reason(request.reason)
        profile = await self._read(name)
        if not profile.home:
            raise NotFound(f"There is nothing of '{name.profile}' yet.", name=str(name))
        host = await self._at(profile.home)
        asked = TakeProfileSnapshotRequest(profile=str(name), cause=SnapshotCause.SNAPSHOT_CAUSE_ASKED)
        try:
            with repeatable(profile.home):
                taken = (await self._backends.invoke(host.TakeProfileSnapshot, asked)).snapshot
        except TokenSuperseded:
            # It was granted, or moved, since it was read.
            raise ProfileBusy(
                f"profile_id '{name.as_sent}' is busy: it has changed just now.",
                profile=name.as_sent,
                holder_run_id="",
                retry_after_s=1.0,
            ) from None
        _log.info("snapshot asked for", snapshot=taken.name, by=identity.subject, reason=reason)
        return pb.TakeSnapshotResponse(snapshot=taken)

    async def RestoreProfile(
        self, request: pb.RestoreProfileRequest, context: Context
    ) -> pb.RestoreProfileResponse:
        identity = _reviewer()
        name = names.resolve_profile(request.profile, identity.tenant)
        reason = fields.reason(request.reason)
        if not request.snapshot.startswith(f"{name}/snapshots/"):
            raise InvalidField(
                field="snapshot",
                value=request.snapshot,
                problem=f"is no snapshot of {name}",
                remedy="send a name that ListSnapshots has answered",
            )
        profile = await self._read(name)
        if not profile.home:
            raise NotFound(name=request.snapshot)
        if request.etag not in ("", profile.etag):
            raise _changed(request.etag)
        host = await self._at(profile.home)
        # The host compares the revision again, under its queue, and whether a person has the profile.
        asked = RestoreDirectoryRequest(
            profile=str(name), revision=int(profile.etag), snapshot=request.snapshot, reason=reason
        )
        try:
            with repeatable(profile.home):
                restored = await self._backends.invoke(host.RestoreDirectory, asked)
        except TokenSuperseded:
            raise _changed(profile.etag) from None
        aside = restored.put_aside
        _log.info("restored", snapshot=request.snapshot, by=identity.subject, reason=reason, aside=aside)
        return pb.RestoreProfileResponse(profile=await self._read(name), put_aside=aside)

    async def _read(self, profile: ProfileName) -> Profile:
        wanted = pb.GetProfileRequest(profile=str(profile))
        return (await self._backends.invoke(self._backends.profiles.GetProfile, wanted)).profile

    async def _at(self, home: str) -> BrowserHostServiceStub:
        return self._backends.host_among(await self._backends.alive_hosts(), home)

    def handler(self) -> grpc.GenericRpcHandler:
        """Return the handler of these; ask it before the one that passes the rest on."""
        return grpc.method_handlers_generic_handler(
            "tenure.v1.ProfileService",
            {
                "ListSnapshots": grpc.unary_unary_rpc_method_handler(
                    self.ListSnapshots,
                    pb.ListSnapshotsRequest.FromString,
                    pb.ListSnapshotsResponse.SerializeToString,
                ),
                "TakeSnapshot": grpc.unary_unary_rpc_method_handler(
                    self.TakeSnapshot,
                    pb.TakeSnapshotRequest.FromString,
                    pb.TakeSnapshotResponse.SerializeToString,
                ),
                "RestoreProfile": grpc.unary_unary_rpc_method_handler(
                    self.RestoreProfile,
                    pb.RestoreProfileRequest.FromString,
                    pb.RestoreProfileResponse.SerializeToString,
                ),
            },
        )


def _reviewer() -> Identity:
    """Who calls. Raises PermissionDenied for whoever neither reviews nor administers."""
    identity = current_identity()
    if not {"reviewer", "admin"} & set(identity.roles):
        raise PermissionDenied("This credential may not do that: it needs the role 'reviewer'.")
    return identity


def _changed(etag: str) -> InvalidField:
    return InvalidField(
        field="etag",
        value=etag,
        problem="is not that of the profile as it is now",
        remedy="read the profile again, and restore it as it is then",
    )
