"""BrowserHostService, the part about a profile's directory as a whole: snapshots, restores, imports."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc.aio

from browserhost.host import Host
from browserhost.paths import parse_profile
from browserhost.profile import Profile
from browserhost.snapshot.manifest import CLOSED, Manifest
from browserhost.snapshot.streams import drained
from tenure import token as tokens
from tenure.errors import InvalidField, NotFound, TenureError
from tenure.internal.v1 import browser_host_service_pb2 as pb
from tenure.internal.v1.browser_host_service_pb2_grpc import BrowserHostServiceServicer
from tenure.v1.profile_pb2 import Snapshot, SnapshotCause

_Context = grpc.aio.ServicerContext[Any, Any]


class CustodyServicer(BrowserHostServiceServicer):
    """Whoever inherits it sets `_host`."""

    _host: Host

    async def ListProfileSnapshots(
        self, request: pb.ListProfileSnapshotsRequest, context: _Context
    ) -> pb.ListProfileSnapshotsResponse:
        profile = self._host.profile(parse_profile(request.profile))
        found = [_message(profile, each) for each in await profile.snapshots.all()]
        return pb.ListProfileSnapshotsResponse(snapshots=found)

    async def TakeProfileSnapshot(
        self, request: pb.TakeProfileSnapshotRequest, context: _Context
    ) -> pb.TakeProfileSnapshotResponse:
        profile = self._host.profile(parse_profile(request.profile))
        taken = await profile.snapshots.take(_cause(request.cause))
        return pb.TakeProfileSnapshotResponse(snapshot=_message(profile, taken))

    async def RestoreDirectory(
        self, request: pb.RestoreDirectoryRequest, context: _Context
    ) -> pb.RestoreDirectoryResponse:
        profile = self._host.profile(parse_profile(request.profile))
        owner, _, snapshot = request.snapshot.partition("/snapshots/")
        if owner != str(profile.name):
            raise NotFound(name=request.snapshot)
        aside = await profile.restoring.restore(request.revision, snapshot, request.reason)
        return pb.RestoreDirectoryResponse(put_aside=str(aside or ""))

    async def ImportDirectory(
        self, requests: AsyncIterator[pb.ImportDirectoryRequest], context: _Context
    ) -> pb.ImportDirectoryResponse:
        messages = aiter(requests)
        comes = (await anext(messages, pb.ImportDirectoryRequest())).header
        profile = self._host.profile(parse_profile(comes.profile))
        parts = (message.chunk async for message in messages)
        try:
            came = await profile.importing.receive(tokens.check(comes.fencing_token), parts)
        except TenureError:
            await drained(parts)
            raise
        await drained(parts)
        return pb.ImportDirectoryResponse(
            cookies=came.cookies,
            unreadable_cookies=came.unreadable,
            findings=came.findings,
            digest=came.digest,
        )


def _message(profile: Profile, manifest: Manifest) -> Snapshot:
    return manifest.message(profile.name, profile.host)


def _cause(value: SnapshotCause.ValueType) -> str:
    """The cause that may be asked for: not that a profile was closed, which a host finds out by itself."""
    names = {number: name.removeprefix("SNAPSHOT_CAUSE_") for name, number in SnapshotCause.items() if number}
    if names.get(value, CLOSED) == CLOSED:
        raise InvalidField(
            field="cause", value=str(int(value)), problem="is none to ask for", remedy="send ASKED"
        )
    return names[value]
