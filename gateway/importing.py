"""ImportProfile: a user-data-dir becomes a new profile's directory, under a hold of the import's own.

Nobody else can be let in meanwhile. What fails leaves nothing behind: the host clears what came, and the hold
is released as one that touched nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import grpc
import grpc.aio
import structlog
from google.protobuf.duration_pb2 import Duration

from gateway import fields, sending
from gateway.backends import Backends, repeatable
from gateway.release import Releaser
from servicekit import call
from tenure import names, request_id
from tenure.errors import InvalidField, NotFound, TenureError
from tenure.internal.v1 import browser_host_service_pb2 as host_pb
from tenure.internal.v1.browser_host_service_pb2_grpc import BrowserHostServiceStub
from tenure.internal.v1.lock_service_pb2 import (
    AcquireForSessionRequest,
    AcquireForSessionResponse,
    RegisterImplicitWorkerRequest,
)
from tenure.names import ProfileName
from tenure.v1.hold_pb2 import Hold, RunResult
from tenure.v1.hold_service_pb2 import AcquireHoldRequest
from tenure.v1.profile_pb2 import Profile, Snapshot, SnapshotCause
from tenure.v1.profile_service_pb2 import (
    GetProfileRequest,
    ImportProfileHeader,
    ImportProfileRequest,
    ImportProfileResponse,
)
from tenure.v1.worker_service_pb2 import EndWorkerRequest

LEASE_S = 900
"""Longer than an import may take: nobody renews its worker."""
UNDO_S = 20.0
"""How long the clean-up after a failure may take, whatever the caller's deadline left."""

Context = grpc.aio.ServicerContext[Any, Any]

_log = structlog.get_logger("importing")


class Imports:
    """ImportProfile, through the lock service and a host."""

    def __init__(self, backends: Backends, releaser: Releaser) -> None:
        self._backends = backends
        self._releaser = releaser

    async def ImportProfile(
        self, requests: AsyncIterator[ImportProfileRequest], context: Context
    ) -> ImportProfileResponse:
        messages = aiter(requests)
        header = (await anext(messages, ImportProfileRequest())).header
        chunks = (message.chunk async for message in messages)
        try:
            return await self._import(header, chunks)
        except TenureError:
            # Grpc tells whoever is cut short while sending of that, and not of our answer.
            async for _ in chunks:
                pass
            raise

    async def _import(
        self, header: ImportProfileHeader, chunks: AsyncIterator[bytes]
    ) -> ImportProfileResponse:
        identity = call.require_role("admin")
        name = names.resolve_profile(header.profile, identity.tenant)
        reason = fields.reason(header.reason)
        await self._refuse_when_used(name)
        one = _Import(self._backends, self._releaser, name, header.profile)
        try:
            came = await one.take(chunks)
        except BaseException:
            await _whole(one.undo())
            raise
        snapshot = await one.finish()
        _log.info("imported", profile=str(name), by=identity.subject, reason=reason, cookies=came.cookies)
        return ImportProfileResponse(
            profile=await self._read(name),
            snapshot=snapshot,
            cookies=came.cookies,
            unreadable_cookies=came.unreadable_cookies,
            findings=came.findings,
        )

    async def _refuse_when_used(self, name: ProfileName) -> None:
        """Told before anything is sent; the host refuses it too."""
        with suppress(NotFound):
            if (await self._read(name)).used:
                raise InvalidField(
                    field="profile",
                    value=name.as_sent,
                    problem="was used already",
                    remedy="import it under another id",
                )

    async def _read(self, name: ProfileName) -> Profile:
        asked = GetProfileRequest(profile=str(name))
        return (await self._backends.invoke(self._backends.profiles.GetProfile, asked)).profile

    def handler(self) -> grpc.GenericRpcHandler:
        """Return the handler of this; ask it before the one that passes the rest on."""
        return grpc.method_handlers_generic_handler(
            "tenure.v1.ProfileService",
            {
                "ImportProfile": grpc.stream_unary_rpc_method_handler(
                    self.ImportProfile,
                    ImportProfileRequest.FromString,
                    ImportProfileResponse.SerializeToString,
                )
            },
        )


