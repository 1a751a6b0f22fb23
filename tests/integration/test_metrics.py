"""/metrics says what was done: a real replica, scraped as Prometheus scrapes."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from lockservice.core.acquire import Queued
from lockservice.core.document import encode
from lockservice.core.hold import Hold
from lockservice.core.record import State
from lockservice.etcd.txn import put
from lockservice.metrics import Metrics
from lockservice.mirror import Mirror
from lockservice.parking import Parking
from lockservice.settings import LockSettings
from lockservice.watching import Watching
from servicekit.metrics import MetricsServer
from servicekit.server import BindError
from tenure import errors, request_id
from tenure.names import ProfileName
from tenure.v1 import hold_service_pb2 as hold_pb
from tenure.v1.hold_pb2 import RunResult
from tenure.v1.worker_service_pb2 import EndWorkerRequest
from tests.fixtures.etcd import Store
from tests.integration.test_watch_profiles import View
from tests.lockservice.replicas import Running, running
from tests.lockservice.test_states import record
from tests.lockservice.worlds import KEYS

ANY_PORT = "127.0.0.1:0"


async def scrape(address: str) -> dict[str, float]:
    """Every sample by name, with its labels' values."""
    async with aiohttp.ClientSession() as http, http.get(f"http://{address}/metrics") as answer:
        assert answer.status == 200
        text = await answer.text()
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def acquire_all(a: Running, worker: str, *profiles: str) -> hold_pb.AcquireHoldsResponse:
    requests = [
        hold_pb.AcquireHoldRequest(profile=profile, worker=worker, request_id=request_id.mint())
        for profile in profiles
    ]
    answer: hold_pb.AcquireHoldsResponse = await a.call(
        a.holds.AcquireHolds, hold_pb.AcquireHoldsRequest(requests=requests)
    )
    return answer


async def test_the_numbers_are_those_of_what_was_done(etcd: Store) -> None:
    async with (
        running(etcd.endpoints, etcd.prefix, sweep_s=0.1) as a,
        await MetricsServer.start(ANY_PORT, a.replica.metrics.registry) as served,
    ):
        owner, waiter, dying = await a.worker(), await a.worker(), await a.worker()
        held = await a.acquire("alice", owner)
        assert len((await acquire_all(a, owner, "b1", "b2", "b3")).results) == 3
        waiting = asyncio.create_task(a.acquire("alice", waiter, wait=30))
        await a.until_queued(1)
        now = await scrape(served.address)
        assert [now[f"tenure_{name}"] for name in ("waiters", "parked_calls")] == [1, 1]
        await a.release(held)
        await a.release(await waiting, RunResult.RUN_RESULT_NEEDS_REVIEW)
        with pytest.raises(errors.WaitExpired):
            await a.acquire("b1", waiter, wait=1)
        await a.until_queued(0)
        counted, joined = a.replica.metrics.acquired, asyncio.Event()
        # One that goes away before the answer to its join came is not counted.

        def count(outcome: Hold | Queued) -> None:
            counted(outcome)
            joined.set()

        a.replica.metrics.acquired = count  # type: ignore[method-assign]
        left = asyncio.create_task(a.acquire("b2", waiter, wait=30))
        await joined.wait()
        left.cancel()
        await a.acquire("dave", dying)
        await a.call(a.workers.EndWorker, EndWorkerRequest(worker=dying))
        while a.replica.mirror.states.total() < 5 or sum(a.replica.mirror.tenant_holds.values()) != 3:
            await a.replica._advanced.wait()
        async with View().following(a) as messages:
            await anext(messages)
            now = await scrape(served.address)

    states = {key.split()[1]: value for key, value in now.items() if key.startswith("tenure_profiles ")}
    assert {state: count for state, count in states.items() if count} == {"HELD": 3, "SUSPECTED_STALE": 2}
    assert now["tenure_grants_total at_once"] == 5
    assert now["tenure_grants_total hand_over"] == 1
    assert now["tenure_joins_total"] == 3
    assert now["tenure_releases_total"] == 2
    assert now["tenure_suspicions_total UNTRUSTED_RELEASE"] == 1
    assert now["tenure_suspicions_total LEASE_ENDED"] == 1
    assert now["tenure_workers_gone_total"] == 1
    assert now["tenure_workers"] == 2
    assert now["tenure_wait_seconds_count granted"] == 1
    assert now["tenure_wait_seconds_count WAIT_EXPIRED"] == 1
    assert now["tenure_bulk_items_sum acquire"] == 3
    assert 10 <= now["tenure_batch_size_count"] == now["tenure_txn_seconds_count answered"] <= a.wire.sent
    assert now["tenure_batch_size_sum"] >= now["tenure_batch_size_count"]
    assert now["tenure_watch_streams"] == 1
    assert now["tenure_etcd_heard"] == 1
    assert now["tenure_watch_revision"] > 0
    assert now["process_cpu_seconds_total"] > 0


async def test_a_watch_that_owes_a_write_is_seen_to(etcd: Store) -> None:
    async with running(etcd.endpoints, etcd.prefix) as a:
        worker, take, held_back = await a.worker(), a.replica._take, asyncio.Event()

        async def later(item: object) -> None:
            await held_back.wait()
            await take(item)  # type: ignore[arg-type]

        a.replica._take = later  # type: ignore[method-assign]
        hold = await a.acquire("alice", worker)
        assert a.replica.metrics.watch_lag_s() > 0
        held_back.set()
        while a.replica.mirror.revision < hold.fencing_token:
            await a.replica._advanced.wait()
        assert a.replica.metrics.watch_lag_s() == 0
        registry = a.replica.metrics.registry
        assert (registry.get_sample_value("tenure_watch_delay_seconds_count") or 0) >= 1


async def test_a_store_that_went_back_owes_nothing_that_was_written_before() -> None:
    mirror = Mirror(KEYS)
    metrics = Metrics(mirror, Parking(mirror), Watching(mirror))
    alice = put(KEYS.record(ProfileName("t", "alice")), encode(record(State.AVAILABLE)))
    for seen in (True, False):
        mirror.learn([alice], mirror.revision + 1000)
        if seen:
            metrics.look_at_watch()
        mirror.replace([], 5)
        metrics.look_at_watch()
        assert metrics.watch_lag_s() == 0
    assert not metrics.registry.get_sample_value("tenure_watch_delay_seconds_count")


async def test_a_port_that_is_taken_is_said_with_its_setting() -> None:
    mirror = Mirror(KEYS)
    registry = Metrics(mirror, Parking(mirror), Watching(mirror)).registry
    async with await MetricsServer.start(ANY_PORT, registry) as served:
        with pytest.raises(BindError, match="metrics-listen"):
            await MetricsServer.start(served.address, registry)
    async with await MetricsServer.start("", registry) as nowhere:
        assert nowhere.address == ""


@pytest.mark.parametrize("address", ["0.0.0.0:1", "here"])
def test_metrics_are_served_to_this_machine_alone(address: str) -> None:
    with pytest.raises(ValueError, match="metrics_listen"):
        LockSettings(metrics_listen=address)
