"""Hosts that an administrator takes out of use: durable, told wherever hosts are, and heeded by the host."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lockservice.core import schedule
from lockservice.core.decision import Write
from lockservice.core.document import decode
from lockservice.core.stored import Schedule
from lockservice.etcd.txn import txn
from lockservice.leases import LeaseKeys
from tenure import errors
from tenure.etcdwire.v1.etcdwire_pb2 import TxnResponse
from tenure.internal.v1.lock_service_pb2 import LocateProfileRequest, ScheduleHostRequest
from tenure.v1.host_pb2 import Host, HostState
from tenure.v1.host_service_pb2 import (
    CordonHostRequest,
    DrainHostRequest,
    ListHostsRequest,
    UncordonHostRequest,
)
from tests.fixtures.etcd import Store
from tests.fixtures.town import Town, town_in
from tests.lockservice.replicas import running

READY, CORDONED, DRAINING = (
    HostState.HOST_STATE_READY,
    HostState.HOST_STATE_CORDONED,
    HostState.HOST_STATE_DRAINING,
)


@pytest.fixture
async def town(tmp_path: Path, etcd: Store, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Town]:
    """With hosts that ask, and look, all the time."""
    monkeypatch.setattr("browserhost.registrar._LONGEST_WAIT_S", 0.02)
    monkeypatch.setattr("browserhost.host.DRAIN_EVERY_S", 0.02)
    async with town_in(tmp_path, etcd) as made:
        yield made


async def listed(town: Town) -> dict[str, Host]:
    answer = await town.call(town.admin.ListHosts, ListHostsRequest())
    return {host.name: host for host in answer.hosts}


async def test_a_cordon_outlives_the_host_and_is_known_at_every_replica(town: Town, etcd: Store) -> None:
    await town.call(town.admin.CordonHost, CordonHostRequest(host="hosts/a"))
    await town.at("hosts/a").restart()
    assert {name: host.state for name, host in (await listed(town)).items()} == {
        "hosts/a": CORDONED,
        "hosts/b": READY,
    }
    located = await town.here.call(town.here.lock.LocateProfile, LocateProfileRequest(profile="bob"))
    assert [host.state for host in located.hosts] == [CORDONED, READY]
    async with running(etcd.endpoints, etcd.prefix) as another:
        located = await another.call(another.lock.LocateProfile, LocateProfileRequest(profile="bob"))
        assert [host.state for host in located.hosts] == [CORDONED, READY]
    assert (await town.open("bob")).hold.home == "hosts/b"
    kv = await town.here.replica.etcd.kv.get(town.here.replica.keys.schedule("a"), 5.0)
    assert kv is not None
    assert kv.lease == 0
    said = decode(Schedule, kv.value)
    assert (said.state, said.by) == ("CORDONED", "dev")


async def test_a_drain_reaches_the_host_and_is_over_when_it_has_no_browser(town: Town) -> None:
    idle = await town.open("alice")
    home = idle.hold.home
    await town.close(idle)
    other = {"hosts/a": "hosts/b", "hosts/b": "hosts/a"}[home]
    await town.call(town.admin.CordonHost, CordonHostRequest(host=other))
    held = await town.open("bob")
    assert held.hold.home == home
    await town.until_host(home, lambda host: host.browsers == 2 and len(host.warm) == 1)
    drained = await town.call(town.admin.DrainHost, DrainHostRequest(host=home))
    assert drained.host.state == DRAINING
    # Answered at once; what is idle goes, what is held stays.
    await town.until_host(home, lambda host: host.emptying and host.browsers == 1 and not host.warm)
    with pytest.raises(errors.NoRoom, match="cordoned or draining"):
        await town.open("carol")
    await town.close(held)
    empty = await town.until_host(home, lambda host: host.browsers == 0)
    assert (empty.state, empty.emptying) == (DRAINING, True)
    # It hears of it anew when it registers again.
    await town.at(home).restart()
    await town.at(home).until_draining(True)
    # Its profiles are at home there, and are served.
    again = await town.open("alice")
    assert (again.hold.home, again.reused_session) == (home, False)
    await town.call(town.admin.UncordonHost, UncordonHostRequest(host=home))
    await town.until_host(home, lambda host: host.state == READY and not host.emptying)
    await town.at(home).until_draining(False)
    await town.close(again)
    warm = await town.until_host(home, lambda host: bool(host.warm))
    assert [each.profile for each in warm.warm] == ["tenants/default/profiles/alice"]


async def test_only_a_host_that_there_is_can_be_cordoned(town: Town) -> None:
    for method, request in (
        (town.admin.CordonHost, CordonHostRequest(host="hosts/c")),
        (town.admin.DrainHost, DrainHostRequest(host="hosts/c")),
        (town.admin.UncordonHost, UncordonHostRequest(host="hosts/c")),
    ):
        with pytest.raises(errors.NotFound):
            await town.call(method, request)
    # A cordon is taken back from a host that has died since.
    await town.call(town.admin.CordonHost, CordonHostRequest(host="hosts/a"))
    await town.at("hosts/a").fall_silent()
    await town.until_dead("hosts/a")
    freed = await town.call(town.admin.UncordonHost, UncordonHostRequest(host="hosts/a"))
    assert (freed.host.name, freed.host.state, freed.host.capacity) == ("hosts/a", READY, 0)
    with pytest.raises(errors.InvalidField, match="state"):
        await town.here.call(town.here.lock.ScheduleHost, ScheduleHostRequest(host="hosts/b"))


async def test_a_host_that_is_scheduled_while_it_tells_of_itself_is_known_by_both(town: Town) -> None:
    for host in town.hosts:
        await host.fall_silent()
    replica, deadline = town.here.replica, asyncio.get_running_loop().time() + 20
    keys, committer = replica.keys, replica.committer
    seen = schedule.seen(await committer.look_up(schedule.reads(keys, "a"), deadline))
    cordon = schedule.decide(keys, "a", seen, Schedule(state="CORDONED", by="dev", since_ms=1))
    assert isinstance(cordon, Write)
    leases, known = LeaseKeys(replica.etcd, keys, committer, replica.mirror), replica.mirror.hosts["a"]
    # Both gather while the first ones fly.
    first = [committer.look_up(schedule.reads(keys, "a"), deadline) for _ in range(200)]
    *_, scheduled, told = await asyncio.gather(
        *first,
        committer.commit(txn(cordon.compares, cordon.ops), deadline),
        leases.put(keys.host("a"), known.value + b" ", known.lease, deadline),
    )
    assert isinstance(scheduled, TxnResponse)
    assert scheduled.succeeded
    assert told
    both = [await replica.etcd.kv.get(key, 5.0) for key in (keys.schedule("a"), keys.host("a"))]
    # One batch.
    assert len({kv.mod_revision for kv in both if kv is not None}) == 1


async def test_what_is_told_of_a_host_is_stored_only_when_it_changed(town: Town) -> None:
    replica = town.here.replica
    host = town.at("hosts/a")
    await host.fall_silent()
    before = replica.mirror.hosts["a"].mod_revision
    registration = replica.mirror.hosts["a"].lease
    await host.renew(registration)
    assert replica.mirror.hosts["a"].mod_revision == before
    await town.call(town.admin.CordonHost, CordonHostRequest(host="hosts/b"))
    opened = await town.open("alice")
    await host.renew(registration)
    await town.until_host("hosts/a", lambda told: told.browsers == 1 and not told.warm)
    await town.close(opened)
    await host.renew(registration)
    told = await town.until_host("hosts/a", lambda told: len(told.warm) == 1)
    assert (told.browsers, told.capacity, told.boot_id) == (1, 8, "boot")
