"""What histories under faults have shown, each by itself."""

from __future__ import annotations

import asyncio

from lockservice.core.record import State
from tenure import request_id
from tenure.names import ProfileName
from tenure.v1.hold_pb2 import ProfileState
from tenure.v1.profile_service_pb2 import GetProfileRequest, UpdateProfileRequest
from tests.chaos.drama import Deafness
from tests.fixtures.etcd import Store
from tests.lockservice.replicas import Running, running


async def switch(a: Running, profile: str, wanted: str) -> None:
    name = f"tenants/default/profiles/{profile}"
    found = await a.call(a.profiles.GetProfile, GetProfileRequest(profile=name))
    request = UpdateProfileRequest()
    request.profile.name, request.profile.etag = name, found.profile.etag
    request.profile.state = ProfileState.Value(f"PROFILE_STATE_{wanted}")
    request.update_mask.paths.append("state")
    await a.call(a.profiles.UpdateProfile, request)


async def test_a_replica_that_is_behind_does_not_send_waiters_away_from_a_profile_in_use(etcd: Store) -> None:
    async with running(etcd.endpoints, etcd.prefix) as a, running(etcd.endpoints, etcd.prefix) as b:
        worker = await a.worker()
        await a.release(await a.acquire("x", worker))
        await switch(b, "x", "DISABLED")
        await a.until_state(ProfileName("default", "x"), State.DISABLED)
        behind = Deafness(a.replica)
        behind.on()
        await switch(b, "x", "AVAILABLE")
        hold = await b.acquire("x", worker)

        request = request_id.mint()
        waiting = asyncio.create_task(a.acquire("x", worker, wait=30, timeout=40.0, request_id=request))
        await b.until_queued(1)
        await b.release(hold)
        behind.off()

        assert (await waiting).request_id == request
