"""WatchProfiles on real etcd: what readers know is what there is, however often and wherever they resume."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import grpc.aio
import pytest

from lockservice import watching
from lockservice.etcd.watch import Snapshot
from lockservice.raising import raise_epoch
from servicekit.call import Identity
from tenure import errors, request_id
from tenure.v1.profile_service_pb2 import WatchProfilesRequest, WatchProfilesResponse
from tests.fixtures.etcd import Member, Store
from tests.integration.test_etcd_watch import compact
from tests.lockservice.replicas import Running, running


class View:
    """What a reader has been told; each `following` goes on from its last bookmark."""

    def __init__(self, tenant: str = "default", *, profile: str = "", queues: bool = True) -> None:
        self.tenant = tenant
        self.cursor = ""
        self.profiles: dict[str, WatchProfilesResponse] = {}
        self.messages: list[WatchProfilesResponse] = []
        self._asks = {"profile": profile, "queues": queues}

    @asynccontextmanager
    async def following(self, at: Running) -> AsyncIterator[AsyncIterator[WatchProfilesResponse]]:
        identity = Identity(self.tenant, "tests", ("worker",))
        request = WatchProfilesRequest(resume_cursor=self.cursor, **self._asks)  # type: ignore[arg-type]
        call = at.profiles.WatchProfiles(request, metadata=identity.metadata())
        try:
            yield self._read(call)
        except grpc.aio.AioRpcError as error:
            raise errors.from_rpc_error(error) from None
        finally:
            call.cancel()

    async def _read(self, call: Any) -> AsyncIterator[WatchProfilesResponse]:
        async for message in call:
            self.messages.append(message)
            kind = message.WhichOneof("event")
            if kind == "bookmark":
                self.cursor = message.bookmark
                if not message.bookmark:
                    self.profiles.clear()
            else:
                self.profiles[getattr(message, kind).name.rpartition("/")[2]] = message
            yield message

    async def until_bookmark(self, at: Running) -> list[WatchProfilesResponse]:
        """Follow to the next bookmark; the messages before it."""
        told: list[WatchProfilesResponse] = []
        async with self.following(at) as messages:
            async for message in messages:
                if message.WhichOneof("event") == "bookmark" and message.bookmark:
                    break
                told.append(message)
        return told

    async def until_quiet(self, at: Running) -> None:
        """Follow until there is nothing to tell of what was done before: a cursor may be from before it."""
        while await self.until_bookmark(at) or not self.profiles:
            continue

    def known(self) -> dict[str, tuple[str, int, list[str]]]:
        """By profile: its etag, how many wait, and who."""
        found = {}
        for name, message in self.profiles.items():
            profile = getattr(message, message.WhichOneof("event") or "")
            found[name] = (profile.etag, profile.waiters, [w.request_id for w in message.queue])
        return found


def truth(at: Running, tenant: str = "default") -> dict[str, tuple[str, int, list[str]]]:
    mirror, found = at.replica.mirror, {}
    for name in mirror.profiles(tenant):
        seen, queue = mirror.seen(name), mirror.queue(name)
        assert seen is not None
        found[name.profile] = (str(seen[1]), len(queue), [w.request_id for w in queue])
    return found


def kind_of(message: WatchProfilesResponse) -> str:
    """An empty bookmark says that what follows replaces what was told."""
    kind = message.WhichOneof("event") or ""
    return "anew" if kind == "bookmark" and not message.bookmark else kind


@asynccontextmanager
async def two(etcd: Store) -> AsyncIterator[tuple[Running, Running]]:
    async with running(etcd.endpoints, etcd.prefix) as a, running(etcd.endpoints, etcd.prefix) as b:
        yield a, b


async def caught_up(*replicas: Running) -> None:
    """Return when all have seen what was written so far."""
    newest = max([r.replica.mirror.revision for r in replicas])
    for here in replicas:
        while here.replica.mirror.revision < newest:
            await here.replica._advanced.wait()


async def test_a_stream_resumed_at_another_replica_tells_exactly_what_changed(etcd: Store) -> None:
    async with two(etcd) as (a, b):
        worker = await a.worker()
        holds = {name: await a.acquire(name, worker) for name in ("alice", "bob", "carol")}
        view = View()
        told = await view.until_bookmark(a)
        assert [m.WhichOneof("event") for m in told] == ["snapshot"] * 3
        await view.until_quiet(a)
        await b.release(holds["bob"])
        waiting = asyncio.create_task(b.acquire("alice", await b.worker(), wait=30))
        await a.until_queued(1)
        await caught_up(a, b)
        told = await view.until_bookmark(b)
        assert {m.change.name.rpartition("/")[2] for m in told} == {"alice", "bob"}
        assert view.known() == truth(a)
        assert await view.until_bookmark(a) == []
        waiting.cancel()


async def test_a_waiter_sees_its_position_move_to_1_and_then_the_grant(etcd: Store) -> None:
    async with two(etcd) as (a, b):
        hold = await a.acquire("alice", await a.worker())
        tasks, mine = [], request_id.mint()
        for i, n in enumerate((request_id.mint(), request_id.mint(), mine)):
            worker = await a.worker()
            tasks.append(
                asyncio.create_task(a.acquire("alice", worker, wait=30, request_id=n, run_id=f"{i}"))
            )
            await a.until_queued(i + 1)
        await b.until_queued(3)
        view, positions, holder = View(profile="alice"), [], ""
        async with view.following(b) as messages:
            async for message in messages:
                if message.WhichOneof("event") == "bookmark":
                    if len(tasks) == 3:
                        await a.release(hold)
                        await a.release(await tasks.pop(0))
                    continue
                positions += [w.position for w in message.queue if w.request_id == mine]
                profile = message.snapshot if message.HasField("snapshot") else message.change
                holder = profile.hold.run_id
                if positions[-1] == 1 and len(tasks) == 2:
                    await a.release(await tasks.pop(0))
                if holder == "2":
                    break
        assert positions[0] == 3
        assert positions == sorted(positions, reverse=True)
        assert positions[-1] == 1
        assert (await tasks[0]).request_id == mine


async def test_the_first_hundred_places_are_shown_and_all_are_counted(
    etcd: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lockservice.profile_service.MAX_SHOWN", 2)
    async with running(etcd.endpoints, etcd.prefix) as a:
        await a.acquire("alice", await a.worker())
        tasks = [asyncio.create_task(a.acquire("alice", await a.worker(), wait=30)) for _ in range(3)]
        await a.until_queued(3)
        (told,) = await View().until_bookmark(a)
        assert (told.snapshot.waiters, [w.position for w in told.queue]) == (3, [1, 2])
        (told,) = await View(queues=False).until_bookmark(a)
        assert (told.snapshot.waiters, len(told.queue)) == (3, 0)
        for task in tasks:
            task.cancel()


async def test_other_tenants_profiles_never_appear_and_cannot_be_named(etcd: Store) -> None:
    async with running(etcd.endpoints, etcd.prefix) as a:
        await a.acquire("alice", await a.worker())
        a.tenant = "other"
        hold = await a.acquire("theirs", await a.worker())
        view = View()
        await view.until_bookmark(a)
        await a.release(hold)
        await a.acquire("theirs", await a.worker())
        a.tenant = "default"
        await a.acquire("last", await a.worker())
        async with view.following(a) as messages:
            async for _ in messages:
                if "last" in view.profiles:
                    break
        assert "theirs" not in view.profiles
        assert not [m for m in view.messages if "theirs" in str(m)]
        for profile, refusal in (
            ("tenants/other/profiles/theirs", errors.PermissionDenied),
            ("theirs", errors.NotFound),
        ):
            with pytest.raises(refusal):
                await View(profile=profile).until_bookmark(a)
        theirs = View("other")
        theirs.cursor = view.cursor
        await theirs.until_bookmark(a)
        assert set(theirs.profiles) == {"theirs"}


async def test_what_was_never_a_bookmark_is_refused(etcd: Store) -> None:
    async with running(etcd.endpoints, etcd.prefix) as a:
        view = View()
        view.cursor = "made up"
        with pytest.raises(errors.InvalidField, match="resume_cursor"):
            await view.until_bookmark(a)


async def test_a_raised_epoch_begins_the_stream_anew(etcd: Store) -> None:
    async with running(etcd.endpoints, etcd.prefix) as a:
        await a.acquire("alice", await a.worker())
        view = View()
        await view.until_quiet(a)
        old = view.cursor
        async with view.following(a) as messages:
            assert (await anext(messages)).bookmark
            await raise_epoch(a.replica.etcd, a.replica.keys)
            assert [kind_of(await anext(messages)) for _ in range(2)] == ["anew", "snapshot"]
        view.cursor = old
        assert [kind_of(m) for m in await view.until_bookmark(a)] == ["anew", "snapshot"]


async def test_a_service_that_stops_ends_the_streams_in_good_order(etcd: Store) -> None:
    async with two(etcd) as (a, b):
        await a.acquire("alice", await a.worker())
        view = View()
        async with view.following(a) as messages:
            assert (await anext(messages)).HasField("snapshot")
            a.replica.part()
            async for _ in messages:
                continue
        await view.until_bookmark(b)
        assert view.known() == truth(a)


async def test_a_compaction_under_the_watch_loses_nothing(etcd_member: Member) -> None:
    store = Store(etcd_member, "/t/")
    async with two(store) as (a, b):
        worker = await a.worker()
        hold = await a.acquire("alice", worker)
        view = View()
        await view.until_quiet(b)
        async with view.following(b) as messages:
            assert (await anext(messages)).bookmark
            # B hears nothing while history is made, and shortened.
            take, held_back, taken = b.replica._take, asyncio.Event(), set()

            async def later(item: Any) -> None:
                await held_back.wait()
                taken.add(type(item))
                await take(item)

            b.replica._take = later  # type: ignore[method-assign]
            await a.release(hold)
            last = [await a.acquire(name, worker) for name in ("bob", "carol", "dave")][-1]
            await compact(a.replica.etcd, last.fencing_token)
            await etcd_member.restart()
            held_back.set()
            async for _ in messages:
                if view.known() == truth(a) and "dave" in view.profiles:
                    break
            assert Snapshot in taken


async def test_nothing_is_missed_however_the_stream_is_cut(
    etcd: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "_SOON_S", 0.0)
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    async with two(etcd) as (a, b):
        done = asyncio.Event()

        async def use(name: str) -> None:
            at = chance.choice((a, b))
            worker = await at.worker()
            for _ in range(6):
                with suppress(errors.TenureError):
                    hold = await at.acquire(name, worker, wait=chance.choice((0, 0, 0.02, 5)))
                    await chance.choice((a, b)).release(hold)

        async def read(view: View, cuts: int) -> None:
            while not done.is_set() or cuts > 0:
                cuts -= 1
                async with view.following(chance.choice((a, b))) as messages:
                    after = chance.randrange(12)
                    with suppress(TimeoutError):
                        async with asyncio.timeout(0.1):
                            async for _ in messages:
                                if not (after := after - 1):
                                    break

        views = [View(), View(), View(profile="p0")]
        await a.release(await a.acquire("p0", await a.worker()))
        readers = [asyncio.create_task(read(view, cuts=10)) for view in views]
        await asyncio.gather(*(use(f"p{i % 4}") for i in range(12)))
        done.set()
        await asyncio.gather(*readers)
        await a.until_queued(0)
        await b.until_queued(0)
        await caught_up(a, b)
        for view in views:
            await view.until_bookmark(chance.choice((a, b)))
            wanted = truth(a)
            assert view.known() == ({"p0": wanted["p0"]} if view is views[2] else wanted)
