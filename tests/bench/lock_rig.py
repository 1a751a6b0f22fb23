"""What the lock suite measures on: etcd, the lock service as a process, client processes, and their CPU."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from lockservice.settings import LockSettings
from tests.bench.lock_ways import Asked
from tests.fixtures.etcd import Member
from tests.fixtures.services import Part

GO = Path(__file__).parent / "go"
GO_CLIENT = Path("build/bench/mutex")
GO_MUTEX = "go_mutex"
NAMES = 8
"""How many names a lane has."""
_BUILD_S = 240.0
_TURN_S = 60.0
_OPEN_S = 120.0
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
# A million profiles lie in one.
_ETCD = ("--quota-backend-bytes", str(8 << 30))


@dataclass(frozen=True, slots=True)
class Result:
    """What a turn of one way came to. CPU is in seconds, of all its processes."""

    pairs_s: float
    p50_ms: float
    pairs: int
    clients_s: float


class Client:
    """A client process, in Python or in Go: told in lines of JSON, answers in such."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    async def answer(self, timeout: float) -> dict[str, float]:
        """Its next line. Raises AssertionError when it has ended instead."""
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), timeout)
        assert line, "a client ended: see above"
        answer: dict[str, float] = json.loads(line)
        return answer

    async def ask(self, timeout: float = _TURN_S, **turn: float | str) -> dict[str, float]:
        """Have a turn done."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(turn).encode() + b"\n")
        return await self.answer(timeout)

    async def aclose(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()


class Contestant:
    """One way to take a lock, driven by one or more client processes that share what is in flight."""

    def __init__(self, way: str, clients: Sequence[Client]) -> None:
        self.way = way
        self._clients = clients

    async def turn(self, in_flight: int, calls: int, seconds: float) -> Result:
        """Keep `in_flight` locks on their way in `calls` calls, for some time."""
        used = self._clients[: min(len(self._clients), calls)]
        lanes, items = calls // len(used), in_flight // calls
        answers = await asyncio.gather(
            *(client.ask(lanes=lanes, items=items, seconds=seconds) for client in used)
        )
        return Result(
            pairs_s=sum(each["pairs"] / each["seconds"] for each in answers),
            p50_ms=max(each["p50_ms"] for each in answers),
            pairs=int(sum(each["pairs"] for each in answers)),
            clients_s=sum(each["cpu_s"] for each in answers),
        )


@asynccontextmanager
async def contestant(
    way: str, targets: list[str], in_flight: int, processes: int
) -> AsyncIterator[Contestant]:
    """A way with its clients, closed at the end. Go's is built before: see `go_client`."""
    async with AsyncExitStack() as stack:
        clients = []
        for number in range(processes):
            asked = Asked(way, targets, in_flight, NAMES, f"bench-{way}-{number}-")
            clients.append(await stack.enter_async_context(pairs_client(asked)))
        yield Contestant(way, clients)


@asynccontextmanager
async def pairs_client(asked: Asked) -> AsyncIterator[Client]:
    """A client process that takes and frees locks."""
    program = [str(GO_CLIENT)] if asked.way == GO_MUTEX else [sys.executable, "-m", "tests.bench.lock_driver"]
    async with client(*program, json.dumps(asdict(asked))) as started:
        yield started


@asynccontextmanager
async def client(*program: str, open_s: float = _OPEN_S) -> AsyncIterator[Client]:
    """A client process that is ready, after `open_s` seconds at most; ended when the block is left."""
    process = await asyncio.create_subprocess_exec(
        # None may outlive the bench.
        *("setpriv", "--pdeathsig", "KILL", "--", *program),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    started = Client(process)
    try:
        await started.answer(open_s)
        yield started
    finally:
        await started.aclose()


async def go_client() -> str:
    """Build the client in Go. Returns why there is none, or ""."""
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if go is None:
        return "Go is not installed (Debian: golang-go)"
    GO_CLIENT.parent.mkdir(parents=True, exist_ok=True)
    build = await asyncio.create_subprocess_exec(
        *(go, "build", "-trimpath", "-o", str(GO_CLIENT.absolute()), "."),
        cwd=GO,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(build.communicate(), _BUILD_S)
    return "" if build.returncode == 0 else f"Go did not build it: {said.decode()[-300:].strip()}"


# --- etcd and the lock service ---------------------------------------------------------


@asynccontextmanager
async def etcd(members: int = 1) -> AsyncIterator[list[Member]]:
    """A cluster of its own, on the disk, as it comes."""
    with tempfile.TemporaryDirectory(prefix="tenure-bench-") as folder:
        started = [Member(Path(folder), f"m{number}", extra=_ETCD) for number in range(members)]
        for member in started:
            member.initial_cluster = ",".join(each.peer for each in started)
        try:
            for member in started:
                member.start()
            for member in started:
                await asyncio.to_thread(member.wait_ready)
            yield started
        finally:
            for member in started:
                member.kill()


def pids(members: Iterable[Member]) -> list[int]:
    """Of a running cluster."""
    return [member.process.pid for member in members if member.process is not None]


@asynccontextmanager
async def lock_service(members: Sequence[Member], processes: int = 1) -> AsyncIterator[Part]:
    """The lock service as people run it."""
    flags = {"etcd": ",".join(member.endpoint for member in members), "log-level": "warning"}
    if "processes" in LockSettings.model_fields:
        flags["processes"] = str(processes)
    with tempfile.TemporaryDirectory(prefix="tenure-bench-") as folder:
        part = Part("lockservice", flags, Path(folder))
        await part.start()
        try:
            yield part
        finally:
            await part.stop()


# --- what it costs ---------------------------------------------------------------------


def cpu_s(pids: Iterable[int]) -> float:
    """CPU that processes and their children, still running, have used so far, in seconds."""
    return sum(_ticks(pid) for pid in family(pids)) * _TICK_S


def memory_mb(pids: Iterable[int]) -> float:
    """What processes and their children keep in memory now."""
    pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in family(pids))
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def family(pids: Iterable[int]) -> set[int]:
    """Processes with their children."""
    found = set(pids)
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and _parent(int(entry.name)) in found:
            found.add(int(entry.name))
    return found


def _ticks(pid: int) -> int:
    fields = _stat(pid)
    return int(fields[11]) + int(fields[12])


def _parent(pid: int) -> int:
    fields = _stat(pid)
    return int(fields[1]) if fields else 0


def _stat(pid: int) -> list[str]:
    """The fields of /proc/{pid}/stat from the third on; none when it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []
