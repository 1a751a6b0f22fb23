"""`tenure doctor`: what this machine lacks, and how to get it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
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

_OPEN_ROOT = "Keep it where every user may pass: --data-root /var/lib/tenure (TENURE_DATA_ROOT)"
_LOOK_S = 10.0


def doctor(
    data_root: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where profiles are kept; ~/.local/state/tenure when left out."),
    ] = None,
    proxies_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", envvar="TENURE_PROXIES_FILE", help="A host's file of upstreams."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what this machine lacks to run Tenure and to keep browsers apart, and how to get it.

    Exits 0 when nothing is missing, and nothing wrong with the proxies file, if one is named; run it as the
    host's user then. Example: tenure doctor --proxies-file /etc/tenure/proxies.toml
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
    root = (data_root or dataroot.default()).absolute()
    plan, groups = apart(root)
    closed = sandbox.closed([root]) if os.geteuid() == 0 else ""
    wrong = proxies(proxies_file)
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
            "data_root": {"path": str(root), "closed": closed, "remedy": _OPEN_ROOT if closed else ""},
            "proxies": {"file": str(proxies_file or ""), "problems": wrong},
        },
        table,
        *(advice or [Text("This machine has everything.", style="green")]),
        *browsers(plan, groups),
        *data(root, closed, plan.reason),
        *upstreams(proxies_file, wrong),
    )
    if missing or problem or wrong:
        raise typer.Exit(FAILED)


def proxies(file: Path | None) -> list[dict[str, str]]:
    """What is wrong with a host's proxies file, as a host itself would see it."""
    if file is None:
        return []
    # A program of its own: a client need not have the host's code, and what it has is not imported here.
    # -P: the folder that this is run in may have a package of that name, and would come first.
    asked = [sys.executable, "-P", "-m", "browserhost.egress.looking", str(file)]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=_LOOK_S)
    except subprocess.TimeoutExpired:
        what = f"'{file}' and what it names were not read within {_LOOK_S:g} s"
        return [{"what": what, "remedy": "see whether the disks that they are on answer"}]
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        if "ModuleNotFoundError" in last:
            what = "the browser host's code is not here, so its proxies file was not looked at"
            return [{"what": what, "remedy": "run this on the host"}]
        what = f"'{file}' could not be looked at: {last.rstrip('.')}"
        return [{"what": what, "remedy": "run this with the Python that the host runs on"}]
    found: list[dict[str, str]] = json.loads(done.stdout)
    return found


def apart(data_root: Path) -> tuple[Plan, Path | None]:
    """How a host that keeps its data there, run by whoever asks, would keep browsers apart."""
    programs = [found for need in (machine.CHROME, machine.XVFB) if (found := need.path())]
    facts = sandbox.facts([data_root, Path(tempfile.gettempdir()) / "any"], programs)
    return sandbox.plan("auto", facts), sandbox.control_group()


def data(root: Path, closed: str, why: str) -> list[Text]:
    """Whether tenants' own users may come to where profiles are kept, for people; nothing where they may, or
    where `why` browsers are not kept apart says it."""
    if not closed or f"'{closed}' is closed" in why:
        return []
    said = f"Data: users of tenants cannot come to {root}: '{closed}' is closed to them. {_OPEN_ROOT}."
    return [Text(said, style="yellow")]


def upstreams(file: Path | None, wrong: list[dict[str, str]]) -> list[Text]:
    """What was found of a proxies file, for people."""
    if file is not None and not wrong:
        return [Text(f"Proxies: {file} is as it should be.", style="green")]
    said = [f"Proxies: {each['what']}. To mend it: {each['remedy']}." for each in wrong]
    return [Text(each, style="bold red") for each in said]


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
