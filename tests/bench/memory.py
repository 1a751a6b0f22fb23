"""How much of the machine's memory the host itself takes, and what it spends it on."""

from __future__ import annotations

import sys
from asyncio.subprocess import PIPE, create_subprocess_exec

import tenure
from tests.bench import report
from tests.bench.browser_rig import Bench, rss_mb
from tests.bench.parts import Measured

BROWSERS = 20
GOAL_MB = 80.0

# In the order of what they bring along: each is weighed after those before it.
IMPORTS = (
    "asyncio",
    "grpc.aio",
    "google.protobuf.timestamp_pb2",
    "pydantic_settings",
    "structlog",
    "aiohttp.web",
    "browserhost.settings",
    "servicekit.main",
    "browserhost.service",
)
_WEIGH = """
import sys
def rss():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096 / 1e6
print("python", rss())
for name in sys.argv[1:]:
    try:
        __import__(name)
    except ImportError:
        continue
    print(name, rss())
"""


async def with_warm_browsers(bench: Bench) -> Measured:
    """Twenty profiles are opened on an empty page, one after the other, and closed: their browsers stay."""
    before = bench.host_rss_mb()
    async with tenure.connect(bench.gateway) as client:
        for number in range(BROWSERS):
            async with client.open(f"memory-{number}"):
                pass
        await report.rested()
        # Counted here, not by what the host has told of itself: that is as old as its last renewal.
        keepers = [rss_mb(pid) for pid in bench.keepers()]
        assert len(keepers) == BROWSERS, f"{len(keepers)} browsers are warm: this machine has no room"
        figure = report.against_goal("host_rss_mb", bench.host_rss_mb(), GOAL_MB, "MB", BROWSERS)
        for number in range(BROWSERS):
            await bench.close_browser(client, f"memory-{number}")
    return [figure], [
        f"host: {before:.1f} MB before the first browser",
        f"each browser's keeper: {sum(keepers) / len(keepers):.1f} MB, most of it shared",
        f"host, MB after importing: {await weighed()}",
    ]


async def weighed() -> str:
    """What the host's imports weigh, each after those before it."""
    process = await create_subprocess_exec(sys.executable, "-c", _WEIGH, *IMPORTS, stdout=PIPE)
    out, _ = await process.communicate()
    return " · ".join(f"{name} {float(mb):.1f}" for name, mb in map(str.split, out.decode().splitlines()))
