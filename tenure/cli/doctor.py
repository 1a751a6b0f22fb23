"""`tenure doctor`: what this machine lacks, and how to get it."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from tenure import dataroot, machine, sandbox
from tenure.cli.output import FAILED, Json, Output
from tenure.sandbox import Plan


def doctor(
    data_root: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where profiles are kept; ~/.local/state/tenure when left out."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what this machine lacks to run Tenure and to keep browsers apart, and how to get it.

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
    plan, groups = apart(data_root or dataroot.default())
    advice = [Text(each) for each in (problem, f"To get it: {remedy}" if remedy else "") if each]
    output.show(
        {
            "needs": [
                {"name": n.name, "why": n.why, "package": n.package, "path": n.path()} for n in machine.NEEDS
            ],
            "problem": problem,
            "remedy": remedy,
            "isolation": {
                "kind": plan.isolation.name,
                "why": plan.reason,
                "remedy": plan.remedy,
                "control_groups": str(groups or ""),
            },
        },
        table,
        *(advice or [Text("This machine has everything.", style="green")]),
        *browsers(plan, groups),
    )
    if missing or problem:
        raise typer.Exit(FAILED)


def apart(data_root: Path) -> tuple[Plan, Path | None]:
    """How a host that keeps its data there, run by whoever asks, would keep browsers apart."""
    programs = [found for need in (machine.CHROME, machine.XVFB) if (found := need.path())]
    facts = sandbox.facts([data_root, Path(tempfile.gettempdir()) / "any"], programs)
    return sandbox.plan("auto", facts), sandbox.control_group()


def browsers(plan: Plan, groups: Path | None) -> list[Text]:
    """The same for people."""
    lines = [Text(f"Browsers: {plan.isolation.value}.", style="green" if plan.sandbox else "yellow")]
    if plan.reason:
        lines.append(Text(f"Why: {plan.reason}. To have it: {plan.remedy}."))
    lines.append(
        Text(
            f"Control groups: below {groups}."
            if groups is not None
            else "Control groups: none that are ours. Processes are kept together as well as can be without; "
            "under systemd, Delegate=yes gives the host some."
        )
    )
    return lines
