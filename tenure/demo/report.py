"""The demo's table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from tenure.demo.claims import Shown


def as_table(results: Sequence[tuple[str, Sequence[Shown]]]) -> Table:
    """One row a line shown, a gap after each step."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, expand=True)
    table.add_column("step", style="dim")
    table.add_column("what was shown, and where its milliseconds went", ratio=1, overflow="fold")
    table.add_column("reused_session")
    table.add_column("token", justify="right")
    table.add_column("verdict")
    for number, (_, lines) in enumerate(results, 1):
        for index, shown in enumerate(lines):
            what = Text(shown.what)
            if shown.timings:
                what.append(f"\n{_phases(shown.timings)}", style="dim")
            table.add_row(
                "" if index else str(number),
                what,
                "" if shown.reused is None else str(shown.reused).lower(),
                str(shown.token or ""),
                Text("holds", style="green"),
                end_section=index == len(lines) - 1,
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
            "facts": dict(shown.facts),
            "verdict": "holds",
        }
        for number, (title, lines) in enumerate(results, 1)
        for shown in lines
    ]


def _phases(timings: Mapping[str, float]) -> str:
    return " · ".join(f"{phase} {seconds * 1000:.0f}" for phase, seconds in timings.items())
