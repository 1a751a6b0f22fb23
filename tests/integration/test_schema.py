"""Replicas of this version beside those of the one before it; and what a later one may store."""

from __future__ import annotations

import asyncio
import subprocess
import tarfile
import warnings
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lockservice.core.document import encode
from lockservice.core.record import Record, State
from lockservice.etcd.txn import put, txn
from tenure import errors, request_id
from tenure.internal.v1.lock_service_pb2 import (
    ListAliveHostsRequest,
    RegisterHostRequest,
    RenewHostRequest,
    ScheduleHostRequest,
)
from tenure.names import ProfileName
from tenure.v1.hold_pb2 import Hold
from tenure.v1.host_pb2 import Host, HostState
from tests.fixtures.etcd import Store
from tests.fixtures.replica_process import ROOT, replica_process
from tests.lockservice.incidents import decide, for_session, inspect, quarantine, suspect
from tests.lockservice.replicas import Running, running

# The version before this one: its last commit.
BEFORE = "14ca2ac"
ALICE = ProfileName("default", "alice")


@pytest.fixture(scope="module")
def code_before(tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    """The lock service of the version before, with all of ours that it imports; None without history."""
    into = tmp_path_factory.mktemp("before")
    archive = into / "code.tar"
    command = ["git", "archive", "-o", str(archive), BEFORE, "lockservice", "servicekit", "tenure"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return None
    with tarfile.open(archive) as tar:
        tar.extractall(into, filter="data")
    return into


@pytest.fixture
async def pair(etcd: Store, code_before: Path | None) -> AsyncIterator[tuple[Running, Running]]:
    """A replica of this version and one of the version before, which began the store."""
    if code_before is None:
        # Loud, and no failure: a source archive has no history, and is no less right for it.
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn(f"NOT TESTED beside the version before: git has no commit {BEFORE}", stacklevel=1)
    async with replica_process(etcd.endpoints, etcd.prefix, code=code_before or ROOT) as before:
        await before.worker()
        async with running(etcd.endpoints, etcd.prefix) as now:
            yield now, before


async def test_what_one_version_grants_the_other_renews_verifies_and_ends(
    pair: tuple[Running, Running],
) -> None:
    tokens = []
    for here, there in (pair, pair[::-1]) * 2:
        worker = await here.worker()
        hold = await here.acquire("alice", worker)
        with pytest.raises(errors.ProfileBusy):
            await there.acquire("alice", await there.worker())
        assert [held.fencing_token for held in (await there.renew(worker)).holds] == [hold.fencing_token]
        assert (await there.verify(hold)).worker == worker
        await there.release(hold)
        with pytest.raises(errors.TokenSuperseded):
            await here.verify(hold)
        tokens.append(hold.fencing_token)
    assert tokens == sorted(set(tokens))


async def test_waiters_parked_on_both_versions_are_granted_in_turn(pair: tuple[Running, Running]) -> None:
    now, before = pair
    hold = await before.acquire("alice", await now.worker())
    waits = []
    for i in range(6):
        here = pair[i % 2]
        worker = await pair[(i + 1) % 2].worker()
        waits.append(
            asyncio.create_task(
                here.acquire("alice", worker, wait=45, timeout=50, request_id=request_id.mint())
            )
        )
        await now.until_queued(i + 1)
    tokens = [hold.fencing_token]
    for i, wait in enumerate(waits):
        await pair[(i // 2) % 2].release(hold)
        hold = await wait
        assert not any(other.done() for other in waits[i + 1 :])
        tokens.append(hold.fencing_token)
    assert tokens == sorted(set(tokens))


async def test_an_incident_goes_from_one_version_to_the_other_and_is_decided_once(
    pair: tuple[Running, Running],
) -> None:
    now, _ = pair
    for i, (here, there) in enumerate((pair, pair[::-1])):
        hold = await for_session(here, f"p{i}", await here.worker())
        waiting = asyncio.create_task(there.acquire(f"p{i}", await here.worker(), wait=45, timeout=50))
        await now.until_queued(1)
        incident = await suspect(here, hold)
        with pytest.raises(errors.TokenSuperseded):
            await there.verify(hold)
        assert await quarantine(there, incident) == "QUARANTINED"
        inspected = await inspect(here, incident)
        assert not waiting.done()
        answers = await asyncio.gather(
            *(decide(each, incident, inspected.revision, "AVAILABLE") for each in pair),
            return_exceptions=True,
        )
        assert any(not isinstance(answer, BaseException) for answer in answers)
        assert (await waiting).fencing_token > hold.fencing_token


async def test_what_a_later_version_stored_is_refused_by_name_and_left_alone(etcd: Store) -> None:
    async with running(etcd.endpoints, etcd.prefix) as a:
        worker, keys, kv = await a.worker(), a.replica.keys, a.replica.etcd.kv
        later = b'{"v":2,"state":"AVAILABLE","mode":"shared"}'
        await kv.txn(txn([], [put(keys.record(ALICE), later)]), 5.0)
        with pytest.raises(errors.Internal, match="Record of schema 2; this is schema 1: upgrade"):
            await a.acquire("alice", worker)
        with pytest.raises(errors.Internal, match="schema 2"):
            await a.release(Hold(profile="alice", fencing_token=1))
        with pytest.raises(errors.Internal, match="schema 2"):
            await a.acquire("alice", worker, wait=1)
        left = await kv.get(keys.record(ALICE), 5.0)
        assert left is not None
        assert left.value == later
        # Others go on, and so does this one where the later version said that a field may be lost.
        await a.acquire("bob", worker)
        known = encode(Record(state=State.AVAILABLE, epoch=0, since_ms=1, as_sent="carol"))
        marked = known[:-1] + b',"mood?":"calm"}'
        await kv.txn(txn([], [put(keys.record(ProfileName("default", "carol")), marked)]), 5.0)
        await a.verify(await a.acquire("carol", worker))


async def test_a_host_of_which_a_later_version_said_more_gets_no_profiles_but_lives(etcd: Store) -> None:
    async with running(etcd.endpoints, etcd.prefix) as a:
        host = Host(name="hosts/h1", address="127.0.0.1:1", boot_id="b", capacity=1)
        registration = (await a.call(a.lock.RegisterHost, RegisterHostRequest(host=host))).registration
        keys, kv = a.replica.keys, a.replica.etcd.kv
        later = b'{"v":1,"state":"ASLEEP","by":"ann","since_ms":1}'
        await kv.txn(txn([], [put(keys.schedule("h1"), later)]), 5.0)
        while "h1" not in a.replica.mirror.schedules:
            await a.replica._advanced.wait()
        [told] = (await a.call(a.lock.ListAliveHosts, ListAliveHostsRequest())).hosts
        assert told.state == HostState.HOST_STATE_UNSPECIFIED
        renewal = RenewHostRequest(registration=registration, host=host)
        assert (await a.call(a.lock.RenewHost, renewal)).state == HostState.HOST_STATE_UNSPECIFIED
        # Nobody who cannot read it takes it back.
        ready = ScheduleHostRequest(host="hosts/h1", state=HostState.HOST_STATE_READY)
        with pytest.raises(errors.Internal, match="ASLEEP"):
            await a.call(a.lock.ScheduleHost, ready)
        left = await kv.get(keys.schedule("h1"), 5.0)
        assert left is not None
        assert left.value == later


async def test_a_later_versions_epoch_is_served_by_nobody_who_cannot_read_it(etcd: Store) -> None:
    async with running(etcd.endpoints, etcd.prefix) as a:
        await a.acquire("alice", await a.worker())
        keys = a.replica.keys
        await a.replica.etcd.kv.txn(txn([], [put(keys.epoch, b'{"v":2}')]), 5.0)
        with pytest.raises(errors.TenureError):
            await a.acquire("bob", await a.worker())
        async with running(etcd.endpoints, etcd.prefix) as b:
            await b.until_told("Epoch of schema 2")
