"""`tenure host`: the machines that host browsers, and taking one out of use."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from tenure.cli.layout import state_text
from tenure.cli.output import DEFAULT_ADDRESS, FAILED, INTERRUPTED, Address, Json, Output, run, signals

if TYPE_CHECKING:
    from tenure.client import Client
    from tenure.v1.host_pb2 import Host

LOOK_EVERY_S = 0.5
# A host hears of its drain within seconds, and one that hears nothing is not alive for so long.
UNTOLD_S = 30.0

host = typer.Typer(
    name="host",
    help="See the machines that host browsers, and take one out of use.\n\n"
    "To empty a machine: `tenure host drain HOST`, then `tenure move` for each profile that must go on "
    "elsewhere. Its profiles stay at home there, with their directories, until they are moved.",
    no_args_is_help=True,
)
HostArgument = Annotated[str, typer.Argument(help="The host's name, as `tenure host list` shows it.")]


@host.command("list")
def list_hosts(address: Address = DEFAULT_ADDRESS, as_json: Json = False) -> None:
    """List the hosts that are alive: whether they take profiles, how full they are, what is warm.

    Example: tenure host list --json | jq -r .host
    """
    output = Output(as_json)
    run(output, _list(output, address))


@host.command("cordon")
def cordon(name: HostArgument, address: Address = DEFAULT_ADDRESS, as_json: Json = False) -> None:
    """Keep new profiles away from a host; those at home there go on. For administrators.

    Durable, also over a restart of the host; safe to repeat.

    Example: tenure host cordon 3f1c
    """
    output = Output(as_json)
    run(output, _cordon(output, address, name))


@host.command("uncordon")
def uncordon(name: HostArgument, address: Address = DEFAULT_ADDRESS, as_json: Json = False) -> None:
    """Take a cordon or a drain back, of a host that is not alive too. For administrators.

    Example: tenure host uncordon 3f1c
    """
    output = Output(as_json)
    run(output, _uncordon(output, address, name))


@host.command("drain")
def drain(
    name: HostArgument,
    wait: Annotated[bool, typer.Option(help="Stay until the host has no browser any more.")] = True,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Cordon a host and empty it: idle browsers are closed now, others when their holds end.

    Nobody is cut off, and logins are safe on its disk. Ctrl-C ends the watching, not the drain.
    For administrators.

    Example: tenure host drain 3f1c
    """
    output = Output(as_json)
    run(output, _drain(output, address, name, wait))


async def _list(output: Output, address: str) -> None:
    from tenure.client import connect

    async with connect(address) as client:
        found = [_facts(each) for each in await client.hosts()]
    if output.as_json:
        for row in found:
            output.show(row)
        return
    if not found:
        output.say("No browser host is alive.")
        return
    table = Table(box=box.SIMPLE, pad_edge=False)
    for column in ("host", "state", "browsers", "room for", "warm here of yours"):
        table.add_column(column, no_wrap=column != "warm here of yours", overflow="fold")
    for row in found:
        warm = ", ".join(_warm(each) for each in row["warm"])
        numbers = str(row["browsers"]), str(row["capacity"])
        table.add_row(Text(row["host"]), state_text(row["state"]), *numbers, Text(warm))
    output.console.print(table)


async def _cordon(output: Output, address: str, name: str) -> None:
    from tenure.client import connect

    async with connect(address) as client:
        facts = _facts(await client.cordon(name))
    output.show(facts, Text(f"{facts['host']} takes no new profiles. Those at home there go on."))


async def _uncordon(output: Output, address: str, name: str) -> None:
    from tenure.client import connect

    async with connect(address) as client:
        facts = _facts(await client.uncordon(name))
    output.show(facts, Text(f"{facts['host']} takes profiles again."))


async def _drain(output: Output, address: str, name: str, wait: bool) -> int | None:
    from tenure.client import connect

    async with connect(address) as client:
        draining = await client.drain(name)
        told = _facts(draining)
        output.show(told, _progress(told))
        if not wait:
            return None
        interrupted = asyncio.Event()
        occupied_at = monotonic()
        with signals(interrupted):
            # What it counted before it heard of the drain may grow yet.
            while told["browsers"] or not told["emptying"]:
                if told["browsers"]:
                    occupied_at = monotonic()
                elif monotonic() - occupied_at >= UNTOLD_S:
                    output.show({"event": "untold", **told}, _untold(told))
                    return None
                if await _within(interrupted, LOOK_EVERY_S):
                    line = f"The drain of {told['host']} goes on. Take it back: tenure host uncordon"
                    output.show({"event": "interrupted", **told}, Text(f"{line} {told['host']}", style="dim"))
                    return INTERRUPTED
                facts = await _one(client, draining.name)
                if facts is None:
                    output.show({"event": "gone", "host": told["host"]}, Text(f"{told['host']} has ended."))
                    return None
                if any(facts[each] != told[each] for each in ("state", "browsers", "emptying")):
                    output.show(facts, _progress(facts))
                if facts["state"] != told["state"]:
                    return FAILED
                told = facts
    return None


async def _one(client: Client, name: str) -> dict[str, Any] | None:
    return next((_facts(each) for each in await client.hosts() if each.name == name), None)


async def _within(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False


def _facts(told: Host) -> dict[str, Any]:
    from tenure.v1 import host_pb2

    return {
        "host": told.name.removeprefix("hosts/"),
        "name": told.name,
        "state": host_pb2.HostState.Name(told.state).removeprefix("HOST_STATE_"),
        "browsers": told.browsers,
        "capacity": told.capacity,
        "emptying": told.emptying,
        "warm": [{"profile": each.profile, "proxy_key": each.proxy_key} for each in told.warm],
    }


def _warm(browser: dict[str, str]) -> str:
    profile = browser["profile"].rpartition("/")[2]
    return f"{profile} ({browser['proxy_key']})" if browser["proxy_key"] else profile


def _progress(facts: dict[str, Any]) -> Text:
    if facts["state"] != "DRAINING":
        return Text(f"{facts['host']} is {facts['state']} now: the drain was taken back.")
    if not facts["emptying"]:
        return Text(f"{facts['host']} is to be emptied, and hears of it within seconds.")
    if not facts["browsers"]:
        return Text(f"{facts['host']} is empty. Its profiles stay at home there until they are moved.")
    browsers = "1 browser" if facts["browsers"] == 1 else f"{facts['browsers']} browsers"
    return Text(f"{facts['host']} is draining: {browsers} left.")


def _untold(facts: dict[str, Any]) -> Text:
    return Text(
        f"{facts['host']} had no browser for {UNTOLD_S:g} s. It does not tell whether it has heard of its "
        "drain, as hosts of an older version do not. It should be empty: `tenure host list` shows whether it "
        "stays so."
    )
