"""How moments, names and long commands are put for people."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

WIDTH = 80
COLOURS = {
    "AVAILABLE": "green",
    "HELD": "cyan",
    "RETRY": "green",
    "MANUAL_REVIEW": "bold red",
    "DISABLED": "red",
    "READY": "green",
}


def moment(stamp: Timestamp) -> datetime:
    """A moment as the API tells it."""
    return stamp.ToDatetime(tzinfo=UTC)


def clock(at: datetime, now: datetime) -> str:
    """The time of day, with the day when that is not today's."""
    return f"{at:%T}Z" if at.date() == now.date() else f"{at:%F %T}Z"


def distance(at: datetime, now: datetime) -> str:
    """How far away a moment is: `3 min ago`, `in 12 s`."""
    seconds = (at - now).total_seconds()
    size = abs(seconds)
    text = f"{size:.0f} s"
    for unit, length in (("days", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if size >= 2 * length:
            text = f"{size / length:.0f} {unit}"
            break
    return f"{text} ago" if seconds < 0 else f"in {text}"


def state_text(state: str) -> Text:
    return Text(state, style=COLOURS.get(state, "yellow"))


def grid(rows: Iterable[tuple[str, str | Text]], console: Console) -> Table:
    """Names and what they are; rows with nothing to say are left out."""
    table = Table.grid(padding=(0, 2))
    table.width = min(WIDTH, console.width)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold", ratio=1)
    for name, value in rows:
        if value:
            table.add_row(Text(f"  {name}", style="dim"), value if isinstance(value, Text) else Text(value))
    return table


def folded(command: str, indent: str = "    ") -> str:
    """A command as lines of at most 80 columns where its words allow it, still to be pasted as a whole.

    JSON is broken inside its quotes, where a new line means nothing.
    """
    lines, line, ending = [], indent, ""
    for piece, continuation in _pieces(command):
        # Room for the backslash, unless it all fits.
        if len(line) + len(piece.rstrip()) > WIDTH - 2 and line.strip():
            lines.append(line.rstrip() + ending)
            line = f"{indent}  "
        line += piece
        ending = continuation
    return "\n".join([*lines, line.rstrip()])


def _pieces(command: str) -> Iterator[tuple[str, str]]:
    """Parts of a command, each with what a line that ends behind it needs."""
    for argument in shlex.split(command):
        if not argument.startswith("{"):
            yield f"{shlex.quote(argument)} ", " \\"
            continue
        pairs = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in json.loads(argument).items()]
        *parts, last = shlex.quote("{" + ", \0".join(pairs) + "}").split("\0")
        for part in parts:
            yield part, ""
        yield f"{last} ", " \\"
