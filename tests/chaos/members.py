"""Three etcd members, each killed, frozen, cut off or filled by itself; with what an administrator does."""

from __future__ import annotations

import asyncio
import shutil
import signal
import subprocess
import time
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.chaos.network import Network
from tests.fixtures.ports import free_port

_START_S = 30.0


class Member:
    """One etcd process, in a namespace or not."""

    def __init__(self, folder: Path, index: int, network: Network | None) -> None:
        self.name = f"m{index}"
        self._folder = folder
        host = network.address(index) if network else "127.0.0.1"
        client, peer = (2379, 2380) if network else (free_port(), free_port())
        self.endpoint, self.peer = f"{host}:{client}", f"http://{host}:{peer}"
        self._inside = ("ip", "netns", "exec", network.names[index]) if network else ()
        self.cluster = ""
        self.extra: tuple[str, ...] = ()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, on the data that it has."""
        etcd = shutil.which("etcd")
        assert etcd, "etcd is not installed (Debian: etcd-server)"
        client = f"http://{self.endpoint}"
        with (self._folder / f"{self.name}.log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    # It must not outlive the run, however that ends.
                    *(*self._inside, "setpriv", "--pdeathsig", "KILL", etcd, "--name", self.name),
                    *("--data-dir", str(self._folder / self.name), "--logger", "zap"),
                    *("--listen-client-urls", client, "--advertise-client-urls", client),
                    *("--listen-peer-urls", self.peer, "--initial-advertise-peer-urls", self.peer),
                    *("--initial-cluster", self.cluster, *self.extra),
                ],
                stdout=log,
                stderr=log,
            )

    @property
    def runs(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone. Idempotent."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)

    def signal(self, number: signal.Signals) -> None:
        """SIGSTOP or SIGCONT; nothing to one that does not run."""
        if self.process is not None and self.runs:
            self.process.send_signal(number)

    def leads(self) -> bool:
        """Whether it says that it is the leader; blocks for up to a second."""
        return b"\netcd_server_is_leader 1" in self._ask("/metrics")

    def healthy(self) -> bool:
        """Whether it serves, with a leader; blocks for up to a second."""
        return b'"true"' in self._ask("/health")

    def _ask(self, path: str) -> bytes:
        try:
            with urllib.request.urlopen(f"http://{self.endpoint}{path}", timeout=1) as answer:
                found: bytes = answer.read()
                return found
        except OSError:
            return b""


class Members:
    """The cluster. Use it as `async with`."""

    def __init__(self, folder: Path, network: Network | None, *, quota: int = 0) -> None:
        self.members = [Member(folder, index, network) for index in range(3)]
        cluster = ",".join(f"{member.name}={member.peer}" for member in self.members)
        for member in self.members:
            member.cluster = cluster
            member.extra = (f"--quota-backend-bytes={quota}",) if quota else ()

    @property
    def endpoints(self) -> list[str]:
        return [member.endpoint for member in self.members]

    async def __aenter__(self) -> Self:
        for member in self.members:
            member.start()
        await self.healthy()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for member in self.members:
            member.kill()

    async def healthy(self) -> None:
        """Wait until all serve. Raises AssertionError."""
        end = time.monotonic() + _START_S
        for member in self.members:
            while not await asyncio.to_thread(member.healthy):
                assert time.monotonic() < end, f"{member.name} does not serve"
                await asyncio.sleep(0.1)

    async def leader(self) -> int:
        """The index of the leader; 0 when nobody says so."""
        for index, member in enumerate(self.members):
            if member.runs and await asyncio.to_thread(member.leads):
                return index
        return 0

    async def compact(self, revision: int) -> None:
        """Forget what was before."""
        await self._control("compact", str(revision))

    async def make_room(self) -> None:
        """After NOSPACE: give the space back, and take the alarm off (etcd op-guide, maintenance)."""
        await self._control("defrag", "--command-timeout=20s")
        await self._control("alarm", "disarm")

    async def _control(self, *arguments: str) -> None:
        """As an administrator; what fails is left to those who look afterwards."""
        etcdctl = shutil.which("etcdctl")
        assert etcdctl, "etcdctl is not installed (Debian: etcd-client)"
        process = await asyncio.create_subprocess_exec(
            *(etcdctl, "--endpoints", ",".join(self.endpoints), *arguments),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        await process.wait()
