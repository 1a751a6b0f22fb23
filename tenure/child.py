"""One program under supervision: started, known to be ready, started again when it dies, stopped."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path

from tenure.programs import Program
from tenure.transported import transported

Say = Callable[[str], None]

_START_TIMEOUT_S = 60.0
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 5.0
_HEALTHY_AFTER_S = 10.0
_TAIL_LINES = 8


class StartFailed(Exception):
    """A program ended, or said nothing, before it was ready. It does not run any more."""

    def __init__(self, name: str, why: str, log: Path | None) -> None:
        super().__init__(name, why, log)
        self.name = name
        self.why = why
        self.log = log

    def __str__(self) -> str:
        if self.log is None:
            return f"{self.name} did not start: {self.why}."
        lines = self.log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
        return "\n".join([f"{self.name} did not start: {self.why}. The end of {self.log}:", *lines])


class Child:
    """A running program. Between `start` and `stop` it is started again when it dies, at the same address.

    The kernel sends it SIGTERM when this process dies, however that happens (PDEATHSIG). It
    has a session of its own, so that Ctrl-C in a terminal reaches only us. `say` is
    told one line about each event, `changed` is called when its pid changed.
    """

    def __init__(self, program: Program, log: Path | None, say: Say, changed: Callable[[], None]) -> None:
        self.program = program
        self.address = program.listen
        self.log = log
        self._say = say
        self._changed = changed
        self._process: asyncio.subprocess.Process | None = None
        self._peers: Mapping[str, str] = {}
        self._inherit: Sequence[int] = ()
        self._began = 0.0
        self._keeper: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        return self.program.name

    @property
    def pid(self) -> int:
        """Its process id; 0 while it does not run."""
        return self._process.pid if self._process and self._process.returncode is None else 0

    async def start(self, peers: Mapping[str, str], inherit: Sequence[int] = ()) -> None:
        """Start it and return when it is ready. Raises StartFailed.

        `peers` are the addresses of the programs before it. It has the descriptors in
        `inherit` open, also after a restart.
        """
        self._peers, self._inherit = peers, inherit
        await self._launch()
        self._keeper = asyncio.create_task(self._keep())

    async def stop(self, hurry: asyncio.Event) -> None:
        """End it: SIGTERM, then SIGKILL after its grace time, or as soon as `hurry` is set. Idempotent."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        if self.pid:
            self._signal(signal.SIGTERM)
            if not await self._ended(hurry):
                self._say(f"{self.name} did not stop in time and was killed")
                await self._kill()

    async def _launch(self) -> None:
        ready_fd, theirs = os.pipe()
        command = ["setpriv", "--pdeathsig", "TERM", "--"]
        command += self.program.command(self.address, self._peers)
        if self.program.probe is None:
            command.append(f"--ready-fd={theirs}")
        self._began = time.monotonic()
        try:
            with nullcontext() if self.log is None else self.log.open("ab") as log:
                self._process = await asyncio.create_subprocess_exec(
                    *command,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env={**os.environ, **self.program.environment},
                    pass_fds=(theirs, *self._inherit),
                    start_new_session=True,
                )
        finally:
            os.close(theirs)
        try:
            self.address = await self._ready(ready_fd, self._process)
        except BaseException:
            await self._kill()
            raise
        self._changed()

    async def _ready(self, ready_fd: int, process: asyncio.subprocess.Process) -> str:
        """The address it serves at, as soon as it does. Raises StartFailed."""
        announced = asyncio.create_task(self._announced(ready_fd))
        died = asyncio.create_task(process.wait())
        try:
            await asyncio.wait(
                {announced, died}, timeout=_START_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED
            )
            if announced.done() and (address := announced.result()):
                return address
            if announced.done() or died.done():
                raise StartFailed(self.name, f"it {_how(await process.wait())}", self.log)
            raise StartFailed(self.name, f"it was not ready within {_START_TIMEOUT_S:g} s", self.log)
        finally:
            announced.cancel()
            died.cancel()
            await asyncio.gather(announced, died, return_exceptions=True)

    async def _announced(self, ready_fd: int) -> str:
        """The address it serves at; empty when it ended without saying."""
        if self.program.probe is not None:
            with os.fdopen(ready_fd, "rb"):
                await self.program.probe(self.address)
                return self.address
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), transported(ready_fd, "rb")
        )
        try:
            line = await reader.readline()
        finally:
            transport.close()
        return str(json.loads(line)["address"]) if line else ""

    async def _keep(self) -> None:
        """Start it again whenever it ends, until cancelled."""
        pause = _FIRST_PAUSE_S
        while True:
            assert self._process is not None
            code = await self._process.wait()
            self._changed()
            if time.monotonic() - self._began > _HEALTHY_AFTER_S:
                pause = _FIRST_PAUSE_S
            self._say(f"{self.name} {_how(code)}; starting it again at {self.address}")
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_S)
            try:
                await self._launch()
            except StartFailed as failed:
                self._say(str(failed))
            else:
                self._say(f"{self.name} is back at {self.address} (pid {self.pid})")

    async def _ended(self, hurry: asyncio.Event) -> bool:
        """Whether it ended within its grace time, and before somebody was in a hurry."""
        assert self._process is not None
        ended = asyncio.create_task(self._process.wait())
        hurried = asyncio.create_task(hurry.wait())
        await asyncio.wait(
            {ended, hurried}, timeout=self.program.grace_s, return_when=asyncio.FIRST_COMPLETED
        )
        in_time = ended.done()
        ended.cancel()
        hurried.cancel()
        await asyncio.gather(ended, hurried, return_exceptions=True)
        return in_time

    async def _kill(self) -> None:
        self._signal(signal.SIGKILL)
        assert self._process is not None
        await self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        # Safe against a pid that came back: asyncio says that it has ended as soon as it has reaped it.
        if self.pid:
            # Reaped just now, and that is not told yet.
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)


def _how(code: int) -> str:
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with status {code}"