class _Import:
    """One import under way, and what it got on the way. Use it once."""

    def __init__(self, backends: Backends, releaser: Releaser, name: ProfileName, as_sent: str) -> None:
        self._backends = backends
        self._releaser = releaser
        self._name = name
        self._as_sent = as_sent
        self._worker = ""
        self._hold: Hold | None = None

    async def take(self, chunks: AsyncIterator[bytes]) -> host_pb.ImportDirectoryResponse:
        """Hold the profile, and pass the directory on as it comes. Raises what ImportProfile documents."""
        acquired = await self._acquire()
        host = self._backends.host_among(acquired.hosts, acquired.hold.home)
        return await self._send(host, acquired.hold, chunks)

    async def _acquire(self) -> AcquireForSessionResponse:
        number = request_id.mint()
        registered = await self._backends.invoke(
            self._backends.lock.RegisterImplicitWorker,
            RegisterImplicitWorkerRequest(
                profile=str(self._name), request_id=number, ttl=Duration(seconds=LEASE_S)
            ),
        )
        self._worker = registered.worker
        acquire = AcquireHoldRequest(
            profile=self._as_sent, worker=self._worker, run_id="import", request_id=number
        )
        asked = AcquireForSessionRequest(acquire=acquire, choose_home=True)
        answer = await self._backends.invoke(self._backends.lock.AcquireForSession, asked)
        self._hold = answer.hold
        return answer

    async def _send(
        self, host: BrowserHostServiceStub, hold: Hold, chunks: AsyncIterator[bytes]
    ) -> host_pb.ImportDirectoryResponse:
        header = host_pb.ImportedDirectory(profile=str(self._name), fencing_token=hold.fencing_token)
        receiving = sending.streaming(self._backends, host.ImportDirectory)
        try:
            await sending.write(hold.home, receiving, host_pb.ImportDirectoryRequest(header=header))
            async for chunk in chunks:
                await sending.write(hold.home, receiving, host_pb.ImportDirectoryRequest(chunk=chunk))
            came: host_pb.ImportDirectoryResponse = await sending.answer(hold.home, receiving)
            return came
        finally:
            receiving.cancel()  # nothing, once it has ended

    async def finish(self) -> Snapshot | None:
        """Release the hold, and have a first snapshot; None where there is room for none.

        Raises what a release does: the directory is in its place then, and held.
        """
        hold = self._hold
        assert hold is not None, "an import that is done held the profile"
        await self._releaser.release(self._name, hold.fencing_token, RunResult.RUN_RESULT_SUCCEEDED)
        asked = host_pb.TakeProfileSnapshotRequest(
            profile=str(self._name), cause=SnapshotCause.SNAPSHOT_CAUSE_IMPORTED
        )
        try:
            host = self._backends.host_among(await self._backends.alive_hosts(), hold.home)
            with repeatable(hold.home):
                return (await self._backends.invoke(host.TakeProfileSnapshot, asked)).snapshot
        except TenureError as error:
            # It is free already, and may be held again by now: it gets one when it is closed.
            _log.warning("no first snapshot", profile=str(self._name), why=str(error))
            return None
        finally:
            await self._end_worker()

    async def undo(self) -> None:
        """Let go of what it got. Bounded; what fails is left to the lease's end."""
        call.limit(UNDO_S)
        try:
            if self._hold is not None:
                token, untouched = self._hold.fencing_token, RunResult.RUN_RESULT_FAILED_UNTOUCHED
                await self._releaser.release(self._name, token, untouched)
        except TenureError as error:
            _log.warning("could not undo", profile=str(self._name), why=str(error))
        await self._end_worker()

    async def _end_worker(self) -> None:
        if self._worker:
            with suppress(TenureError):
                ended = EndWorkerRequest(worker=self._worker)
                await self._backends.invoke(self._backends.workers.EndWorker, ended)


async def _whole(undo: Any) -> None:
    """Run it to its end also when this call is cancelled meanwhile, as its deadline does."""
    task = asyncio.ensure_future(undo)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise
