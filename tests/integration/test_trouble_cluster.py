"""Three members under traffic: a leader killed, members frozen, a quorum lost and back, endpoints away."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import pytest

from tenure import errors
from tenure.v1.worker_service_pb2 import RegisterWorkerRequest
from tests.fixtures.etcd import Cluster
from tests.fixtures.ports import free_port
from tests.fixtures.traffic import Traffic, traffic
from tests.lockservice.replicas import Running, running


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three members; each test leaves them as they were."""
    members = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        members.start()
        yield members
    finally:
        members.kill()


@pytest.fixture
async def replicas(
    cluster: Cluster, request: pytest.FixtureRequest
) -> AsyncIterator[tuple[Running, Running]]:
    """Two, each connected to another member first; the second's first address answers nobody."""
    prefix = f"/{request.node.name}/".replace("[", "-").replace("]", "")
    first, second, third = cluster.endpoints
    async with (
        running([first, second, third], prefix) as a,
        running([f"127.0.0.1:{free_port()}", third, second, first], prefix) as b,
    ):
        yield a, b


@contextlib.asynccontextmanager
async def going(replicas: tuple[Running, Running]) -> AsyncIterator[Traffic]:
    async with traffic(replicas) as moving:
        await moving.advance(10)
        yield moving
        await moving.advance(10)


@pytest.mark.parametrize("violence", ["kill", "freeze"])
@pytest.mark.parametrize("leads", [True, False])
async def test_a_member_that_fails_stops_nobody(
    cluster: Cluster, replicas: tuple[Running, Running], leads: bool, violence: str
) -> None:
    leader = await cluster.leader()
    # The one that the first replica is connected to, or the other.
    victim = leader if leads else next(m for m in cluster.members if m is not leader)
    try:
        async with going(replicas) as moving:
            victim.kill() if violence == "kill" else victim.freeze()
            await moving.advance(20)
    finally:
        if violence == "freeze":
            victim.thaw()
        else:
            await victim.restart()


@pytest.mark.parametrize("violence", ["kill", "freeze"])
async def test_without_a_quorum_nothing_is_granted_and_with_it_all_goes_on(
    cluster: Cluster, replicas: tuple[Running, Running], violence: str
) -> None:
    lost = cluster.members[:2]
    async with going(replicas) as moving:
        for member in lost:
            member.kill() if violence == "kill" else member.freeze()
        # What was under way may still have been answered; from here on nothing can be.
        for here in replicas:
            with pytest.raises((errors.StoreUnavailable, errors.OutcomeUnknown)):
                await here.call(here.workers.RegisterWorker, RegisterWorkerRequest(), timeout=3.0)
        stuck = moving.granted
        for here in replicas:
            with pytest.raises((errors.StoreUnavailable, errors.OutcomeUnknown)):
                await here.call(here.workers.RegisterWorker, RegisterWorkerRequest(), timeout=3.0)
        assert moving.granted == stuck
        for member in lost:
            if violence == "kill":
                member.start()
            else:
                member.thaw()
        await moving.advance(20)
    await asyncio.gather(*(asyncio.to_thread(member.wait_ready) for member in cluster.members))
