"""Txns, reads and leases against a real etcd."""

from __future__ import annotations

import asyncio
import math

import grpc
import pytest

from lockservice.etcd import txn as t
from lockservice.etcd.client import Etcd
from lockservice.etcd.errors import ClusterChanged, NotSent, OutcomeUnknown, Rejected
from tests.fixtures.etcd import Member, Store, raft_index
from tests.fixtures.ports import free_port
from tests.fixtures.proxy import Proxy


async def put(client: Etcd, key: str, value: str = "", lease: int = 0) -> int:
    answer = await client.kv.txn(t.txn([], [t.put(key.encode(), value.encode(), lease)]), 30.0)
    return answer.header.revision


async def test_a_txn_takes_the_failing_branch_when_a_compare_fails(client: Etcd, etcd: Store) -> None:
    key = f"{etcd.prefix}a".encode()
    await put(client, f"{etcd.prefix}a", "1")
    answer = await client.kv.txn(t.txn([t.absent(key)], [t.put(key, b"2")], [t.get(key)]), 30.0)
    assert not answer.succeeded
    assert answer.responses[0].response_range.kvs[0].value == b"1"


async def test_the_compares_of_nested_txns_see_the_state_before_all_of_them(
    client: Etcd, etcd: Store
) -> None:
    keys = [f"{etcd.prefix}{i}".encode() for i in range(100)]
    children = [t.nested(t.txn([t.empty(t.prefix(etcd.prefix.encode()))], [t.put(k, b"x")])) for k in keys]
    answer = await client.kv.txn(t.txn([], children), 30.0)
    assert all(r.response_txn.succeeded for r in answer.responses)
    found = await client.kv.read(t.prefix(etcd.prefix.encode()), 30.0)
    assert {kv.mod_revision for kv in found.kvs} == {answer.header.revision}


async def test_a_range_compare_tells_the_head_of_a_queue(client: Etcd, etcd: Store) -> None:
    queue = t.prefix(f"{etcd.prefix}q/".encode())
    first = await put(client, f"{etcd.prefix}q/b")
    second = await put(client, f"{etcd.prefix}q/a")

    async def holds(compare: t.Compare) -> bool:
        return (await client.kv.txn(t.txn([compare], []), 30.0)).succeeded

    assert await holds(t.none_older(queue, first))
    assert not await holds(t.none_older(queue, second))
    assert not await holds(t.empty(queue))
    nobody = t.prefix(f"{etcd.prefix}nobody/".encode())
    assert await holds(t.empty(nobody))
    assert not await holds(t.none_older(nobody, first))
    head = await client.kv.txn(t.txn([], [t.first_created(queue)]), 30.0)
    assert head.responses[0].response_range.kvs[0].key.endswith(b"/b")


async def test_deleting_an_absent_key_orders_without_raising_the_revision(client: Etcd) -> None:
    before = await raft_index(client)
    assert (await raft_index(client)).revision == before.revision


