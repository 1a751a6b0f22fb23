"""The demo's table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from tenure.demo.stage import Shown


def as_table(results: Sequence[tuple[str, Sequence[Shown]]]) -> Table:
    """One row a line shown, a rule after each step."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title="What was shown", title_justify="left")
    table.add_column("", justify="right", style="dim")
    table.add_column("shown", ratio=1)
    table.add_column("reused_session")
    table.add_column("token", justify="right")
    table.add_column("phases, ms")
    table.add_column("verdict")
    for number, (_, lines) in enumerate(results, 1):
        for index, shown in enumerate(lines):
            last = index == len(lines) - 1
            table.add_row(
                "" if index else str(number),
                Text(shown.what),
                "" if shown.reused is None else str(shown.reused).lower(),
                str(shown.token or ""),
                _phases(shown.timings),
                Text("holds", style="green"),
                end_section=last,
            )
    return table


def as_json(results: Sequence[tuple[str, Sequence[Shown]]]) -> list[dict[str, Any]]:
    """The same for programs."""
    return [
        {
            "step": number,
            "title": title,
            "shown": shown.what,
            "reused_session": shown.reused,
            "fencing_token": shown.token or None,
            "timings_ms": {phase: round(seconds * 1000, 1) for phase, seconds in shown.timings.items()},
            "verdict": "holds",
        }
        for number, (title, lines) in enumerate(results, 1)
        for shown in lines
    ]


def _phases(timings: Mapping[str, float]) -> str:
    return "\n".join(f"{phase} {seconds * 1000:.0f}" for phase, seconds in timings.items())
