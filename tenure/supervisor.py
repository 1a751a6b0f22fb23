"""The whole system on one machine: etcd and the four services, as children of this process.

    async with System(Path("/srv/tenure")) as system:
        print(system.gateway)

What dies is started again at the same address. Stopping goes against the order of
starting, so that each part can still say goodbye to what it needs, and is bounded.
"""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import signal
import socket
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from tenure import machine, processes
from tenure.child import Child, Say
from tenure.dataroot import DataRoot
from tenure.ports import FREE_PORT, Ports, family
from tenure.programs import RUN_TIME_NEEDS, etcd_version, etcd_warning, programs

HTTP_LISTEN = "127.0.0.1:7480"

_STRAGGLERS_S = 15.0
_SERVING_S = 30.0
_SWEEP_S = 2.0


class CannotStart(Exception):
    """Nothing was started. Its text says why and what to do."""


class Leftovers(Exception):
    """Something outlived the system and was killed; browsers among it may have lost cookies."""


class System:
    """The system on `data_root`, its gateway at `listen`. Owned: `async with`, or `start` and `stop`.

    `http_listen` is where the gateway serves DevTools WebSockets; left out it is the documented
    port, or a free one when `listen` takes a free one too. `lock_processes`: how many processes the
    lock service is, for machines with cores to spare.

    Use it in a process that starts no others: it adopts and buries every orphan below the
    process, so that none gets out of sight. `say` is told one line about each event.
    Stopped and started again it goes on with everything that is in `data_root`.
    """

    def __init__(
        self,
        data_root: Path,
        listen: str = "127.0.0.1:7433",
        say: Say = lambda line: None,
        http_listen: str | None = None,
        lock_processes: int = 1,
    ) -> None:
        self.data_root = data_root
        self.hurry = asyncio.Event()
        """Set it to have a stop kill at once what it would wait for."""
        self.children: list[Child] = []
        """The parts that run: etcd, lockservice, browserhost, recovery, gateway."""
        self.metrics = ""
        """Where the lock service serves /metrics, `host:port`, and at the ports after it when it is several
        processes."""
        self._listen = listen
        free = listen.endswith(":0")
        self._http_listen = http_listen or (FREE_PORT if free else HTTP_LISTEN)
        self._lock_processes = lock_processes
        self._say = say
        self._root: DataRoot | None = None
        self._ports = Ports()
        self._sweeper: asyncio.Task[None] | None = None
        self._warned = False

    @property
    def gateway(self) -> str:
        """Where the gateway answers, `host:port`."""
        return self.child("gateway").address

    def child(self, name: str) -> Child:
        """The part of this name. Raises KeyError when it does not run."""
        for child in self.children:
            if child.name == name:
                return child
        raise KeyError(name)

    async def start(self) -> None:
        """Start every part in order and return once the gateway serves.

        Raises CannotStart, Taken, StartFailed; then nothing runs.
        """
        check_machine()
        self._root = await DataRoot.take(self.data_root, self._say)
        try:
            # Only now: the gateway of a system that was killed here may just have closed.
            check_port(self._listen)
            check_port(self._http_listen, "--http-listen")
            processes.adopt_orphans()
            self._sweeper = asyncio.create_task(self._sweep())
            # Known before anything starts: browsers are kept away from all of them.
            asked = (self._listen, self._http_listen, FREE_PORT)
            listen, http, recovery = map(self._ports.address, asked)
            self.metrics = self._ports.address(row=self._lock_processes)
            addresses = (listen, http, recovery, self.metrics)
            parts = programs(self.data_root, *addresses, lock_processes=self._lock_processes)
            for program in parts:
                # A part that dies comes back where it was.
                program = replace(program, listen=self._ports.address(program.listen))
                child = Child(program, self._root.log(program.name), self._say, self._write_state)
                self.children.append(child)
                peers = {each.name: each.address for each in self.children}
                await child.start(peers, inherit=(self._root.lock_fd,))
                if child.name == "etcd" and not self._warned:
                    await self._warn_of_etcd(child.address)
            await self._serving()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop every part, the last one first. Idempotent. Raises Leftovers when something outlived it."""
        if self._root is None:
            return
        root, self._root = self._root, None
        for child in reversed(self.children):
            await child.stop(self.hurry)
        self.children = []
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.gather(self._sweeper, return_exceptions=True)
        try:
            await self._clear_stragglers()
        finally:
            self._ports.give_back()
            root.give_back()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    async def _serving(self) -> None:
        """Wait until the gateway says that it, and what it needs, serves."""
        # Here, because importing gRPC takes as long as starting etcd.
        import grpc.aio
        from grpc_health.v1 import health_pb2, health_pb2_grpc

        async with grpc.aio.insecure_channel(self.gateway) as channel, asyncio.timeout(_SERVING_S):
            async for answer in health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest()):
                if answer.status == health_pb2.HealthCheckResponse.SERVING:
                    return

    async def _warn_of_etcd(self, address: str) -> None:
        self._warned = True
        if warning := etcd_warning(await etcd_version(address)):
            self._say(warning)

    def _write_state(self) -> None:
        if self._root is not None:
            parts = {c.name: {"pid": c.pid, "address": c.address, "log": str(c.log)} for c in self.children}
            self._root.write_state(parts)

    def _living(self) -> list[processes.Process]:
        """What runs below this process, our parts excepted; buries the dead."""
        ours = {child.pid for child in self.children}
        found = processes.below(os.getpid(), processes.table())
        processes.reap(found, keep=ours)
        return [process for process in found if process.runs and process.pid not in ours]

    async def _sweep(self) -> None:
        """Bury what a part that died left behind, until cancelled."""
        while True:
            await asyncio.sleep(_SWEEP_S)
            self._living()

    async def _clear_stragglers(self) -> None:
        """Wait for what the parts left running (a keeper that closes its browser), then kill it."""
        deadline = asyncio.get_running_loop().time() + _STRAGGLERS_S
        while (left := self._living()) and not self.hurry.is_set():
            if asyncio.get_running_loop().time() > deadline:
                break
            await asyncio.sleep(0.05)
        if not left:
            return
        while living := self._living():
            for process in living:
                # Safe: our own descendant keeps its pid until we bury it.
                os.kill(process.pid, signal.SIGKILL)
            await asyncio.sleep(0.05)
        names = ", ".join(f"{process.name} (pid {process.pid})" for process in left)
        raise Leftovers(f"outlived the system and had to be killed: {names}")


def check_machine() -> None:
    """Raises CannotStart, in the words of `tenure doctor`, when a program that we need is missing."""
    missing = machine.missing(RUN_TIME_NEEDS)
    if missing:
        names = ", ".join(f"{need.name} ({need.why})" for need in missing)
        remedy = machine.remedy(missing, apt=shutil.which("apt-get") is not None)
        raise CannotStart(f"This machine lacks {names}. To get it:\n{remedy}")


def check_port(listen: str, flag: str = "--listen") -> None:
    """Raises CannotStart when an address of the gateway is taken or none of this machine's."""
    host, _, port = listen.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise CannotStart(f"{flag} {listen} is not host:port. Example: {flag} 127.0.0.1:7433")
    try:
        with socket.create_server((host.strip("[]"), int(port)), family=family(host)):
            return
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        why = "another program listens there" if taken else error.strerror or str(error)
        raise CannotStart(
            f"The gateway cannot have {listen}: {why}. See who it is with `ss -ltnp 'sport = :{port}'`, "
            f"or choose another address: {flag} 127.0.0.1:0 takes a free port."
        ) from None
