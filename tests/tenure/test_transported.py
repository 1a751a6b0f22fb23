"""Whether a transport closes what it was made of once, on both loops that Tenure runs on."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import IO, Any, cast

import pytest
import uvloop

from tenure.transported import transported

LOOPS = pytest.mark.parametrize("make_loop", [asyncio.new_event_loop, uvloop.new_event_loop])


class Awaited(asyncio.Protocol):
    """Says when its transport is closed."""

    def __init__(self) -> None:
        self.lost = asyncio.get_running_loop().create_future()

    def connection_lost(self, _: Exception | None) -> None:
        self.lost.set_result(None)


class Taken:
    """A file whose descriptor's number another thread has taken by the time that it is told to close, if the
    descriptor is closed by then.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.taken = -1
        self.told = asyncio.get_running_loop().create_future()

    def fileno(self) -> int:
        return self._file.fileno()

    def close(self) -> None:
        number = self._file.fileno()
        if not is_open(number):
            self.taken = os.dup2(2, number)
        self._file.close()
        self.told.set_result(None)


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


@LOOPS
@pytest.mark.parametrize("mode", ["rb", "wb"])
def test_a_transport_closes_its_descriptor_and_nobody_elses(
    make_loop: Callable[[], asyncio.AbstractEventLoop], mode: str
) -> None:
    async def close_one() -> None:
        loop = asyncio.get_running_loop()
        ends = os.pipe()
        number, other = ends if mode == "rb" else reversed(ends)
        file = Taken(cast(IO[bytes], transported(number, mode)))
        connect: Any = loop.connect_read_pipe if mode == "rb" else loop.connect_write_pipe
        transport, protocol = await connect(Awaited, file)
        transport.close()
        await asyncio.gather(protocol.lost, file.told)
        if file.taken < 0:
            assert not is_open(number)
        else:
            assert is_open(file.taken), "it was another thread's"
            os.close(file.taken)
        os.close(other)

    with asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(close_one())
