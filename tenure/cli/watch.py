"""`tenure watch`: profiles and queues as they change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from tenure.cli.layout import clock, moment, state_text
from tenure.cli.output import DEFAULT_ADDRESS, Address, Json, Output, run, signals
from tenure.cli.profiles import facts, table_of

if TYPE_CHECKING:
    from tenure.errors import TenureError
    from tenure.v1.profile_service_pb2 import WatchProfilesResponse

# Lines of a terminal that are not the table's rows: its head, the title, the prompt.
_AROUND = 6


def watch(
    profile: Annotated[
        str, typer.Argument(help="The profile, for example alice:linkedin; all when left out.")
    ] = "",
    queues: Annotated[bool, typer.Option("--queues", help="Show who waits, in order.")] = False,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Watch profiles change until Ctrl-C: a table that lives on a terminal, else a line for each change.

    A broken connection is resumed by itself, and nothing is missed: what changed meanwhile is
    shown as it is then. With --json every change is one value, with the queue in it.

    Examples:

    tenure watch alice:linkedin --queues

    tenure watch --json | jq -c '{profile, state, waiters}'
    """
    output = Output(as_json)
    run(output, _watch(output, address, profile, queues))


async def _watch(output: Output, address: str, profile: str, queues: bool) -> None:
    from tenure.client import connect

    shows_table = output.console.is_terminal and not output.as_json
    view = _Table(output) if shows_table else _Lines(output)
    stop = asyncio.Event()
    with signals(stop):
        async with connect(address) as client:
            with view:
                messages = client.watch(profile, queues=queues, broken=view.broken)
                following = asyncio.create_task(_follow(messages, view))
                stopping = asyncio.create_task(stop.wait())
                try:
                    await asyncio.wait({following, stopping}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for task in (following, stopping):
                        task.cancel()
                    await asyncio.wait({following, stopping})
            if not following.cancelled():
                following.result()


async def _follow(messages: AsyncGenerator[WatchProfilesResponse, None], view: _Lines) -> None:
    async with aclosing(messages):
        async for message in messages:
            kind = message.WhichOneof("event")
            if kind == "bookmark":
                view.reached(message.bookmark)
            else:
                view.tell(kind or "", _facts(message))


def _facts(message: WatchProfilesResponse) -> dict[str, Any]:
    profile = message.snapshot if message.HasField("snapshot") else message.change
    queue = [
        {
            "position": each.position,
            "run_id": each.run_id,
            "worker": each.worker,
            "request_id": each.request_id,
            "since": moment(each.since).strftime("%FT%TZ"),
        }
        for each in message.queue
    ]
    return {**facts(profile), "queue": queue}


class _Lines:
    """A line for each change, or a value of JSON."""

    def __init__(self, output: Output) -> None:
        self.output = output

    def tell(self, kind: str, row: dict[str, Any]) -> None:
        """A profile is as in `row`."""
        now = datetime.now(UTC)
        text = Text.assemble(
            (f"{clock(now, now)}  ", "dim"), (row["profile"], "bold"), " ", state_text(row["state"])
        )
        if row["run_id"]:
            text.append(f"  run {row['run_id']}, token {row['fencing_token']}")
        if row["waiters"]:
            text.append(f"  {row['waiters']} waiting")
        self.output.show({"event": kind, **row}, text, *_queue_of(row))

    def reached(self, cursor: str) -> None:
        """All up to the cursor was told; "": what was told counts no more."""
        if not cursor:
            self.output.say("What was known counts no more: the store is another, or was restored.")

    def broken(self, error: TenureError) -> None:
        """The connection broke, and is resumed."""
        self.output.say(f"{error} Trying again.")

    def __enter__(self) -> None:
        return

    def __exit__(self, *exc: object) -> None:
        return


class _Table(_Lines):
    """A table that is always as the profiles are; those that changed last stand first."""

    def __init__(self, output: Output) -> None:
        super().__init__(output)
        self._rows: dict[str, dict[str, Any]] = {}
        self._note = "connecting"
        self._live = Live(console=output.console, get_renderable=self._shown, refresh_per_second=4)

    def tell(self, kind: str, row: dict[str, Any]) -> None:
        self._rows.pop(row["profile"], None)
        self._rows[row["profile"]] = row
        self._note = ""

    def reached(self, cursor: str) -> None:
        self._note = ""
        if not cursor:
            self._rows.clear()

    def broken(self, error: TenureError) -> None:
        self._note = f"{error} Trying again."

    def __enter__(self) -> None:
        self._live.start()

    def __exit__(self, *exc: object) -> None:
        self._live.stop()

    def _shown(self) -> RenderableType:
        room = max(1, self.output.console.height - _AROUND)
        rows = list(reversed(self._rows.values()))
        shown: list[RenderableType] = [table_of(rows[:room])] if rows else [Text("No profile yet.")]
        lines = [line for row in rows[:room] for line in _queue_of(row)]
        shown += lines[: max(0, room - len(rows))]
        if len(rows) > room:
            shown.append(Text(f"… and {len(rows) - room} that changed earlier", style="dim"))
        if self._note:
            shown.append(Text(self._note, style="yellow"))
        return Group(*shown)


def _queue_of(row: dict[str, Any]) -> list[Text]:
    return [
        Text(f"    {each['position']}. {each['run_id']} waits for {row['profile']}", style="dim")
        for each in row["queue"]
    ]
