"""etcd's data go back in time: a restored backup, a directory put back; and the epoch raised after it."""

from __future__ import annotations

import asyncio
import dataclasses
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from lockservice.core.document import decode, encode
from lockservice.core.keys import Keys
from lockservice.core.lineage import Found, Known, problem
from lockservice.core.record import Record, State
from lockservice.core.stored import Incident
from lockservice.epoch import look
from lockservice.etcd.client import Etcd
from lockservice.etcd.txn import put, txn
from lockservice.raising import Counted, raise_epoch
from tenure import errors, token
from tenure.names import ProfileName
from tenure.v1.hold_pb2 import Hold
from tenure.v1.hold_service_pb2 import VerifyHoldRequest
from tenure.v1.worker_service_pb2 import RegisterWorkerRequest
from tests.fixtures.etcd import Member, Store
from tests.lockservice.replicas import Running, overwrite, running

# Servers and commands are started one after the other: on a busy machine that takes its time.
pytestmark = pytest.mark.timeout(240)

ROOT = "/t/"
# Nobody renews here.
TTL_S = 900
BOB = ProfileName("default", "bob")


async def command(*flags: str) -> tuple[int, str]:
    """Run raise-epoch as an operator does; returns its exit status and what it said."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "lockservice", "raise-epoch", *flags),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


def advised(told: str | None) -> list[str]:
    """The flags of the raise-epoch that a replica says to run."""
    assert told is not None
    return told.split("raise-epoch ")[1].split("`")[0].split()


async def refuse(hold: Hold, *replicas: Running) -> None:
    """Nothing is served, and every answer says what to run."""
    for here in replicas:
        await here.until_told("raise-epoch")
    verify = VerifyHoldRequest(profile=hold.profile, fencing_token=hold.fencing_token)
    await asyncio.gather(
        *(refused(here, here.holds.VerifyHold, verify) for here in replicas),
        *(refused(here, here.workers.RegisterWorker, RegisterWorkerRequest()) for here in replicas),
    )


async def refused(here: Running, method: Any, request: Any) -> None:
    """The call ends at its deadline, in words where the machine is fast enough; it never succeeds."""
    said = ""
    while "raise-epoch" not in said:
        with pytest.raises((errors.StoreUnavailable, errors.OutcomeUnknown)) as refusal:
            await here.call(method, request, timeout=2.0)
        said = str(refusal.value)


async def served_after(here: Running, *flags: str) -> int:
    """Raise the epoch as `here` says; returns it once it serves."""
    status, said = await command(*advised(here.told[-1]), f"--etcd-prefix={ROOT}", *flags)
    assert status == 0, said
    await here.until_told(None)
    return here.replica.mirror.epoch.number


async def put_back(member: Member, copy: Path) -> None:
    """Let it go on with data that it had earlier."""
    member.kill()
    shutil.rmtree(member.data)
    copy.rename(member.data)
    await member.restart()


@pytest.mark.parametrize("same_cluster_id", [True, False])
async def test_a_restored_backup_is_served_by_nobody_before_the_epoch_is_raised(
    etcd_member: Member, tmp_path: Path, same_cluster_id: bool
) -> None:
    backup = tmp_path / "backup"
    async with running([etcd_member.endpoint], ROOT) as a:
        worker, first, second = await a.worker(TTL_S), await a.worker(TTL_S), await a.worker(TTL_S)
        bob, carol = await a.acquire("bob", worker), await a.acquire("carol", worker)
        before = asyncio.create_task(a.acquire("bob", first, wait=200, timeout=210))
        await a.until_queued(1)
        await etcd_member.control("snapshot", "save", str(backup))
        # All of this is forgotten.
        after = asyncio.create_task(a.acquire("bob", second, wait=200, timeout=210))
        await a.until_queued(2)
        issued = [bob.fencing_token, carol.fencing_token]
        await a.release(carol)
        for _ in range(5):
            again = await a.acquire("carol", second)
            issued.append(again.fencing_token)
            await a.release(again)
        dave = await a.acquire("dave", await a.worker(TTL_S))
        issued.append(dave.fencing_token)

        # A restore at the same address with the default token is the same cluster by its id.
        flags = [] if same_cluster_id else ["--initial-cluster-token", "restored"]
        await etcd_member.restore(backup, *flags)
        async with Etcd([etcd_member.endpoint]) as client:
            found, _ = await look(client, a.replica.keys)
        assert found.epoch is not None
        assert (found.cluster == found.epoch.cluster) is same_cluster_id
        async with running([etcd_member.endpoint], ROOT) as b:
            await refuse(dave, a, b)
            assert await served_after(b) == 1
            await a.until_told(None)

            # Both holds of the backup are suspect; the one that was granted after it is on no record.
            for name, held in (("bob", bob), ("carol", carol)):
                profile = ProfileName("default", name)
                await a.until_state(profile, State.SUSPECTED_STALE)
                incident = await a.replica.etcd.kv.get(
                    a.replica.keys.incident(profile, held.fencing_token), 5.0
                )
                assert incident is not None
                assert decode(Incident, incident.value).cause == "RESTORED"
            for stale in (bob, carol, dave):
                with pytest.raises(errors.TokenSuperseded):
                    await a.verify(stale)
            later = await b.acquire("dave", worker)
            assert token.unpack(later.fencing_token).epoch == 1
            # Waiters sleep through it: the one of the backup in its old place, the forgotten one behind it.
            assert not before.done()
            await a.until_queued(2)
            await overwrite(a, BOB, state=State.AVAILABLE, holding=None, incident=0)
            head = await before
            assert not after.done()
            await a.release(head)
            tail = await after
            assert later.fencing_token > max(issued)
            assert tail.fencing_token > head.fencing_token > max(issued)


async def test_data_that_were_put_back_are_refused_by_who_saw_them_younger(
    etcd_member: Member, tmp_path: Path
) -> None:
    """And by nobody else: so the epoch must be raised before any replica starts."""
    async with running([etcd_member.endpoint], ROOT) as a:
        worker = await a.worker(TTL_S)
        etcd_member.kill()
        shutil.copytree(etcd_member.data, tmp_path / "copy")
        await etcd_member.restart()
        hold = await a.acquire("alice", worker)
        await put_back(etcd_member, tmp_path / "copy")

        await refuse(hold, a)
        assert "has seen" in (a.told[-1] or "")
        async with running([etcd_member.endpoint], ROOT) as b:
            assert (await b.acquire("alice", worker)).fencing_token == hold.fencing_token
            # By now it has come further than it had been: not the same way.
            await b.acquire("bob", worker)
            await refuse(hold, a)
            assert await served_after(a) == 1
            await b.until_state(BOB, State.SUSPECTED_STALE)
            assert (await a.acquire("carol", worker)).fencing_token > hold.fencing_token
            # A backup that is older than the last raise has forgotten that too.
            status, said = await command(
                f"--etcd={etcd_member.endpoint}", f"--etcd-prefix={ROOT}", "--above=7"
            )
            assert (status, "The epoch is 8" in said) == (0, True)
            assert token.unpack((await b.acquire("dave", worker)).fencing_token).epoch == 8


async def test_data_that_are_put_back_between_a_look_at_the_store_and_the_watch_are_refused_too(
    etcd_member: Member, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked, go_on = asyncio.Event(), asyncio.Event()

    async def dawdle(etcd: Etcd, keys: Keys) -> tuple[Found, int]:
        found = await look(etcd, keys)
        looked.set()
        await go_on.wait()
        return found

    async with running([etcd_member.endpoint], ROOT) as a:
        worker = await a.worker(TTL_S)
        etcd_member.kill()
        shutil.copytree(etcd_member.data, tmp_path / "copy")
        monkeypatch.setattr("lockservice.epoch.look", dawdle)
        await etcd_member.restart()
        hold = await a.acquire("alice", worker)
        await looked.wait()
        await put_back(etcd_member, tmp_path / "copy")
        a.told.clear()
        go_on.set()
        await a.until_told_of(lambda told: told is None or "raise-epoch" in told)
        assert a.told[-1] is not None
        await refuse(hold, a)


async def test_mutant_without_the_log_a_restore_at_the_same_address_goes_unnoticed(
    etcd_member: Member, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the cluster id is compared, by a replica that starts."""
    backup = tmp_path / "backup"
    async with running([etcd_member.endpoint], ROOT) as a:
        worker = await a.worker(TTL_S)
        await etcd_member.control("snapshot", "save", str(backup))
        hold = await a.acquire("alice", worker)
    await etcd_member.restore(backup)

    def without_the_log(found: Found, known: Known | None) -> str | None:
        return problem(dataclasses.replace(found, lead=10**9), known)

    monkeypatch.setattr("lockservice.epoch.problem", without_the_log)
    async with running([etcd_member.endpoint], ROOT) as b:
        assert (await b.acquire("alice", worker)).fencing_token == hold.fencing_token


