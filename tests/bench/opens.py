"""What an open costs, cold, warm, launched ahead and ten at once, beside the same browser driven by hand."""

from __future__ import annotations

import asyncio
from statistics import median

import grpc.aio

import tenure
from tenure.page import Page
from tenure.session import Session
from tenure.v1.host_service_pb2 import PrewarmRequest
from tenure.v1.host_service_pb2_grpc import HostServiceStub
from tenure.v1.session_pb2 import Action, Click
from tenure.v1.session_service_pb2 import ScreenshotOptions
from tests.bench import report
from tests.bench.bare import BareBrowser
from tests.bench.browser_rig import Bench
from tests.bench.parts import Measured

COLD = 10
WARM = 60
AFTER_CLIENT = 30
PREWARMED = 10
AT_ONCE = 10
ROUNDS_AT_ONCE = 3
TWO_STEPS = 8

COLD_GOAL = 1.15
WARM_GOAL = 1.3
WARM_P95_GOAL_MS = 100.0
PREWARMED_GOAL = 1.2

Phases = dict[str, list[float]]


async def cold(bench: Bench) -> Measured:
    """Every open is of a profile of its own; each browser is closed before the next start."""
    ours, theirs, phases = [], [], Phases()
    async with tenure.connect(bench.gateway) as client:
        for turn in range(COLD + 1):
            began = await report.rested()
            async with BareBrowser() as bare:
                await bare.navigate(bench.url)
                theirs.append(since(began))
            began = await report.rested()
            async with client.open(f"cold-{turn}", start_url=bench.url, reuse_session=False) as session:
                ours.append(since(began))
                note(session, phases)
    # The first turn reads Chrome from the disk and registers the worker.
    figure = report.paired("cold_open_vs_bare", ours[1:], theirs[1:], at_most=COLD_GOAL)
    return [figure], [described("cold", phases)]


async def warm(bench: Bench) -> Measured:
    """One browser each, both used again and again; each navigation is to another address."""
    ours, theirs, phases = [], [], Phases()
    async with BareBrowser() as bare, tenure.connect(bench.gateway) as client:
        for turn in range(WARM + 1):
            began = await report.rested()
            await bare.navigate(f"{bench.url}?bare={turn}")
            theirs.append(since(began))
            began = await report.rested()
            async with client.open("warm", start_url=f"{bench.url}?warm={turn}") as session:
                ours.append(since(began))
                note(session, phases)
                assert session.reused_session == (turn > 0)
        await bench.close_browser(client, "warm")
    p95 = report.percentile(ours[1:], 0.95)
    figures = [
        report.paired("warm_open_vs_navigate", ours[1:], theirs[1:], at_most=WARM_GOAL),
        report.against_goal("warm_open_p95_ms", p95, WARM_P95_GOAL_MS, "ms", WARM),
    ]
    return figures, [described("warm", phases)]


async def after_client(bench: Bench) -> Measured:
    """As `warm`, where in each session a client connects and evaluates: so no tab is handed on."""
    ours, theirs, phases = [], [], Phases()
    async with BareBrowser() as bare, tenure.connect(bench.gateway) as client:
        for turn in range(AFTER_CLIENT + 1):
            began = await report.rested()
            await bare.navigate(f"{bench.url}?bare={turn}")
            theirs.append(since(began))
            began = await report.rested()
            async with client.open("driven", start_url=f"{bench.url}?driven={turn}") as session:
                ours.append(since(began))
                note(session, phases)
                assert session.reused_session == (turn > 0)
                async with Page.attach(session.cdp_url) as page:
                    assert await page.evaluate("document.title") == "bench"
        await bench.close_browser(client, "driven")
    figure = report.paired("warm_open_after_client_vs_navigate", ours[1:], theirs[1:])
    return [figure], [described("after a client", phases)]


