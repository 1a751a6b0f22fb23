"""A client process of the lock suite: told by lines what to do, it does it and tells how long it took.

Its argument is an `Asked` as JSON. Each line of input, `{"lanes", "items", "seconds"}`, is a turn; each line
of output its result. It ends with its input.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import uvloop

from tests.bench import report
from tests.bench.lock_ways import Asked, Pair, opened


async def main() -> None:
    lines = await lines_of_input()
    async with opened(Asked(**json.loads(sys.argv[1]))) as pair:
        print(json.dumps({"ready": True}), flush=True)
        async for line in lines:
            print(json.dumps(await turn(pair, **json.loads(line))), flush=True)


async def turn(pair: Pair, lanes: int, seconds: float, items: int = 1) -> dict[str, float]:
    """Take and free in all lanes at once, until the time is over."""
    took: list[float] = []
    cpu, began = time.process_time(), report.now()

    async def run(lane: int) -> None:
        number = 0
        while (at := report.now()) < began + seconds:
            await pair(lane, number, items)
            took.append(report.now() - at)
            number += 1

    await asyncio.gather(*(run(lane) for lane in range(lanes)))
    return {
        "pairs": len(took) * items,
        "seconds": report.now() - began,
        "cpu_s": time.process_time() - cpu,
        "p50_ms": report.percentile(took, 0.5) * 1000,
        "p99_ms": report.percentile(took, 0.99) * 1000,
    }


async def lines_of_input() -> asyncio.StreamReader:
    """What the suite asks for, a line each."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    return reader


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
