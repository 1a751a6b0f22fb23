"""`make bench SUITE=browser`: what an open costs beside the same browser driven by hand, in turns in one run.

cold_open_vs_bare       a profile's first open, against Xvfb + Chrome + navigate by hand on a fresh directory
warm_open_vs_navigate   an open on a warm browser, against navigating a bare browser's own tab
warm_open_p95_ms        the slow end of the warm opens, against its goal
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median

from aiohttp import web

import tenure
from tenure.session import Session
from tests.bench import report
from tests.bench.bare import BareBrowser
from tests.fixtures.system import RunningSystem

COLD = 10
WARM = 60
WARM_P95_GOAL_MS = 100.0

Phases = dict[str, list[float]]


async def main() -> None:
    phases: dict[str, Phases] = {"cold": defaultdict(list), "warm": defaultdict(list)}
    with tempfile.TemporaryDirectory(prefix="tenure-bench-") as folder:
        system = RunningSystem(Path(folder) / "tenure")
        async with site() as url:
            await system.start()
            try:
                async with tenure.connect(system.gateway) as client:
                    figures = [
                        await cold(client, url, phases["cold"]),
                        *await warm(client, url, phases["warm"]),
                    ]
            finally:
                await system.stop()
    report.write("browser", figures, [described(kind, spent) for kind, spent in phases.items()])


async def cold(client: tenure.Client, url: str, phases: Phases) -> report.Figure:
    """Every open is of a profile of its own; each browser is closed before the next start."""
    ours, theirs = [], []
    for turn in range(COLD + 1):
        began = await report.rested()
        async with BareBrowser() as bare:
            await bare.navigate(url)
            theirs.append(since(began))
        began = await report.rested()
        async with client.open(f"cold-{turn}", start_url=url, reuse_session=False) as session:
            ours.append(since(began))
            note(session, phases)
    # The first turn reads Chrome from the disk and registers the worker.
    return report.paired("cold_open_vs_bare", ours[1:], theirs[1:])


async def warm(client: tenure.Client, url: str, phases: Phases) -> list[report.Figure]:
    """One browser each, both used again and again; each navigation is to another address."""
    ours, theirs = [], []
    async with BareBrowser() as bare:
        for turn in range(WARM + 1):
            began = await report.rested()
            await bare.navigate(f"{url}?bare={turn}")
            theirs.append(since(began))
            began = await report.rested()
            async with client.open("warm", start_url=f"{url}?warm={turn}") as session:
                ours.append(since(began))
                note(session, phases)
                assert session.reused_session == (turn > 0)
    p95 = report.percentile(ours[1:], 0.95)
    return [
        report.paired("warm_open_vs_navigate", ours[1:], theirs[1:]),
        report.against_goal("warm_open_p95_ms", p95, WARM_P95_GOAL_MS, "ms", WARM),
    ]


@asynccontextmanager
async def site() -> AsyncIterator[str]:
    """A page as plain as can be, so that what is measured is the browser and not the page."""

    async def page(request: web.Request) -> web.Response:
        return web.Response(text="<title>bench</title><h1>bench</h1>", content_type="text/html")

    application = web.Application()
    application.router.add_get("/", page)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


def note(session: Session, phases: Phases) -> None:
    for phase, seconds in session.timings.items():
        phases[phase].append(seconds * 1000)


def described(kind: str, phases: Phases) -> str:
    spent = " · ".join(f"{phase} {median(values):.1f}" for phase, values in phases.items())
    return f"{kind} open, median milliseconds by phase: {spent}"


def since(began: float) -> float:
    return (report.now() - began) * 1000


if __name__ == "__main__":
    asyncio.run(main())
