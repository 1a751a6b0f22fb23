"""The core of the lock service on every etcd at hand: the machine's, and others as Go builds them."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lockservice.core.record import State
from tenure import errors, request_id
from tenure.names import ProfileName
from tenure.v1.hold_service_pb2 import AcquireHoldRequest, AcquireHoldsRequest
from tests.fixtures.etcd import Member
from tests.fixtures.etcd_builds import NotBuilt, at_hand, build
from tests.fixtures.proxy import Proxy
from tests.integration.test_restore import refuse, served_after
from tests.lockservice.replicas import Running, running

ROOT = "/t/"


def not_tested(version: str, why: str) -> None:
    """Say so in the report: a warning, which is no error here."""
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn(f"NOT TESTED on etcd {version}: {why}", stacklevel=1)


@pytest.fixture(
    params=[
        "installed",
        *(["3.5"] if at_hand("3.5") else []),
        # Built here when it is not yet, which takes minutes on a machine that has other things to do.
        pytest.param("3.6", marks=pytest.mark.timeout(1200)),
    ]
)
async def member(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Member]:
    """A member of the version; of the installed one where the version cannot be had."""
    version, programs = request.param, ""
    if version != "installed":
        try:
            programs = str(await asyncio.to_thread(build, version))
        except NotBuilt as error:
            not_tested(version, str(error))
    at = Member(tmp_path, programs=programs)
    at.start()
    try:
        await asyncio.to_thread(at.wait_ready)
        yield at
    finally:
        at.kill()


async def acquire_many(here: Running, names: list[str]) -> list[int]:
    """Hold all of them by one call, in nested Txns; returns the tokens."""
    worker = await here.worker(ttl_s=900)
    items = [AcquireHoldRequest(profile=name, worker=worker, request_id=request_id.mint()) for name in names]
    answer = await here.call(here.holds.AcquireHolds, AcquireHoldsRequest(requests=items))
    assert not any(result.HasField("error") for result in answer.results)
    return [result.response.hold.fencing_token for result in answer.results]


async def test_the_report_says_which_version_is_not_at_hand() -> None:
    if not at_hand("3.5"):
        not_tested("3.5", "`make etcd` builds it")


async def test_holds_queues_ends_and_batches(member: Member) -> None:
    async with (
        Proxy(member.endpoint) as proxy,
        running([proxy.endpoint], ROOT) as a,
        running([member.endpoint], ROOT) as b,
    ):
        worker, first, second = [await a.worker(ttl_s=900) for _ in range(3)]
        hold = await a.acquire("alice", worker)
        with pytest.raises(errors.ProfileBusy):
            await b.acquire("alice", first)
        waits = []
        for i, (here, waiter) in enumerate(((b, first), (a, second))):
            waits.append(asyncio.create_task(here.acquire("alice", waiter, wait=50, timeout=55)))
            await b.until_queued(i + 1)
        tokens = await acquire_many(b, [f"p{i}" for i in range(100)])
        assert len(tokens) == 100

        # The watch resumes where it was: the grant that nobody but the watch tells of is heard of.
        proxy.cut()
        await b.release(hold)
        head = await waits[0]
        await b.release(head)
        tail = await waits[1]
        assert hold.fencing_token < head.fencing_token < tail.fencing_token

        # A worker that nobody renews: its hold becomes suspect, and its place in a queue goes.
        dying = await a.worker(ttl_s=4)
        await a.acquire("bob", dying)
        await b.until_state(ProfileName("default", "bob"), State.SUSPECTED_STALE)

        await member.restart()
        await a.until_told(None)
        assert (await a.verify(tail)).fencing_token == tail.fencing_token
        assert max(tokens) < (await b.acquire("new", await a.worker())).fencing_token


async def test_a_restored_backup_needs_a_higher_epoch(member: Member, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    async with running([member.endpoint], ROOT) as a:
        worker = await a.worker(ttl_s=900)
        early = await a.acquire("bob", worker)
        await member.control("snapshot", "save", str(backup))
        late = await a.acquire("alice", worker)
        flags = await member.bumping_flags()
        await member.restore(backup, *flags)
        async with running([member.endpoint], ROOT) as b:
            await refuse(late, a, b)
            assert await served_after(a) == 1
            await b.until_told(None)
            await b.until_state(ProfileName("default", "bob"), State.SUSPECTED_STALE)
            again = await b.acquire("alice", worker)
            assert again.fencing_token > late.fencing_token > early.fencing_token
            if flags:
                # Revisions rise through the restore too.
                assert again.fencing_token % 2**43 > 1_000_000