async def test_a_list_is_of_one_revision_though_it_has_pages(
    client: Etcd, etcd: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lockservice.etcd.kv._PAGE", 3)
    last = max([await put(client, f"{etcd.prefix}a/{i}") for i in range(8)])
    await put(client, f"{etcd.prefix}b/0")
    ranges = (t.prefix(f"{etcd.prefix}a/".encode()), t.prefix(f"{etcd.prefix}b/".encode()))
    pages = [(revision, [*kvs]) async for revision, kvs in client.kv.pages(ranges, 30.0)]
    assert [len(kvs) for _, kvs in pages] == [3, 3, 2, 1]
    [revision] = {revision for revision, _ in pages}
    assert revision > last
    found = [kv.key.decode().removeprefix(etcd.prefix) for _, kvs in pages for kv in kvs]
    assert found == [*(f"a/{i}" for i in range(8)), "b/0"]


async def test_a_lease_takes_its_keys_along_and_answers_ttl_0_when_it_is_gone(
    client: Etcd, etcd: Store
) -> None:
    lease = await client.leases.grant(30, 30.0)
    await put(client, f"{etcd.prefix}w", lease=lease.id)
    assert (await client.leases.keep_alive(lease.id, 30.0)).ttl == 30
    await client.leases.revoke(lease.id, 30.0)
    assert await client.kv.get(f"{etcd.prefix}w".encode(), 30.0) is None
    assert (await client.leases.keep_alive(lease.id, 30.0)).ttl == 0
    await client.leases.revoke(lease.id, 30.0)


async def test_many_leases_are_kept_over_one_stream(client: Etcd) -> None:
    leases = [await client.leases.grant(30, 30.0) for _ in range(20)]
    renewals = await asyncio.gather(*(client.leases.keep_alive(x.id, 30.0) for x in leases for _ in range(3)))
    assert {r.ttl for r in renewals} == {30}
    for lease in leases:
        await client.leases.revoke(lease.id, 30.0)


async def test_a_put_on_a_dead_lease_is_refused_and_changes_nothing(client: Etcd, etcd: Store) -> None:
    with pytest.raises(Rejected) as refused:
        await put(client, f"{etcd.prefix}w", lease=4711)
    assert refused.value.code is grpc.StatusCode.NOT_FOUND
    assert await client.kv.get(f"{etcd.prefix}w".encode(), 30.0) is None


async def test_a_renewal_has_its_own_deadline_and_the_next_one_works(etcd: Store) -> None:
    async with Proxy(etcd.member.endpoint) as proxy, Etcd([proxy.endpoint]) as client:
        lease = await client.leases.grant(30, 30.0)
        assert (await client.leases.keep_alive(lease.id, 30.0)).ttl == 30
        proxy.hold()
        with pytest.raises(NotSent):
            await client.leases.keep_alive(lease.id, 0.2)
        proxy.release()
        assert (await client.leases.keep_alive(lease.id, 30.0)).ttl == 30
        proxy.cut()
        assert (await client.leases.keep_alive(lease.id, 30.0)).ttl == 30
        await client.leases.revoke(lease.id, 30.0)


async def test_a_wait_for_the_connection_that_is_cancelled_as_it_comes_is_cancelled(etcd: Store) -> None:
    async with Etcd(etcd.endpoints) as client:
        waiting = asyncio.create_task(client.connection.ready(30.0))
        # Now it has begun, and there is no connection yet.
        await asyncio.sleep(0)
        connecting = client.connection._connecting
        assert connecting is not None
        connecting.add_done_callback(lambda _: waiting.cancel())
        await asyncio.wait({waiting})
        assert waiting.cancelled()


async def test_a_renewal_that_is_cancelled_as_its_answer_comes_is_cancelled_or_was_over(client: Etcd) -> None:
    lease = await client.leases.grant(30, 30.0)
    renewing = asyncio.create_task(client.leases.keep_alive(lease.id, 30.0))
    await asyncio.sleep(0)
    asked = client.leases._asked[-1]
    taken: list[bool] = []
    asked.answer.add_done_callback(lambda _: taken.append(renewing.cancel()))
    await asyncio.wait({renewing})
    assert taken == [renewing.cancelled()]
    await client.leases.revoke(lease.id, 30.0)


async def test_keep_alives_that_are_ended_as_their_stream_breaks_end(etcd: Store) -> None:
    async with Proxy(etcd.member.endpoint) as proxy, Etcd([proxy.endpoint]) as client:
        lease = await client.leases.grant(30, 30.0)
        await client.leases.keep_alive(lease.id, 30.0)
        running = client.leases._tasks[0]
        [sender] = [task for task in asyncio.all_tasks() if task.get_name() == "etcd keep-alive requests"]
        sender.add_done_callback(lambda _: running.cancel())
        proxy.cut()
        await asyncio.wait({running}, timeout=30)
        assert running.cancelled()
    # By a connection that was not cut: on that one a call may yet be lost.
    async with Etcd(etcd.endpoints) as client:
        await client.leases.revoke(lease.id, 30.0)


async def test_a_txn_without_an_answer_is_unknown_and_not_sent_again(etcd: Store) -> None:
    async with Proxy(etcd.member.endpoint) as proxy, Etcd([proxy.endpoint]) as client:
        await put(client, f"{etcd.prefix}a")
        proxy.hold()
        with pytest.raises(OutcomeUnknown):
            await client.kv.txn(t.txn([], [t.put(f"{etcd.prefix}a".encode(), b"late")]), 0.3)
        proxy.release()
        await put(client, f"{etcd.prefix}other")
    async with Etcd(etcd.endpoints) as client:
        found = await client.kv.get(f"{etcd.prefix}a".encode(), 30.0)
        # Applied once, or never: etcd drops what its client has cancelled.
        assert found
        assert found.version <= 2


async def test_nobody_there_is_known_to_have_changed_nothing() -> None:
    async with Etcd([f"127.0.0.1:{free_port()}"]) as client:
        with pytest.raises(NotSent):
            await client.kv.txn(t.txn([], []), 0.3)


async def test_a_closed_client_sends_nothing_and_waits_for_nobody(etcd: Store) -> None:
    client = Etcd(etcd.endpoints)
    await client.aclose()
    with pytest.raises(NotSent, match="closed"):
        await client.kv.txn(t.txn([], []), math.inf)


async def test_a_read_waits_for_etcd_to_come_back(etcd_member: Member) -> None:
    async with Etcd([etcd_member.endpoint]) as client:
        await put(client, "a", "kept")
        etcd_member.kill()
        reading = asyncio.create_task(client.kv.get(b"a", 30.0))
        await etcd_member.restart()
        found = await reading
        assert found
        assert found.value == b"kept"


async def test_an_answer_from_another_cluster_is_refused(client: Etcd) -> None:
    client.connection.cluster_id = 4711
    with pytest.raises(ClusterChanged):
        await raft_index(client)


@pytest.mark.parametrize(
    ("endpoints", "what"),
    [
        ([], "at least one"),
        (["http://127.0.0.1:2379"], "not host:port"),
        (["localhost"], "not host:port"),
        (["a:1", "b:2"], "IPv4"),
    ],
)
async def test_endpoints_that_cannot_work_are_refused_at_once(endpoints: list[str], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        Etcd(endpoints)
