"""Acquires for sessions: a home is settled before anything is held, and whose hold it is is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tenure import errors, request_id
from tenure.internal.v1 import lock_service_pb2 as lock_pb
from tenure.names import ProfileName
from tenure.v1.hold_pb2 import Hold, ProfileState
from tenure.v1.hold_service_pb2 import AcquireHoldRequest, ReleaseHoldRequest
from tenure.v1.host_pb2 import Host
from tests.fixtures.etcd import Store
from tests.lockservice.replicas import Running, running, writes

Answer = lock_pb.AcquireForSessionResponse

ALICE = ProfileName("default", "alice")
A, B = "hosts/a", "hosts/b"


@pytest.fixture
async def here(etcd: Store) -> AsyncIterator[Running]:
    async with running(etcd.endpoints, etcd.prefix) as replica:
        yield replica


async def comes(here: Running, name: str, **facts: int) -> int:
    """Register a host; the registration."""
    host = Host(name=name, address=f"{name[6:]}.example:1", **{"capacity": 4, **facts})  # type: ignore[arg-type]
    answer = await here.call(here.lock.RegisterHost, lock_pb.RegisterHostRequest(host=host))
    while name[6:] not in here.replica.mirror.hosts:
        await here.replica._advanced.wait()
    registration: int = answer.registration
    return registration


async def goes(here: Running, name: str, registration: int) -> None:
    """End a host's lease, and return once the replica has heard of it."""
    await here.replica.etcd.leases.revoke(registration, 20.0)
    while name[6:] in here.replica.mirror.hosts:
        await here.replica._advanced.wait()


async def acquire(here: Running, worker: str, number: str = "", *, wait_s: int = 0) -> Answer:
    acquire = AcquireHoldRequest(profile="alice", worker=worker, request_id=number or request_id.mint())
    acquire.wait.FromSeconds(wait_s)
    request = lock_pb.AcquireForSessionRequest(acquire=acquire, choose_home=True)
    answer: Answer = await here.call(here.lock.AcquireForSession, request)
    return answer


async def release(here: Running, hold: Hold) -> None:
    ended = ReleaseHoldRequest(profile=hold.profile, fencing_token=hold.fencing_token)
    await here.call(here.lock.ReleaseDrained, lock_pb.ReleaseDrainedRequest(release=ended))


async def located(here: Running) -> lock_pb.LocateProfileResponse:
    request = lock_pb.LocateProfileRequest(profile=str(ALICE))
    found: lock_pb.LocateProfileResponse = await here.call(here.lock.LocateProfile, request)
    return found


async def test_a_home_is_chosen_once_and_told_with_where_it_is(here: Running) -> None:
    await comes(here, A, browsers=3)
    await comes(here, B)
    worker = await here.worker()
    first = await acquire(here, worker)
    assert (first.hold.home, [host.address for host in first.hosts]) == (B, ["b.example:1"])
    await release(here, first.hold)
    # A better one comes; what lies at the home counts.
    await comes(here, "hosts/c", capacity=99)
    again = await acquire(here, worker)
    assert (again.hold.home, [host.name for host in again.hosts]) == (B, [B])


async def test_nothing_is_held_nor_used_up_while_the_home_is_away(here: Running) -> None:
    registration = await comes(here, A)
    await comes(here, B)
    worker = await here.worker()
    # At b, but for its name.
    first = await acquire(here, worker)
    assert first.hold.home == A
    await release(here, first.hold)
    number = request_id.mint()
    await goes(here, A, registration)
    with pytest.raises(errors.HostUnreachable) as refused:
        await acquire(here, worker, number)
    assert refused.value.host == A
    assert (await located(here)).state == ProfileState.PROFILE_STATE_AVAILABLE
    await comes(here, A)
    held = await acquire(here, worker, number)
    assert (held.hold.home, held.earlier) == (A, False)


async def test_nobody_queues_for_a_home_that_is_away(here: Running) -> None:
    registration = await comes(here, A)
    first = await acquire(here, await here.worker())
    await goes(here, A, registration)
    with pytest.raises(errors.HostUnreachable):
        await acquire(here, await here.worker(), wait_s=60)
    assert not here.replica.mirror.queue(ALICE)
    assert (await located(here)).fencing_token == first.hold.fencing_token


async def test_a_hold_that_is_there_is_found_though_its_home_went_away(here: Running) -> None:
    """Its caller asks what became of the call: whether the host answers is the next question."""
    registration = await comes(here, A)
    worker, number = await here.worker(), request_id.mint()
    first = await acquire(here, worker, number)
    await goes(here, A, registration)
    again = await acquire(here, worker, number)
    assert (again.hold.fencing_token, again.earlier) == (first.hold.fencing_token, True)
    assert not again.hosts


async def test_without_a_host_or_room_nothing_is_held(here: Running) -> None:
    worker = await here.worker()
    with pytest.raises(errors.HostUnreachable, match="No browser host"):
        await acquire(here, worker)
    await comes(here, A, browsers=4)
    with pytest.raises(errors.NoRoom) as full:
        await acquire(here, worker)
    assert full.value.retry_after_s
    assert (await located(here)).revision == 0


async def test_of_copies_of_one_request_only_the_one_that_got_the_hold_has_it(here: Running) -> None:
    await comes(here, A)
    worker, number = await here.worker(), request_id.mint()
    answers = await asyncio.gather(*(acquire(here, worker, number) for _ in range(4)))
    assert len({answer.hold.fencing_token for answer in answers}) == 1
    assert sorted(answer.earlier for answer in answers) == [False, True, True, True]
    assert (await acquire(here, worker, number)).earlier


async def test_what_a_place_brings_is_of_the_copy_that_took_the_place(here: Running) -> None:
    await comes(here, A)
    held = await acquire(here, await here.worker())
    worker, number = await here.worker(), request_id.mint()
    first = asyncio.create_task(acquire(here, worker, number, wait_s=60))
    await here.until_queued(1)
    second = asyncio.create_task(acquire(here, worker, number, wait_s=60))
    await release(here, held.hold)
    mine, found = await first, await second
    assert mine.hold.fencing_token == found.hold.fencing_token
    assert (mine.earlier, found.earlier) == (False, True)


async def test_a_grant_whose_reply_was_lost_may_be_anybodys(here: Running) -> None:
    await comes(here, A)
    lost = here.wire.lose_next_reply(writes(b"/p/"))
    answer = await acquire(here, await here.worker())
    assert lost.arrived.is_set()
    assert answer.earlier
