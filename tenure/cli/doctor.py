"""`tenure doctor`: what this machine lacks, and how to get it."""

from __future__ import annotations

import shutil
import sys

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from tenure import machine
from tenure.cli.output import FAILED, Json, Output


def doctor(as_json: Json = False) -> None:
    """Say what this machine lacks to run Tenure, and how to get it.

    Exits 0 when nothing is missing. Example: tenure doctor --json
    """
    output = Output(as_json)
    missing = machine.missing()
    remedy = machine.remedy(missing, apt=shutil.which("apt-get") is not None)
    problem = machine.python_problem(sys.version_info[:3])
    table = Table(box=box.SIMPLE, pad_edge=False)
    for column in ("", "needed", "what for", "where"):
        table.add_column(column)
    for need in machine.NEEDS:
        path = need.path()
        mark = Text("ok", style="green") if path else Text("missing", style="bold red")
        table.add_row(mark, need.name, need.why, path or f"Debian package {need.package}")
    advice = [Text(each) for each in (problem, f"To get it: {remedy}" if remedy else "") if each]
    output.show(
        {
            "needs": [
                {"name": n.name, "why": n.why, "package": n.package, "path": n.path()} for n in machine.NEEDS
            ],
            "problem": problem,
            "remedy": remedy,
        },
        table,
        *(advice or [Text("This machine has everything.", style="green")]),
    )
    if missing or problem:
        raise typer.Exit(FAILED)
