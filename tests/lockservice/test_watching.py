"""Who watches profiles hears a level that resumes: nothing missed, nothing of others, the latest only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager

import pytest

from lockservice import watching
from lockservice.core.cursor import Cursor, Origin, Scope, parse
from lockservice.core.document import encode
from lockservice.core.record import State
from lockservice.core.snapshot import KeyValue
from lockservice.core.stored import Ask, Epoch
from lockservice.etcd.txn import put
from lockservice.mirror import Mirror
from lockservice.queue_log import QueueLog
from lockservice.watching import Bookmark, Shown, Watching
from tenure import errors
from tenure.etcdwire.v1 import etcdwire_pb2 as wire
from tenure.names import ProfileName
from tests.lockservice.test_states import record
from tests.lockservice.worlds import KEYS

ALICE, BOB, CAROL = (ProfileName("t", name) for name in ("alice", "bob", "carol"))
OTHER = ProfileName("u", "alice")
ALL = Scope("t")


class Told:
    """A mirror, what watches it, and changes to it."""

    def __init__(self, cluster: str = "c", epoch: int = 0) -> None:
        self.mirror = Mirror(KEYS)
        self.watching = Watching(self.mirror)
        self.revision = 0
        self.begin(cluster, epoch)
        self.watching.hear(True)

    def begin(self, cluster: str, epoch: int) -> None:
        self.revision += 1
        stored = KeyValue(
            key=KEYS.epoch, value=encode(Epoch(number=epoch, cluster=cluster)), mod_revision=self.revision
        )
        self.watching.look_at(self.mirror.replace([stored], self.revision))

    def put(self, profile: ProfileName, state: State = State.AVAILABLE) -> None:
        self._put(KEYS.record(profile), encode(record(state)))

    def join(self, profile: ProfileName, request_id: str) -> None:
        ask = Ask(request_id=request_id, worker="w", run_id="r", as_sent="", max_runtime_ms=1)
        self._put(KEYS.place(profile, request_id), encode(ask))

    def leave(self, profile: ProfileName, request_id: str) -> None:
        self.revision += 1
        gone = KeyValue(key=KEYS.place(profile, request_id), mod_revision=self.revision)
        event = wire.Event(type=wire.Event.EVENT_TYPE_DELETE, kv=gone)
        self.watching.look_at(self.mirror.apply([event]))

    def _put(self, key: bytes, value: bytes) -> None:
        self.revision += 1
        kv = KeyValue(key=key, value=value, create_revision=self.revision, mod_revision=self.revision)
        self.watching.look_at(self.mirror.apply([wire.Event(kv=kv)]))


@asynccontextmanager
async def following(
    told: Told, scope: Scope = ALL, cursor: str = ""
) -> AsyncGenerator[AsyncGenerator[Shown | Bookmark, None], None]:
    async with aclosing(told.watching.follow(scope, parse(cursor))) as items:
        yield items


async def until_bookmark(items: AsyncGenerator[Shown | Bookmark, None]) -> tuple[list[Shown], str]:
    shown: list[Shown] = []
    async for item in items:
        if isinstance(item, Bookmark):
            return shown, item.cursor
        shown.append(item)
    raise AssertionError("it ended")


async def bookmark(told: Told, scope: Scope = ALL) -> str:
    async with following(told, scope) as items:
        return (await until_bookmark(items))[1]


async def test_what_there_is_then_a_bookmark_then_changes_of_this_tenant_alone() -> None:
    told = Told()
    for profile in (ALICE, OTHER, BOB):
        told.put(profile)
    async with following(told) as items:
        shown, _ = await until_bookmark(items)
        assert shown == [Shown(ALICE, True), Shown(BOB, True)]
        told.put(OTHER, State.DISABLED)
        told.put(CAROL)
        assert await anext(items) == Shown(CAROL, False)
        told.watching.close()
        assert [item async for item in items] == []


async def test_a_stream_ends_at_once_also_when_its_reader_was_busy_as_the_service_stopped() -> None:
    told = Told()
    async with following(told) as items:
        await until_bookmark(items)
        # The bookmark is still being sent.
        told.watching.close()
        async with asyncio.timeout(watching.BOOKMARK_S / 4):
            assert [item async for item in items] == []


async def test_one_profile_alone_may_be_watched() -> None:
    told = Told()
    for profile in (ALICE, OTHER, BOB):
        told.put(profile)
    async with following(told, Scope("t", BOB)) as items:
        assert (await until_bookmark(items))[0] == [Shown(BOB, True)]
        told.put(ALICE, State.DISABLED)
        told.put(BOB, State.DISABLED)
        assert await anext(items) == Shown(BOB, False)


async def test_a_resumed_stream_tells_exactly_what_changed_also_a_queue_that_is_empty_again() -> None:
    told = Told()
    for profile in (ALICE, BOB, CAROL):
        told.put(profile)
    told.join(BOB, "1")
    before = await bookmark(told)
    told.leave(BOB, "1")
    told.put(CAROL, State.DISABLED)
    async with following(told, cursor=before) as items:
        shown, after = await until_bookmark(items)
        assert {item.profile for item in shown} == {BOB, CAROL}
        assert not any(item.first for item in shown)
    async with following(told, cursor=after) as items:
        assert (await until_bookmark(items))[0] == []


async def test_what_a_fresh_replica_cannot_know_counts_as_changed() -> None:
    told = Told()
    told.put(ALICE)
    before = await bookmark(told)
    fresh = Told()
    fresh.revision = 10
    fresh.put(ALICE)
    fresh.mirror._queue_log.begin(9)
    async with following(fresh, cursor=before) as items:
        assert (await until_bookmark(items))[0] == [Shown(ALICE, False)]


async def test_a_replica_that_is_behind_the_cursor_tells_nothing_old_and_bookmarks_nothing_older() -> None:
    ahead, behind = Told(), Told()
    for told in (ahead, behind):
        told.put(ALICE)
    ahead.put(ALICE, State.DISABLED)
    ahead.put(BOB)
    reached = await bookmark(ahead)
    async with following(behind, cursor=reached) as items:
        assert await until_bookmark(items) == ([], reached)
        behind.put(ALICE, State.DISABLED)
        behind.put(BOB)
        behind.put(CAROL)
        assert await anext(items) == Shown(CAROL, False)


@pytest.mark.parametrize(("cluster", "epoch"), [("d", 0), ("c", 1)])
async def test_a_cursor_of_another_store_or_epoch_begins_anew_and_says_so(cluster: str, epoch: int) -> None:
    told, other = Told(), Told(cluster, epoch)
    for each in (told, other):
        each.put(ALICE)
    async with following(other, cursor=await bookmark(told)) as items:
        assert await anext(items) == Bookmark("")
        assert (await until_bookmark(items))[0] == [Shown(ALICE, True)]
    # And one under whose eyes the store becomes another.
    async with following(told) as items:
        await until_bookmark(items)
        told.begin(cluster, epoch)
        told.put(BOB)
        assert await anext(items) == Bookmark("")
        assert (await until_bookmark(items))[0] == [Shown(BOB, True)]


async def test_a_cursor_of_another_view_begins_anew() -> None:
    told = Told()
    told.put(ALICE)
    async with following(told, Scope("t", queues=True), cursor=await bookmark(told)) as items:
        assert await anext(items) == Bookmark("")
        assert await anext(items) == Shown(ALICE, True)


async def test_a_slow_reader_hears_of_each_profile_once_as_it_is_then() -> None:
    told = Told()
    told.put(ALICE)
    async with following(told) as items:
        await until_bookmark(items)
        for _ in range(50):
            told.put(BOB)
            told.put(ALICE, State.DISABLED)
            told.put(ALICE)
        assert [await anext(items), await anext(items)] == [Shown(BOB, False), Shown(ALICE, False)]
        (reader,) = told.watching._readers["t"]
        assert not reader.changed


async def test_own_writes_are_told_before_the_watch_has_them_and_bookmarked_after(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watching, "_SOON_S", 0.01)
    told = Told()
    told.put(ALICE)
    async with following(told) as items:
        _, first = await until_bookmark(items)
        written = told.revision + 1
        op = put(KEYS.record(ALICE), encode(record(State.DISABLED)))
        told.watching.look_at(told.mirror.learn([op], written))
        shown, cursor = await until_bookmark(items)
        assert shown == [Shown(ALICE, False)]
        assert cursor == first
    # So one that resumes from it may hear it again, and never misses it.
    async with following(told, cursor=cursor) as items:
        assert await anext(items) == Shown(ALICE, False)


async def test_a_loud_tenant_still_gets_bookmarks_that_miss_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_SOON_S", 0.0)
    told = Told()
    for profile in (ALICE, BOB, CAROL):
        told.put(profile)
    async with following(told) as items:
        await until_bookmark(items)
        told.put(ALICE, State.DISABLED)
        said: list[str] = []
        while len(said) < 3:
            item = await anext(items)
            told.put(ALICE)
            told.put(BOB)
            if isinstance(item, Bookmark):
                said.append(item.cursor)
    for cursor in said:
        reached = parse(cursor)
        assert reached is not None
        assert told.mirror.changed_since(BOB, reached.revision)


async def test_a_store_that_is_not_heard_ends_the_stream_and_bookmarks_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watching, "BOOKMARK_S", 0.05)
    told = Told()
    told.put(ALICE)
    async with following(told) as items:
        await until_bookmark(items)
        told.watching.hear(False)
        with pytest.raises(errors.StoreUnavailable):
            await anext(items)
    assert told.watching.total() == 0


async def test_bookmarks_come_though_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "BOOKMARK_S", 0.01)
    told = Told()
    async with following(told) as items:
        reached = [await until_bookmark(items) for _ in range(3)]
        assert reached == [([], reached[0][1])] * 3


async def test_streams_are_counted_while_they_are_read() -> None:
    told = Told()
    async with following(told) as items, following(told, Scope("u")) as others:
        reading = [asyncio.ensure_future(until_bookmark(each)) for each in (items, others)]
        await asyncio.gather(*reading)
        assert (told.watching.count("t"), told.watching.count("u"), told.watching.total()) == (1, 1, 2)
    assert (told.watching.count("t"), told.watching.total()) == (0, 0)


@pytest.mark.parametrize("text", ["x", "AAAA", "Li4u", "MS9jLzAvMS90Lzov", "\N{SNOWMAN}", "MS9jL3gvMS90Ly8w"])
def test_what_was_never_a_bookmark_is_refused(text: str) -> None:
    with pytest.raises(errors.InvalidField, match="resume_cursor"):
        parse(text)


@pytest.mark.parametrize("scope", [ALL, Scope("t", BOB), Scope("t", queues=True)])
def test_a_cursor_reads_as_it_was_written(scope: Scope) -> None:
    cursor = Cursor(Origin("ab12", 3), scope, 77)
    assert parse(str(cursor)) == cursor


def test_a_queue_that_was_forgotten_counts_as_changed() -> None:
    log = QueueLog(most=2)
    log.begin(1)
    log.note(ALICE, 5)
    log.note(BOB, 6)
    assert not log.changed_since(CAROL, 4)
    log.note(CAROL, 7)
    assert log.changed_since(BOB, 4)
    assert not log.changed_since(ALICE, 6)
    assert log.changed_since(CAROL, 6)
