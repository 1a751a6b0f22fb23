from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest

from tenure.child import Child, StartFailed
from tenure.programs import Program

SERVICE = """
import json, os, signal, sys
address, fd = sys.argv[1], int(sys.argv[2].removeprefix("--ready-fd="))
address = address.replace(":0", ":4711")
os.write(fd, (json.dumps({"service": "it", "address": address}) + chr(10)).encode())
signal.pause()
"""

Start = Callable[..., "asyncio.Future[Child]"]


class Log(list[str]):
    """What was said; `waiting(words)` returns at the line that has them."""

    def __init__(self) -> None:
        super().__init__()
        self._more = asyncio.Event()

    def say(self, line: str) -> None:
        self.append(line)
        self._more.set()

    async def waiting(self, words: str) -> None:
        while not any(words in line for line in self):
            self._more.clear()
            await self._more.wait()


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
async def make(tmp_path: Path, log: Log) -> AsyncIterator[Callable[..., Child]]:
    made: list[Child] = []

    def build(script: str = SERVICE, **fields: float) -> Child:
        def command(address: str, _: Mapping[str, str]) -> list[str]:
            return [sys.executable, "-c", script, address]

        child = Child(Program("it", command, **fields), tmp_path / "it.log", log.say, lambda: None)  # type: ignore[arg-type]
        made.append(child)
        return child

    yield build
    for child in made:
        child_hurry = asyncio.Event()
        child_hurry.set()
        await child.stop(child_hurry)


async def test_it_is_started_once_it_says_where_it_serves(make: Callable[..., Child]) -> None:
    child = make()
    await child.start({})
    assert child.address == "127.0.0.1:4711"
    assert child.pid


async def test_what_dies_is_started_again_at_the_same_address(make: Callable[..., Child], log: Log) -> None:
    child = make()
    await child.start({})
    first = child.pid
    os.kill(first, signal.SIGKILL)
    await log.waiting("it is back at 127.0.0.1:4711")
    assert log[0] == "it was killed by SIGKILL; starting it again at 127.0.0.1:4711"
    assert child.pid not in (0, first)


async def test_what_fails_to_start_is_told_with_the_end_of_its_log(make: Callable[..., Child]) -> None:
    child = make("print('no config'); raise SystemExit(3)")
    with pytest.raises(StartFailed, match=r"(?s)it did not start: it ended with status 3.*no config"):
        await child.start({})
    assert child.pid == 0


async def test_what_ignores_sigterm_is_killed_after_its_grace_time(
    make: Callable[..., Child], log: Log
) -> None:
    child = make("import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SERVICE, grace_s=0.1)
    await child.start({})
    await child.stop(asyncio.Event())
    assert child.pid == 0
    assert log == ["it did not stop in time and was killed"]


async def test_a_hurry_does_not_wait_for_the_grace_time(make: Callable[..., Child]) -> None:
    child = make("import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SERVICE, grace_s=600.0)
    await child.start({})
    hurry = asyncio.Event()
    hurry.set()
    await child.stop(hurry)
    assert child.pid == 0


async def test_a_stopped_child_is_not_started_again(make: Callable[..., Child], log: Log) -> None:
    child = make()
    await child.start({})
    await child.stop(asyncio.Event())
    await child.stop(asyncio.Event())
    assert child.pid == 0
    assert log == []


async def test_it_ends_with_its_supervisor_however_that_ends(tmp_path: Path) -> None:
    supervisor = f"""
import asyncio, os, sys
from pathlib import Path
from tenure.child import Child
from tenure.programs import Program
async def main():
    command = lambda address, _: [sys.executable, "-c", {SERVICE!r}, address]
    child = Child(Program("it", command), Path({str(tmp_path / "log")!r}), print, lambda: None)
    await child.start({{}})
    print(child.pid, flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", supervisor, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    pidfd = os.pidfd_open(int(await process.stdout.readline()))
    process.kill()
    await process.wait()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(pidfd, ended.set)
    await asyncio.wait_for(ended.wait(), 30)
    asyncio.get_running_loop().remove_reader(pidfd)
    os.close(pidfd)
