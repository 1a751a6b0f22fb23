"""A watch over cut connections, compaction and restarts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from lockservice.etcd import txn as t
from lockservice.etcd.client import Etcd
from lockservice.etcd.watch import Changes, Item, Lost, Page, Resumed, Snapshot
from tenure.etcdwire.v1 import etcdwire_pb2 as wire
from tests.fixtures.etcd import Member, Store
from tests.fixtures.proxy import Proxy


@contextlib.asynccontextmanager
async def following(client: Etcd, prefix: bytes) -> AsyncIterator[AsyncIterator[Item]]:
    items = aiter(client.watch(t.prefix(prefix)))
    async with contextlib.aclosing(items):
        yield items


async def put(client: Etcd, key: bytes, value: bytes = b"") -> int:
    answer = await client.kv.txn(t.txn([], [t.put(key, value)]), 5.0)
    return answer.header.revision


async def collect(items: AsyncIterator[Item], count: int) -> list[tuple[bytes, int]]:
    seen: list[tuple[bytes, int]] = []
    while len(seen) < count:
        item = await anext(items)
        assert not isinstance(item, Snapshot), "history was not lost"
        if isinstance(item, Changes):
            seen += [(e.kv.key, e.kv.mod_revision) for e in item.events]
    return seen


async def until(items: AsyncIterator[Item], kind: type[Item]) -> Item:
    while True:
        item = await anext(items)
        if isinstance(item, kind):
            return item


async def listed(items: AsyncIterator[Item]) -> list[wire.KeyValue]:
    """What the next snapshot has."""
    found: list[wire.KeyValue] = []
    async for item in items:
        if isinstance(item, Page):
            found = [*([] if item.first else found), *item.kvs]
        if isinstance(item, Snapshot):
            break
    return found


async def test_it_begins_with_a_snapshot_and_goes_on_from_there(client: Etcd, etcd: Store) -> None:
    prefix = etcd.prefix.encode()
    await put(client, prefix + b"a")
    async with following(client, prefix) as items:
        assert [kv.key for kv in await listed(items)] == [prefix + b"a"]
        expected = [(key, await put(client, key)) for key in (prefix + b"b", prefix + b"a")]
        assert await collect(items, 2) == expected


async def test_it_resumes_exactly_when_the_connection_is_cut_mid_stream(client: Etcd, etcd: Store) -> None:
    prefix = etcd.prefix.encode()
    expected: list[tuple[bytes, int]] = []

    async def write() -> None:
        for i in range(300):
            key = prefix + b"%03d" % i
            expected.append((key, await put(client, key, b"x" * 2000)))
            if i % 40 == 20:
                proxy.cut()

    async with Proxy(etcd.member.endpoint) as proxy, Etcd([proxy.endpoint]) as watcher:
        async with following(watcher, prefix) as items:
            await until(items, Resumed)
            writing = asyncio.create_task(write())
            seen = await collect(items, 300)
            await writing
        # How often depends on how fast the watcher is back; once is what it takes.
        assert proxy.accepted > 1
    assert seen == expected


async def test_changes_of_one_txn_stay_together(client: Etcd, etcd: Store) -> None:
    prefix = etcd.prefix.encode()
    async with following(client, prefix) as items:
        await until(items, Resumed)
        # More than etcd's 1.5 MiB limit of a watch answer, so that it comes in fragments.
        keys = [prefix + b"%d" % i for i in range(4)]
        children = [t.nested(t.txn([], [t.put(key, b"x" * 360_000)])) for key in keys]
        await client.kv.txn(t.txn([], children), 5.0)
        changes = await until(items, Changes)
        assert isinstance(changes, Changes)
        assert [e.kv.key for e in changes.events] == keys


async def test_compaction_under_a_cut_watch_lists_again(etcd_member: Member) -> None:
    async with Proxy(etcd_member.endpoint) as proxy, Etcd([etcd_member.endpoint]) as client:
        watcher = Etcd([proxy.endpoint])
        async with watcher, following(watcher, b"a") as items:
            await until(items, Resumed)
            proxy.hold()
            last = max([await put(client, b"a%d" % i) for i in range(10)])
            await client.kv.txn(t.txn([], [t.delete(b"a3")]), 5.0)
            await compact(client, last)
            # What was on its way is lost with the connection, and its history is gone.
            proxy.cut()
            proxy.release()
            found = [kv.key for kv in await listed(items)]
            assert found == [b"a%d" % i for i in range(10) if i != 3]
            await until(items, Resumed)
            after = await put(client, b"a3")
            assert await collect(items, 1) == [(b"a3", after)]


async def test_it_says_so_while_etcd_is_away_and_loses_nothing(etcd_member: Member) -> None:
    async with Etcd([etcd_member.endpoint]) as client, following(client, b"a") as items:
        await until(items, Resumed)
        etcd_member.kill()
        assert isinstance(await anext(items), Lost)
        restarting = asyncio.create_task(etcd_member.restart())
        await until(items, Resumed)
        await restarting
        revision = await put(client, b"a1")
        assert await collect(items, 1) == [(b"a1", revision)]


async def compact(client: Etcd, revision: int) -> None:
    """Compact; KV/Compact is no part of our wire messages, but is shaped as a LeaseGrantRequest: field 1 an
    integer.
    """
    await client.connection.unary(
        "/etcdserverpb.KV/Compact", wire.LeaseGrantRequest(ttl=revision), wire.LeaseRevokeResponse, 5.0
    )
