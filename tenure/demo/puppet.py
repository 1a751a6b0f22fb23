"""A worker in another process, ordered about by the demo; real signals stop, wake and kill it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

from tenure.demo.claims import ClaimFailed

LEASE_S = 3
_ANSWER_S = 30.0


class Puppet:
    """The process of `tenure.demo.worker`. Made by `started`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.token = 0
        """Of the hold that it has, or had."""
        self._process = process
        # Signals go to this very process, also when its pid has come back: somebody else may bury it.
        self._fd = os.pidfd_open(process.pid)

    @classmethod
    @asynccontextmanager
    async def started(cls, gateway: str) -> AsyncIterator[Self]:
        """A process that has done nothing yet; killed at the end when it lives."""
        process = await asyncio.create_subprocess_exec(
            # Stopped or not, it must not outlive the demo.
            *("setpriv", "--pdeathsig", "KILL", "--"),
            *(sys.executable, "-m", "tenure.demo.worker", gateway, str(LEASE_S)),
            stdin=PIPE,
            stdout=PIPE,
        )
        puppet = cls(process)
        try:
            yield puppet
        finally:
            puppet.kill()
            await process.wait()
            os.close(puppet._fd)

    @property
    def pid(self) -> int:
        return self._process.pid

    async def order(self, what: str, **how: Any) -> dict[str, Any]:
        """Have it do something and return its answer. Raises ClaimFailed."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"order": what, **how}).encode() + b"\n")
        answer = await self.hear()
        if "failed" in answer:
            raise ClaimFailed(f"{what}: {answer['failed']}")
        return answer

    async def hear(self) -> dict[str, Any]:
        """The next thing that it says. Raises ClaimFailed."""
        assert self._process.stdout is not None
        async with asyncio.timeout(_ANSWER_S):
            line = await self._process.stdout.readline()
        if not line:
            raise ClaimFailed("its process ended")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def stop(self) -> None:
        """Stop it as a frozen machine would: it does nothing more, and does not know."""
        self._send(signal.SIGSTOP)

    def wake(self) -> None:
        self._send(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once. Idempotent."""
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        try:
            signal.pidfd_send_signal(self._fd, number)
        except ProcessLookupError:
            if number is not signal.SIGKILL:
                raise