async def store_profiles(client: Etcd, keys: Keys, count: int, *, held: int, epoch: int) -> None:
    """Write records as replicas would have."""
    record = Record(state=State.AVAILABLE, epoch=epoch, since_ms=1, as_sent="")
    for start in range(0, count, 100):
        puts = [
            put(
                keys.record(ProfileName("default", f"p{i:05}")),
                encode(dataclasses.replace(record, state=State.HELD if i < held else State.AVAILABLE)),
            )
            for i in range(start, min(start + 100, count))
        ]
        await client.kv.txn(txn([], puts), 5.0)


async def test_raising_reads_pages_and_tells_how_far_it_is(
    etcd: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lockservice.etcd.kv._PAGE", 1000)
    async with Etcd(etcd.endpoints) as client:
        keys = Keys(etcd.prefix)
        await store_profiles(client, keys, 2500, held=30, epoch=4)
        await client.kv.txn(txn([], [put(keys.record(ProfileName("z", "new")), b'{"v":99}')]), 5.0)
        told: list[Counted] = []
        with pytest.raises(ValueError, match="no epoch, and 1 profiles of a newer version"):
            await raise_epoch(client, keys, report=lambda counted: told.append(dataclasses.replace(counted)))
        assert [counted.profiles for counted in told] == [1000, 2000, 2501]
        assert told[-1] == Counted(profiles=2501, held=30, unreadable=1, highest_epoch=4)
        # Above what was named, and above what any record says.
        assert await raise_epoch(client, keys, above=2) == 5
        assert await raise_epoch(client, keys, above=9) == 10
        with pytest.raises(ValueError, match="1023 is the last"):
            await raise_epoch(client, keys, above=1023)
    status, said = await command(f"--etcd={etcd.endpoints[0]}", f"--etcd-prefix={etcd.prefix}")
    assert status == 0, said
    assert "read 2501 profiles, 30 held, 1 of another version" in said
    assert "The epoch is 11" in said


async def test_of_two_who_raise_at_once_one_is_told(etcd: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Etcd(etcd.endpoints) as client:
        keys = Keys(etcd.prefix)
        raised = 0

        async def lead_read_late(etcd: Etcd, keys: Keys, _: float) -> int:
            nonlocal raised
            if not raised:
                raised = 1
                raised = await raise_epoch(etcd, keys)
            return 0

        monkeypatch.setattr("lockservice.raising.least_lead", lead_read_late)
        with pytest.raises(ValueError, match="somebody else raised it"):
            await raise_epoch(client, keys)
        assert raised == 1


async def test_the_command_says_what_it_is_for_and_what_it_could_not_do(etcd: Store) -> None:
    status, said = await command("--help")
    assert status == 0
    for part in ("--above", "--initial-cluster-token", "--etcd-prefix", "(RESTORED)"):
        assert part in said
    status, said = await command("--etcd=127.0.0.1:1")
    assert (status, "The epoch was not raised: no etcd member" in said) == (1, True)
