"""`tenure open`: a session from the command line."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from tenure.cli.output import DEFAULT_ADDRESS, Address, Json, Output, run, signals

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tenure.v1.session_pb2 import Proxy

_TASKS = {
    "NEW": "a fresh one",
    "RESUMED": "goes on from its workflow's checkpoint",
    "RETRY": "starts over, attempt {attempt}",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asks for."""

    profile: str
    start_url: str
    wait: float
    run_id: str
    workflow_id: str
    plan: str
    proxy: Proxy | None
    reuse: bool | None


def open_session(
    profile: Annotated[str, typer.Argument(help="The profile, for example alice:linkedin.")],
    start_url: Annotated[str, typer.Option(help="Where the browser goes first; nowhere when left out.")] = "",
    wait: Annotated[
        float, typer.Option(min=0, help="Seconds to queue when it is busy; 0 fails at once.")
    ] = 0,
    run_id: Annotated[str, typer.Option(help="Names the run, for others to see who has it.")] = "",
    workflow_id: Annotated[str, typer.Option(help="The workflow whose checkpoint the run works on.")] = "",
    plan: Annotated[
        str, typer.Option(help="Names the steps of the workflow: an older plan's checkpoint is refused.")
    ] = "",
    proxy_city: Annotated[str, typer.Option(help="City of the proxy, for example miami.")] = "",
    proxy_state: Annotated[str, typer.Option(help="State of the proxy, for example fl.")] = "",
    fresh: Annotated[bool, typer.Option("--fresh", help="Launch a new browser, whatever is warm.")] = False,
    lease_ttl: Annotated[
        float, typer.Option(min=2, max=3600, help="Seconds the lease lives unrenewed.")
    ] = 15,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Leave it open for --lease-ttl seconds (then at least 60).")
    ] = False,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Open a browser on a profile and hold it until Ctrl-C; then close it in good order.

    Prints where the time went and the address for CDP clients such as Playwright's
    connect_over_cdp. The address carries a secret: who has it drives the browser.

    Examples:

    tenure open alice:linkedin --start-url https://example.com

    tenure open alice:linkedin --wait 60 --run-id nightly-7

    tenure open alice:linkedin --detach --lease-ttl 600 --json
    """
    from tenure.v1.session_pb2 import Proxy

    proxy = Proxy(city=proxy_city, state=proxy_state) if proxy_city or proxy_state else None
    wanted = Wanted(profile, start_url, wait, run_id, workflow_id, plan, proxy, False if fresh else None)
    output = Output(as_json)
    run(output, (_detached if detach else _held)(output, address, wanted, lease_ttl))


async def _held(output: Output, address: str, wanted: Wanted, lease_ttl: float) -> None:
    from tenure.client import connect
    from tenure.hold import Result

    async with connect(address, lease_ttl=lease_ttl) as client:
        opening = client.open(
            wanted.profile,
            start_url=wanted.start_url,
            wait=wanted.wait,
            run_id=wanted.run_id,
            workflow_id=wanted.workflow_id,
            plan=wanted.plan,
            proxy=wanted.proxy,
            reuse_session=wanted.reuse,
        )
        async with opening as session:
            facts = {
                "event": "open",
                "session": session.name,
                "profile": session.profile,
                "fencing_token": session.fencing_token,
                "run_id": session.run_id,
                "origin": session.origin.name,
                "attempt": session.attempt,
                "cdp_url": session.cdp_url,
                "reused_session": session.reused_session,
                "prewarmed": session.prewarmed,
                "timings_ms": _in_ms(session.timings),
            }
            # A person who ends it here is content with it.
            session.result = Result.SUCCEEDED
            stop = asyncio.Event()
            with signals(stop):
                output.show(facts, *_for_people(facts), Text("Held until Ctrl-C.", style="bold"))
                await stop.wait()
    output.show({"event": "closed", "session": session.name}, Text("Closed; the browser stays warm."))


async def _detached(output: Output, address: str, wanted: Wanted, lease_ttl: float) -> None:
    from tenure.client import connect
    from tenure.duration import to_duration, to_seconds
    from tenure.hold import Origin
    from tenure.v1.session_service_pb2 import OpenSessionRequest

    request = OpenSessionRequest(
        profile=wanted.profile,
        start_url=wanted.start_url,
        lease_ttl=to_duration(max(lease_ttl, 60)),
        wait=to_duration(wanted.wait),
        run_id=wanted.run_id,
        workflow_id=wanted.workflow_id,
        plan=wanted.plan,
        proxy=wanted.proxy,
        reuse_session=wanted.reuse,
    )
    async with connect(address) as client:
        opened = await client.open_detached(request)
    facts = {
        "event": "open",
        "session": opened.session.name,
        "profile": opened.hold.profile,
        "fencing_token": opened.hold.fencing_token,
        "run_id": opened.hold.run_id,
        "origin": Origin(opened.hold.origin or Origin.NEW).name,
        "attempt": opened.hold.attempt,
        "cdp_url": opened.session.cdp_url,
        "reused_session": opened.reused_session,
        "prewarmed": opened.prewarmed,
        "timings_ms": _in_ms({each.phase: to_seconds(each.duration) for each in opened.timings}),
    }
    remedy = f"tenure release {wanted.profile} --token {opened.hold.fencing_token}"
    line = f"Left open for {to_seconds(request.lease_ttl):g} s. End it before that: {remedy}"
    output.show(facts, *_for_people(facts), Text(line, style="bold"))


def _in_ms(timings: Mapping[str, float]) -> dict[str, float]:
    return {phase: round(seconds * 1000, 1) for phase, seconds in timings.items()}


def _for_people(facts: Mapping[str, Any]) -> list[RenderableType]:
    about = Table.grid(padding=(0, 2))
    how = "warm: a live browser was used again" if facts["reused_session"] else "cold: a browser was launched"
    for name, value in (
        ("profile", facts["profile"]),
        ("token", str(facts["fencing_token"])),
        ("run", facts["run_id"]),
        ("task", _TASKS[facts["origin"]].format(**facts)),
        ("browser", how),
    ):
        about.add_row(Text(name, style="dim"), Text(value, overflow="fold"))
    phases = Table(box=box.SIMPLE, pad_edge=False)
    phases.add_column("phase")
    phases.add_column("ms", justify="right")
    for phase, taken in facts["timings_ms"].items():
        phases.add_row(phase, f"{taken:.1f}")
    return [about, phases, Text.assemble(("CDP  ", "dim"), facts["cdp_url"])]
