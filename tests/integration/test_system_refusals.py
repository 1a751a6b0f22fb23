"""Tokens of others, names of others, bytes that are no message: refused, and nothing is changed."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tenure import errors
from tenure.v1 import hold_service_pb2 as holds
from tenure.v1 import host_service_pb2, incident_service_pb2, system_service_pb2
from tenure.v1 import profile_service_pb2 as profiles
from tenure.v1 import session_service_pb2 as sessions
from tenure.v1 import worker_service_pb2 as workers
from tenure.v1.hold_service_pb2_grpc import HoldServiceStub
from tenure.v1.worker_service_pb2_grpc import WorkerServiceStub
from tests.fixtures.census import PARTS
from tests.fixtures.scene import PROFILE, Scene

pytestmark = [pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="module")]

OTHERS = "tenants/other/profiles/alice_shop"


SUPERSEDED: dict[str, Callable[[Scene, int], Any]] = {
    "verify": lambda s, t: holds.VerifyHoldRequest(profile=PROFILE, fencing_token=t),
    "step": lambda s, t: holds.StartStepRequest(profile=PROFILE, fencing_token=t, name="x"),
    "shutdown": lambda s, t: sessions.ShutdownBrowserRequest(profile=PROFILE, fencing_token=t),
    "open": lambda s, t: sessions.OpenSessionRequest(profile=PROFILE, fencing_token=t),
}


@pytest.mark.parametrize("which", ["old", "never granted"])
@pytest.mark.parametrize("name", SUPERSEDED)
async def test_a_token_that_is_not_the_current_one_is_refused(scene: Scene, name: str, which: str) -> None:
    before = await scene.everything()
    number = scene.old if which == "old" else scene.token + 1
    refusal = await scene.refusal(SUPERSEDED[name](scene, number))
    assert isinstance(refusal, errors.TokenSuperseded)
    assert str(number) in str(refusal)
    assert "open the profile again" in str(refusal)
    assert await scene.everything() == before


async def test_releasing_a_token_that_nobody_was_granted_is_refused(scene: Scene) -> None:
    before = await scene.everything()
    request = holds.ReleaseHoldRequest(profile=PROFILE, fencing_token=scene.token + 1)
    assert isinstance(await scene.refusal(request), errors.TokenSuperseded)
    assert await scene.everything() == before


async def test_releasing_an_old_token_again_touches_no_later_hold(scene: Scene) -> None:
    before = await scene.everything()
    answer = await scene.call(holds.ReleaseHoldRequest(profile=PROFILE, fencing_token=scene.old))
    assert answer.already_released
    assert await scene.everything() == before


async def acquire_as_another_tenant(scene: Scene) -> None:
    """Make OTHERS exist, as a caller of its own tenant would: straight at the lock service."""
    parts = json.loads((scene.system.data_root / "run.json").read_text())["parts"]
    own = (("tenure-tenant", "other"), ("tenure-subject", "them"), ("tenure-roles", "worker"))
    async with grpc.aio.insecure_channel(parts["lockservice"]["address"]) as channel:
        register = WorkerServiceStub(channel).RegisterWorker
        worker = (await register(workers.RegisterWorkerRequest(), timeout=30, metadata=own)).worker.name
        acquire = holds.AcquireHoldRequest(profile=OTHERS, worker=worker)
        held = await HoldServiceStub(channel).AcquireHold(acquire, timeout=30, metadata=own)
        assert held.hold.profile == OTHERS
        release = holds.ReleaseHoldRequest(profile=OTHERS, fencing_token=held.hold.fencing_token)
        await HoldServiceStub(channel).ReleaseHold(release, timeout=30, metadata=own)
        await WorkerServiceStub(channel).EndWorker(
            workers.EndWorkerRequest(worker=worker), timeout=30, metadata=own
        )


async def test_another_tenants_name_is_refused_without_a_hint_of_what_exists(scene: Scene) -> None:
    """Names of what exists, and of what does not, get word for word the same answer."""
    await acquire_as_another_tenant(scene)
    before = await scene.everything()
    said = set()
    for name in (OTHERS, "tenants/other/profiles/nobody", "tenants/nowhere/profiles/alice_shop"):
        for request in (
            sessions.OpenSessionRequest(profile=name),
            holds.AcquireHoldRequest(profile=name, worker=scene.worker),
            holds.ReleaseHoldRequest(profile=name, fencing_token=scene.token),
            holds.VerifyHoldRequest(profile=name, fencing_token=scene.token),
            profiles.GetProfileRequest(profile=name),
            sessions.ShutdownBrowserRequest(profile=name, fencing_token=scene.token),
        ):
            refusal = await scene.refusal(request)
            assert isinstance(refusal, errors.PermissionDenied), refusal
            said.add((str(refusal), tuple(refusal.metadata.items())))
    assert said == {
        ("profile names a tenant that this credential does not belong to; write tenants/- for your own.", ())
    }
    for listing in (
        profiles.ListProfilesRequest(parent="tenants/other"),
        sessions.ListSessionsRequest(parent="tenants/other"),
    ):
        assert isinstance(await scene.refusal(listing), errors.PermissionDenied)
    assert await scene.everything() == before


async def test_random_bytes_crash_nothing(scene: Scene) -> None:
    chance = random.Random(7433)
    pids = [scene.system.part(name) for name in PARTS]
    modules = (sessions, holds, workers, profiles, host_service_pb2, system_service_pb2, incident_service_pb2)
    for module in modules:
        for service in module.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                path = f"/{service.full_name}/{method.name}"
                for size in (1, 7, 64, 4096):
                    await _throw(scene.channel, path, method.client_streaming, chance.randbytes(size))
    health = health_pb2_grpc.HealthStub(scene.channel)
    answer = await health.Check(health_pb2.HealthCheckRequest(), timeout=30)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    assert [scene.system.part(name) for name in PARTS] == pids
    session = await scene.call(sessions.GetSessionRequest(session=scene.session))
    assert session.session.fencing_token == scene.token


UNCLEAR = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.DEADLINE_EXCEEDED,
)


async def _throw(channel: grpc.aio.Channel, path: str, streams: bool, junk: bytes) -> None:
    """Send junk. An answer is fine, and so is a refusal: not "it may have happened", nor a fault of ours."""
    # Without serializers gRPC sends the bytes as they are.
    send: Any = channel.stream_stream(path) if streams else channel.unary_stream(path)
    call = send(iter([junk]) if streams else junk, timeout=3)
    try:
        async for _ in call:
            return
    except grpc.aio.AioRpcError as refused:
        if refused.code() in UNCLEAR:
            raise AssertionError(f"{path}: {refused.code()}, {refused.details()}") from refused
