"""etcd out of space, on a slow disk, and compacted while a replica hears nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from lockservice.etcd.client import Etcd
from lockservice.etcd.errors import Rejected
from lockservice.etcd.kv import Kv
from lockservice.etcd.txn import KeyRange, delete, put, txn
from tenure import errors
from tenure.v1.hold_service_pb2 import ReleaseHoldRequest
from tenure.v1.worker_service_pb2 import RegisterWorkerRequest
from tests.fixtures.etcd import Member
from tests.fixtures.proxy import Proxy
from tests.fixtures.traffic import traffic
from tests.lockservice.replicas import running

ROOT = "/t/"
_QUOTA = 4 * 2**20
_BALLAST = bytes(2**20)
_MOST = 64


async def test_a_full_store_stalls_and_says_so_and_goes_on_once_it_has_room(tmp_path: Path) -> None:
    member = Member(tmp_path, extra=(f"--quota-backend-bytes={_QUOTA}",))
    member.start()
    try:
        await asyncio.to_thread(member.wait_ready)
        async with running([member.endpoint], ROOT) as a, Etcd([member.endpoint]) as client:
            worker, waiter = await a.worker(ttl_s=15), await a.worker(ttl_s=15)
            hold = await a.acquire("alice", worker)
            waiting = asyncio.create_task(a.acquire("alice", waiter, wait=50, timeout=55))
            await a.until_queued(1)
            with pytest.raises(Rejected, match="space exceeded"):
                # etcd sees what it has grown to when it next commits, so some get in beyond the quota.
                for i in range(_MOST):
                    await client.kv.txn(txn([], [put(b"ballast%d" % i, _BALLAST)]), 30.0)

            # What needs room is refused by its name; what needs none goes on.
            release = ReleaseHoldRequest(profile=hold.profile, fencing_token=hold.fencing_token)
            for method, request in (
                (a.workers.RegisterWorker, RegisterWorkerRequest()),
                (a.holds.ReleaseHold, release),
            ):
                with pytest.raises(errors.StoreUnavailable, match="space exceeded"):
                    await a.call(method, request)
            with pytest.raises(errors.StoreUnavailable, match="space exceeded"):
                await a.acquire("bob", worker)
            (held,) = (await a.renew(worker)).holds
            assert held.fencing_token == (await a.verify(hold)).fencing_token
            # One that starts now serves what can be served.
            async with running([member.endpoint], ROOT) as b:
                await b.until_told(None)
                await b.verify(hold)
            assert not waiting.done()

            emptied = await client.kv.txn(txn([], [delete(b"ballast%d" % i) for i in range(_MOST)]), 5.0)
            await member.control("compaction", "--physical", str(emptied.header.revision))
            await member.control("defrag")
            await member.control("alarm", "disarm")
            await a.release(hold)
            assert (await waiting).fencing_token > hold.fencing_token
    finally:
        member.kill()


@pytest.fixture
async def slow_member(tmp_path: Path) -> AsyncIterator[Member]:
    """A member whose disk takes a tenth of a second for every sync, for true: the system call is delayed."""
    slow = "inject=fdatasync,fsync:delay_enter=100000"
    tracer = ("strace", "-D", "-f", "-qq", "-e", "trace=fdatasync,fsync", "-e", slow, "-o", "/dev/null")
    member = Member(tmp_path, under=tracer)
    member.start()
    try:
        await asyncio.to_thread(member.wait_ready)
        yield member
    finally:
        member.kill()


async def test_a_slow_disk_makes_waits_longer_and_nothing_else(slow_member: Member) -> None:
    async with running([slow_member.endpoint], ROOT) as a, running([slow_member.endpoint], ROOT) as b:
        # A caller that cannot wait is told so, exactly: what it asked for may have come about.
        with pytest.raises((errors.OutcomeUnknown, errors.StoreUnavailable)):
            await a.call(a.workers.RegisterWorker, RegisterWorkerRequest(), timeout=0.1)
        worker = await a.worker()
        holds = await asyncio.gather(*(a.acquire(f"p{i}", worker) for i in range(40)))
        assert sorted(h.fencing_token for h in (await b.renew(worker)).holds) == sorted(
            h.fencing_token for h in holds
        )
        async with traffic([a, b], workers=6) as going:
            await going.advance(10)


async def test_a_compaction_while_nothing_is_heard_loses_no_waiter(
    etcd_member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed: list[str] = []
    pages = Kv.pages

    def counted(self: Kv, ranges: tuple[KeyRange, ...], timeout: float) -> Any:
        listed.append("all")
        return pages(self, ranges, timeout)

    async with (
        Proxy(etcd_member.endpoint) as proxy,
        # Without sweeps: what is not heard of, or read anew, is not found.
        running([proxy.endpoint], ROOT, sweep_s=3600) as deaf,
        running([etcd_member.endpoint], ROOT, sweep_s=3600) as b,
    ):
        worker = await b.worker()
        held = [await b.acquire(name, worker) for name in ("alice", "bob")]
        waits = [
            asyncio.create_task(deaf.acquire(name, await deaf.worker(), wait=50, timeout=55))
            for name in ("alice", "bob")
        ]
        await deaf.until_queued(2)
        await b.until_queued(2)
        proxy.hold()
        for hold in held:
            await b.release(hold)
        for _ in range(3):
            await b.release(await b.acquire("carol", worker))
        monkeypatch.setattr(Kv, "pages", counted)
        await etcd_member.control("compaction", "--physical", str(b.replica.mirror.revision))
        proxy.cut()
        proxy.release()
        granted = await asyncio.gather(*waits)
        for hold, after in zip(held, granted, strict=True):
            assert after.fencing_token > hold.fencing_token
        await deaf.until_told(None)
        assert listed == ["all"]
        # And it hears again what others do.
        waiting = asyncio.create_task(deaf.acquire("alice", await deaf.worker(), wait=50, timeout=55))
        await b.until_queued(1)
        await b.release(granted[0])
        assert (await waiting).fencing_token > granted[0].fencing_token
