"""`tenure up`: the whole system in the foreground."""

from __future__ import annotations

import asyncio
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from tenure.cli.output import DEFAULT_ADDRESS, Json, Output, run, signals

if TYPE_CHECKING:
    from tenure.supervisor import System


def up(
    listen: Annotated[
        str, typer.Option(envvar="TENURE_LISTEN", help="Where the gateway answers; port 0 takes a free one.")
    ] = DEFAULT_ADDRESS,
    http_listen: Annotated[
        str | None,
        typer.Option(
            envvar="TENURE_HTTP_LISTEN",
            help="Where it serves DevTools WebSockets; 127.0.0.1:7480 when left out, or a free port when "
            "--listen takes one.",
        ),
    ] = None,
    data_root: Annotated[
        Path | None,
        typer.Option(
            envvar="TENURE_DATA_ROOT",
            help="Folder with everything that is kept; ~/.local/state/tenure when left out.",
        ),
    ] = None,
    lock_processes: Annotated[
        int,
        typer.Option(
            envvar="TENURE_LOCK_PROCESSES",
            min=1,
            max=64,
            help="How many processes the lock service is, for machines with cores to spare.",
        ),
    ] = 1,
    as_json: Json = False,
) -> None:
    """Run the whole system on this machine until Ctrl-C.

    etcd and the four services start as children, are started again when they die, and
    close every browser in good order at the end; a second Ctrl-C does not wait for that.
    Needs no configuration. It serves this machine only.

    Examples:

    tenure up

    tenure up --listen 127.0.0.1:0 --data-root /srv/tenure --json
    """
    from tenure import dataroot

    output = Output(as_json)
    root = (data_root or dataroot.default()).absolute()
    run(output, _up(output, listen, http_listen, root, lock_processes))


async def _up(
    output: Output, listen: str, http_listen: str | None, data_root: Path, lock_processes: int
) -> None:
    from tenure.supervisor import System

    stop = asyncio.Event()
    system = System(data_root, listen, output.say, http_listen, lock_processes)
    with signals(stop, system.hurry):
        starting = asyncio.create_task(system.start())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        try:
            if starting.done():
                await starting
                _tell(output, system)
                await stopping
            output.say("stopping: browsers are closed in good order")
        finally:
            stopping.cancel()
            starting.cancel()
            await asyncio.gather(starting, stopping, return_exceptions=True)
            await system.stop()
    output.show({"event": "stopped"}, Text("Stopped; nothing of it runs any more."))


def _tell(output: Output, system: System) -> None:
    gateway = system.gateway
    parts = {child.name: {"address": child.address, "pid": child.pid} for child in system.children}
    table = Table.grid(padding=(0, 2))
    for name, value in (
        ("gateway", gateway),
        ("metrics", f"http://{system.metrics}/metrics"),
        ("data", str(system.data_root)),
        ("logs", f"{system.data_root}/logs"),
    ):
        table.add_row(Text(name, style="dim"), Text(value))
    # `make up` runs a command that is on nobody's PATH.
    command = "tenure" if shutil.which("tenure") else sys.argv[0].removeprefix(f"{Path.cwd()}/")
    at = "" if gateway == DEFAULT_ADDRESS else f" --address {gateway}"
    next_steps = Text.assemble(
        ("\nTry next, in another terminal:\n", "bold"),
        f"  {command} open alice:linkedin --start-url https://example.com{at}\n",
        f"  {command} profiles{at}\n",
        f'  grpcurl -plaintext -d \'{{"profile": "alice:linkedin"}}\' {gateway} '
        "tenure.v1.SessionService/OpenSession\n",
    )
    output.show(
        {
            "event": "ready",
            "gateway": gateway,
            "metrics": f"http://{system.metrics}/metrics",
            "data_root": str(system.data_root),
            "parts": parts,
        },
        Text("Tenure is up.", style="bold green"),
        table,
        next_steps,
        Text("Ctrl-C stops it and closes every browser in good order.", style="dim"),
    )