async def prewarmed(bench: Bench) -> Measured:
    """The first open of a browser that was launched ahead, against one of a browser that was used before."""
    ours, theirs, phases = [], [], Phases()
    async with (
        tenure.connect(bench.gateway) as client,
        grpc.aio.insecure_channel(bench.gateway) as channel,
    ):
        hosts = HostServiceStub(channel)
        for name in ("ahead", "used"):  # a profile has its home by its first open
            async with client.open(name, start_url=bench.url):
                pass
        for turn in range(PREWARMED + 1):
            await bench.close_browser(client, "ahead")
            await hosts.Prewarm(PrewarmRequest(profile="ahead"), timeout=60)
            began = await report.rested()
            async with client.open("ahead", start_url=f"{bench.url}?ahead={turn}") as session:
                ours.append(since(began))
                assert session.prewarmed
                assert not session.reused_session
                note(session, phases)
            began = await report.rested()
            async with client.open("used", start_url=f"{bench.url}?used={turn}") as session:
                theirs.append(since(began))
                assert session.reused_session
        for name in ("ahead", "used"):
            await bench.close_browser(client, name)
    figure = report.paired("prewarmed_open_vs_warm", ours[1:], theirs[1:], at_most=PREWARMED_GOAL)
    return [figure], [described("prewarmed", phases)]


async def at_once(bench: Bench) -> Measured:
    """Ten new profiles at the same time, against ten browsers started by hand at the same time."""
    ours, theirs, phases = [], [], Phases()
    alarms_before = bench.hang_alarms()
    async with tenure.connect(bench.gateway) as client:

        async def by_hand() -> None:
            async with BareBrowser() as bare:
                await bare.navigate(bench.url)
                theirs.append(since(began))
                await landed.wait()

        async def opened(name: str) -> None:
            async with client.open(name, start_url=bench.url, reuse_session=False) as session:
                ours.append(since(began))
                note(session, phases)
                await landed.wait()

        # Nobody closes before all have landed: a browser that ends would slow those that still start.
        landed = asyncio.Barrier(AT_ONCE)
        for turn in range(ROUNDS_AT_ONCE):
            began = await report.rested()
            await asyncio.gather(*(by_hand() for _ in range(AT_ONCE)))
            began = await report.rested()
            await asyncio.gather(*(opened(f"at-once-{turn}-{index}") for index in range(AT_ONCE)))
    slow = [report.percentile(took, 0.95) for took in (ours, theirs)]
    alarms = bench.hang_alarms() - alarms_before
    figures = [
        report.beside("parallel10_open_p95_ms", slow[0], slow[1], "ms", len(ours)),
        report.exactly("parallel10_false_hang_alarms", alarms, 0, "alarms", len(ours)),
    ]
    return figures, [described("parallel", phases)]


async def two_steps(bench: Bench) -> Measured:
    """Open, click, click, close: with the browser of the run before, and with one of its own."""
    options = ScreenshotOptions(media_type="image/jpeg", inline=True)
    click = Action(click=Click(x=100, y=100))
    spent: dict[bool, Phases] = {True: {}, False: {}}
    async with tenure.connect(bench.gateway) as client:
        for turn in range(TWO_STEPS + 1):
            for reuse in (True, False):
                began = marked = await report.rested()
                taken: dict[str, float] = {}
                # Two profiles: a browser is not used again after a run that was to have its own.
                async with client.open(
                    f"two-steps-{reuse}", start_url=f"{bench.url}counter", reuse_session=reuse
                ) as session:
                    taken["open"], marked = since(marked), report.now()
                    for step in ("step 1", "step 2"):
                        await session.act(click, screenshot=options)
                        taken[step], marked = since(marked), report.now()
                taken["close"], taken["whole"] = since(marked), since(began)
                if turn:
                    for name, value in taken.items():
                        spent[reuse].setdefault(name, []).append(value)
        await bench.close_browser(client, "two-steps-True")
    figure = report.paired("seed_two_steps_on_vs_off", spent[True]["whole"], spent[False]["whole"])
    return [figure], [
        f"two steps, reuse {'on' if reuse else 'off'}, median milliseconds: {told(spent[reuse])}"
        for reuse in (True, False)
    ]


def note(session: Session, phases: Phases) -> None:
    for phase, seconds in session.timings.items():
        phases.setdefault(phase, []).append(seconds * 1000)


def described(kind: str, phases: Phases) -> str:
    return f"{kind} open, median milliseconds by phase: {told(phases)}"


def told(spent: Phases) -> str:
    return " · ".join(f"{name} {median(values):.1f}" for name, values in spent.items())


def since(began: float) -> float:
    return (report.now() - began) * 1000
