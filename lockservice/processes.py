"""Several replicas behind one port: a parent that keeps them, each a process of its own and a whole replica.

Connections, not calls, are spread over them, by the kernel (SO_REUSEPORT): a caller that opens several is
served by several. A call that is repeated may meet another replica, as everywhere in Tenure.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from functools import partial
from typing import NoReturn

import structlog

from lockservice import service
from lockservice.settings import LockSettings
from servicekit.main import EXIT_FAILED, run
from servicekit.server import CLEAN_UP_S, CannotStart, announce, reserved
from tenure.child import Child, StartFailed
from tenure.programs import Program

ONE_OF_SEVERAL = "one-of-several"
# Beyond what a replica takes to drain.
_PATIENCE_S = 5.0

_log = structlog.get_logger("processes")


async def serve(settings: LockSettings, shutdown: asyncio.Event, *, argv: Sequence[str]) -> None:
    """Serve until `shutdown` is set, by as many processes as the settings say. `argv`: what they came from.

    Ready once all are. One that dies is started again, later each time; all end with this process, however it
    ends. Raises BindError, CannotStart.
    """
    if settings.processes == 1:
        await service.serve(settings, shutdown)
        return
    with reserved(settings.listen) as address:
        replicas = [
            Child(_program(number, settings, argv, address), None, _say, lambda: None)
            for number in range(settings.processes)
        ]
        starting = asyncio.create_task(_start(replicas))
        stopping = asyncio.create_task(shutdown.wait())
        try:
            await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                announce("lockservice", address, settings.ready_fd)
                await stopping
        finally:
            starting.cancel()
            stopping.cancel()
            await asyncio.gather(starting, stopping, return_exceptions=True)
            await asyncio.gather(*(replica.stop(asyncio.Event()) for replica in replicas))


def join(parent: int, flags: Sequence[str]) -> NoReturn:
    """Be one of the processes that `parent` keeps."""
    if os.getppid() != parent:
        # It died before we had asked the kernel to tell us.
        sys.exit(EXIT_FAILED)
    run("lockservice", LockSettings, partial(service.serve, shares_port=True), flags)


async def _start(replicas: Sequence[Child]) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            for replica in replicas:
                group.create_task(replica.start({}))
    except ExceptionGroup as group_of:
        failed, other = group_of.split(StartFailed)
        if failed is None or other is not None:
            raise
        raise CannotStart(str(failed.exceptions[0])) from None


def _program(number: int, settings: LockSettings, argv: Sequence[str], address: str) -> Program:
    own = [f"--listen={address}", "--processes=1"]
    host, _, port = settings.metrics_listen.rpartition(":")
    if port not in ("", "0"):
        own.append(f"--metrics-listen={host}:{int(port) + number}")
    parent = str(os.getpid())
    command = [sys.executable, "-m", "lockservice", ONE_OF_SEVERAL, parent, *argv, *own]
    return Program(
        f"replica {number}",
        lambda _address, _peers: command,
        listen=address,
        grace_s=settings.grace_s + CLEAN_UP_S + _PATIENCE_S,
    )


def _say(line: str) -> None:
    _log.warning(line)
