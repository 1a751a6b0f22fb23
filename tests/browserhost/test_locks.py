"""What a host asks the lock service, over real gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from browserhost import reporter
from browserhost.clock import boottime
from browserhost.locks import Locks
from browserhost.registrar import keep_registered
from browserhost.verifier import MAX_QUERIES
from browserhost.whereabouts import Whereabouts
from servicekit import call
from servicekit.channels import Channels
from tenure.errors import StoreUnavailable
from tenure.internal.v1.lock_service_pb2_grpc import LockServiceStub
from tenure.v1 import host_pb2
from tenure.v1.hold_pb2 import PROFILE_STATE_AVAILABLE, PROFILE_STATE_HELD
from tenure.v1.incident_pb2 import SUSPICION_CAUSE_BROWSER_LOST
from tests.browserhost.fakes import ALICE, HOST
from tests.browserhost.lock_service import FakeLockService, serving

Served = tuple[FakeLockService, LockServiceStub, Channels]


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    service = FakeLockService()
    async with serving(service) as (stub, channels):
        yield service, stub, channels


@pytest.fixture
async def locks(served: Served) -> AsyncIterator[Locks]:
    made = Locks(served[1], served[2], HOST)
    yield made
    await made.aclose()


async def test_questions_of_one_moment_share_messages_of_at_most_sixty(served: Served, locks: Locks) -> None:
    tokens = range(950, 950 + MAX_QUERIES + 7)
    proofs = await asyncio.gather(*(locks.verify(ALICE, token) for token in tokens))
    assert [proof.verdict.current for proof in proofs] == [token < 1000 for token in tokens]
    assert sorted(len(each.queries) for each in served[0].verifies) == [7, MAX_QUERIES]
    assert {each.host for each in served[0].verifies} == {HOST}


async def test_a_proof_carries_when_it_was_asked_for(locks: Locks) -> None:
    before = boottime()
    proof = await locks.verify(ALICE, 41)
    assert before <= proof.sent_at <= boottime()


async def test_no_answer_is_no_verdict(served: Served, locks: Locks) -> None:
    served[0].away = 1
    with pytest.raises(StoreUnavailable):
        await locks.verify(ALICE, 41)
    assert (await locks.verify(ALICE, 41)).verdict.current


async def test_a_batch_does_not_inherit_the_deadline_of_the_call_that_began_it(locks: Locks) -> None:
    call.limit(0.0)
    assert (await locks.verify(ALICE, 41)).verdict.current


async def test_unanswered_questions_end_with_the_host(served: Served) -> None:
    made = Locks(served[1], served[2], HOST)
    served[0].silent = True
    asking = asyncio.create_task(made.verify(ALICE, 41))
    await served[0].called.wait()
    await made.aclose()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_a_suspicion_is_told_until_it_is_heard(
    served: Served, locks: Locks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporter, "_FIRST_PAUSE_S", 0.001)
    served[0].away = 3
    assert await locks.suspect(ALICE, 41, "BROWSER_LOST", "it was killed")
    assert len(served[0].suspects) == 4
    told = served[0].suspects[-1]
    assert (told.profile, told.fencing_token, told.cause, told.detail) == (
        str(ALICE),
        41,
        SUSPICION_CAUSE_BROWSER_LOST,
        "it was killed",
    )


async def test_where_a_profile_is_at_home_is_asked_each_time(served: Served, locks: Locks) -> None:
    assert await locks.locate(ALICE) == Whereabouts(HOST, PROFILE_STATE_AVAILABLE, 7, epoch=1)
    served[0].home, served[0].state = "hosts/other", PROFILE_STATE_HELD
    assert await locks.locate(ALICE) == Whereabouts("hosts/other", PROFILE_STATE_HELD, 7, epoch=1)
    served[0].away = 1
    with pytest.raises(StoreUnavailable):
        await locks.locate(ALICE)


async def test_a_host_registers_renews_and_registers_anew_when_it_was_forgotten(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, stub, channels = served
    monkeypatch.setattr("browserhost.registrar._RETRY_S", 0.001)
    service.away = 1
    told = asyncio.Event()

    async def registered() -> None:
        told.set()

    heard: list[int] = []
    facts = host_pb2.Host(name=HOST, capacity=3, warm=[host_pb2.WarmBrowser(profile=str(ALICE))])
    keeping = asyncio.create_task(keep_registered(stub, channels, lambda: facts, registered, heard.append))
    await told.wait()
    assert len(service.registered) == 2
    while len(service.renewed) < 2:
        service.called.clear()
        await service.called.wait()
    assert service.renewed[0].registration == 7
    assert service.renewed[0].host == facts
    service.scheduled = host_pb2.HOST_STATE_DRAINING
    service.forgotten = True
    while len(service.registered) < 3:
        service.called.clear()
        await service.called.wait()
    # Both kinds of answer say how the host is scheduled.
    while len(service.renewed) < 5:
        service.called.clear()
        await service.called.wait()
    assert {*heard} == {host_pb2.HOST_STATE_READY, host_pb2.HOST_STATE_DRAINING}
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
