"""`python -m lockservice --processes N`: real processes on a real etcd."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from lockservice.processes import ONE_OF_SEVERAL
from servicekit.call import DEV_IDENTITY
from servicekit.channels import CHANNEL_OPTIONS
from servicekit.server import reserved
from tenure import processes, request_id
from tenure.processes import Process
from tenure.v1.hold_pb2 import Hold
from tenure.v1.hold_service_pb2 import AcquireHoldRequest, ReleaseHoldRequest
from tenure.v1.hold_service_pb2_grpc import HoldServiceStub
from tenure.v1.profile_service_pb2 import GetProfileRequest
from tenure.v1.profile_service_pb2_grpc import ProfileServiceStub
from tenure.v1.worker_service_pb2 import RegisterWorkerRequest
from tenure.v1.worker_service_pb2_grpc import WorkerServiceStub
from tests.fixtures.census import gone, kill, running, until
from tests.fixtures.etcd import Member, Store
from tests.fixtures.services import Part

_ESTABLISHED = "01"
_LONG_S = 30.0


class Connections:
    """Connections to the one address, each with a process of its own behind it."""

    def __init__(self, address: str, stack: AsyncExitStack) -> None:
        self._address = address
        self._stack = stack

    async def one(self) -> grpc.aio.Channel:
        options = (*CHANNEL_OPTIONS, ("grpc.use_local_subchannel_pool", 1))
        channel = grpc.aio.insecure_channel(self._address, options=options)
        await self._stack.enter_async_context(channel)
        await channel.channel_ready()
        return channel

    async def to(self, *wanted: Process) -> list[grpc.aio.Channel]:
        """One to each: the kernel deals them out."""
        found: dict[int, grpc.aio.Channel] = {}
        while len(found) < len(wanted):
            before = [accepted(process, self._address) for process in wanted]
            # What is ready was accepted, and counts.
            channel = await self.one()
            for process, count in zip(wanted, before, strict=True):
                if accepted(process, self._address) > count:
                    found.setdefault(process.pid, channel)
        return [found[process.pid] for process in wanted]


def accepted(process: Process, address: str) -> int:
    """How many connections to the address a process has."""
    port = f":{int(address.rpartition(':')[2]):04X}"
    # gRPC listens on IPv4 by sockets of IPv6.
    text = Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()
    rows = [row for row in map(str.split, text.splitlines()) if row[1].endswith(port)]
    sockets = {f"socket:[{row[9]}]" for row in rows if row[3] == _ESTABLISHED}
    return sum(str(fd.readlink()) in sockets for fd in Path(f"/proc/{process.pid}/fd").iterdir())


def replicas(part: Part) -> list[Process]:
    return [found for found in processes.below(part.pid, processes.table()) if found.runs]


@asynccontextmanager
async def several(etcd: Store, folder: Path, count: int = 2) -> AsyncIterator[tuple[Part, Connections]]:
    flags = {"etcd": etcd.member.endpoint, "etcd-prefix": etcd.prefix, "processes": str(count)}
    part = Part("lockservice", flags, folder)
    async with AsyncExitStack() as stack:
        await part.start()
        stack.push_async_callback(part.stop)
        yield part, Connections(part.address, stack)


async def call(method: Any, request: Any, timeout: float = _LONG_S) -> Any:
    """Call as the gateway does."""
    return await method(request, timeout=timeout, metadata=DEV_IDENTITY.metadata())


async def worker(channel: grpc.aio.Channel) -> str:
    answer = await call(WorkerServiceStub(channel).RegisterWorker, RegisterWorkerRequest())
    name: str = answer.worker.name
    return name


async def acquire(channel: grpc.aio.Channel, name: str, n: str = "", wait_s: int = 0) -> Hold:
    request = AcquireHoldRequest(profile="alice", worker=name, request_id=n or request_id.mint())
    request.wait.FromSeconds(wait_s)
    answer = await call(HoldServiceStub(channel).AcquireHold, request, _LONG_S + wait_s)
    hold: Hold = answer.hold
    return hold


async def release(channel: grpc.aio.Channel, hold: Hold) -> None:
    request = ReleaseHoldRequest(profile=hold.profile, fencing_token=hold.fencing_token)
    await call(HoldServiceStub(channel).ReleaseHold, request)


async def queued(channel: grpc.aio.Channel, count: int) -> bool:
    answer = await call(ProfileServiceStub(channel).GetProfile, GetProfileRequest(profile="alice"))
    return bool(answer.profile.waiters == count)


async def test_all_processes_answer_at_the_one_port_and_end_together(etcd: Store, tmp_path: Path) -> None:
    async with several(etcd, tmp_path) as (part, connections):
        both = replicas(part)
        assert len(both) == 2
        one, two = await connections.to(*both)
        first, second = await worker(one), await worker(two)
        # Each is a whole replica: who registered at the other is known here.
        hold = await acquire(two, first)
        with pytest.raises(grpc.aio.AioRpcError, match="is busy"):
            await acquire(one, second)
        await release(one, hold)
        assert (await acquire(one, second)).fencing_token > hold.fencing_token
        await part.stop()
        assert not running(both)


async def test_a_killed_process_is_replaced_and_its_waiters_keep_their_places(
    etcd: Store, tmp_path: Path
) -> None:
    async with several(etcd, tmp_path) as (part, connections):
        killed, kept = replicas(part)
        doomed, safe = await connections.to(killed, kept)
        names = [await worker(safe) for _ in range(3)]
        hold = await acquire(safe, names[0])
        n = request_id.mint()
        waiting = asyncio.create_task(acquire(doomed, names[1], n, wait_s=60))
        await until(partial(queued, safe, 1), "the first waits")
        behind = asyncio.create_task(acquire(safe, names[2], wait_s=60))
        await until(partial(queued, safe, 2), "the second waits behind it")
        kill(killed)
        with pytest.raises(grpc.aio.AioRpcError) as broken:
            await waiting
        assert broken.value.code() is grpc.StatusCode.UNAVAILABLE
        waiting = asyncio.create_task(acquire(safe, names[1], n, wait_s=60))
        await release(safe, hold)
        ahead = await waiting
        await release(safe, ahead)
        assert (await behind).fencing_token > ahead.fencing_token > hold.fencing_token
        await until(lambda: "is back at" in part.log, "another one is ready")
        [fresh] = [each for each in replicas(part) if each.pid != kept.pid]
        [again] = await connections.to(fresh)
        assert await worker(again)


async def test_no_process_outlives_a_parent_that_was_killed(etcd: Store, tmp_path: Path) -> None:
    async with several(etcd, tmp_path) as (part, _):
        both = replicas(part)
        assert len(both) == 2
        await part.kill()
        await gone(both)


def test_what_cannot_start_says_why_and_leaves_nothing(etcd_server: Member) -> None:
    base = [sys.executable, "-m", "lockservice", f"--etcd={etcd_server.endpoint}", "--log-format=json"]
    wrong = subprocess.run([*base, "--processes=0"], capture_output=True, text=True, timeout=60, check=False)
    assert wrong.returncode == 2
    assert "--processes '0'" in wrong.stderr
    with reserved("127.0.0.1:0") as address:
        taken = [*base, "--processes=2", f"--listen={address}"]
        refused = subprocess.run(taken, capture_output=True, text=True, timeout=60, check=False)
    assert refused.returncode == 1
    assert json.loads(refused.stderr)["why"].startswith(f"cannot listen on {address}: address already in use")
    alone = [sys.executable, "-m", "lockservice", ONE_OF_SEVERAL, "1", *base[3:]]
    orphan = subprocess.run(alone, capture_output=True, text=True, timeout=60, check=False)
    assert (orphan.returncode, orphan.stdout, orphan.stderr) == (1, "", "")
