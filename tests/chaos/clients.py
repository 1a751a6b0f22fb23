"""`python -m tests.chaos.clients`: several random clients in a process of their own, to be frozen or killed.

What they do is written to a file, a line before each call and a line after it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from pathlib import Path

from tests.chaos.actor import Actor, Play
from tests.chaos.call import Call, dump
from tests.chaos.caller import Door
from tests.chaos.recorder import Recorder
from tests.chaos.resource import Remote


class Crew:
    """Such a process, seen from the one that started it."""

    def __init__(self, name: str, folder: Path, flags: dict[str, str]) -> None:
        self.name = name
        self.file = folder / f"{name}.jsonl"
        self._log = folder / f"{name}.log"
        self.flags = {"name": name, "file": str(self.file), **flags}
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """0 when it does not run."""
        return self._process.pid if self._process and self._process.returncode is None else 0

    async def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *("setpriv", "--pdeathsig", "KILL", "--", sys.executable, "-m", "tests.chaos.clients"),
                *(f"--{flag}={value}" for flag, value in self.flags.items()),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def signal(self, number: signal.Signals) -> None:
        """Nothing to one that does not run."""
        if self.pid:
            os.kill(self.pid, number)

    async def wait(self, timeout: float) -> None:
        """Wait for its end; kill it when it takes longer than `timeout` seconds."""
        if self._process is None:
            return
        try:
            await asyncio.wait_for(self._process.wait(), timeout)
        except TimeoutError:
            self.signal(signal.SIGKILL)
            await self._process.wait()


async def _run(arguments: argparse.Namespace, recorder: Recorder) -> None:
    doors = [Door(*door.split("=")) for door in arguments.doors.split(",")]
    play = Play(
        seed=f"{arguments.seed}:{arguments.name}",
        doors=doors,
        profiles=arguments.profiles.split(","),
        resource=Remote(arguments.resource),
        recorder=recorder,
    )
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, play.stopped.set)
    async with asyncio.TaskGroup() as group:
        for index in range(arguments.actors):
            group.create_task(Actor(f"{arguments.name}.{index}", play).run())
    for door in doors:
        await door.aclose()


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for flag in ("name", "file", "seed", "doors", "profiles", "resource"):
        parser.add_argument(f"--{flag}", required=True)
    parser.add_argument("--actors", type=int, default=3)
    arguments = parser.parse_args()
    with Path(arguments.file).open("a", buffering=1) as file:

        def write(call: Call) -> None:
            file.write(dump(call) + "\n")

        asyncio.run(_run(arguments, Recorder(write)))


if __name__ == "__main__":
    _main()
