"""The demo from start to end: a system of its own, the steps on it, the table, and nothing left."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from rich.text import Text

from tenure.cli.output import Output
from tenure.demo import report
from tenure.demo.claims import ClaimFailed, Shown, claim
from tenure.demo.site import DemoSite
from tenure.demo.stage import Stage
from tenure.demo.steps import STEPS, Step
from tenure.processes import below, table
from tenure.supervisor import System

# Kept when the demo is over, for people to look at; the next one writes over them.
_PICTURES = Path(tempfile.gettempdir()) / "tenure-demo-evidence"


async def demonstrate(output: Output, steps: Sequence[Step] = STEPS) -> int:
    """Play `steps` and tell what they showed. Returns 0 when every claim held, else 1.

    The data root is removed at the end, unless a claim failed: then its logs say why. What stays are the
    pictures of the worker that stopped.
    """
    began = time.monotonic()
    data_root = Path(tempfile.mkdtemp(prefix="tenure-demo-"))
    results: list[tuple[str, Sequence[Shown]]] = []
    try:
        async with AsyncExitStack() as stack:
            site = await stack.enter_async_context(DemoSite())
            output.say(f"etcd, four services and a demo site start in {data_root}, on free ports")
            system = System(data_root, "127.0.0.1:0", output.say)
            await stack.enter_async_context(system)
            stage = await stack.enter_async_context(Stage(system, site, _PICTURES))
            for number, step in enumerate(steps, 1):
                results.append((step.title, await _play(output, number, step, stage)))
            ran = len(_living())
        left = _living()
        claim(not left, f"still running: {', '.join(left)}")
    except ClaimFailed as failed:
        title = steps[len(results)].title if len(results) < len(steps) else "nothing is left running"
        output.fail("CLAIM_FAILED", f"{title}: {failed}. The logs are in {data_root}/logs.")
        return 1
    except BaseException:
        output.say(f"the logs are in {data_root}/logs")
        raise
    shutil.rmtree(data_root)
    took = time.monotonic() - began
    output.show(
        {"event": "done", "results": report.as_json(results), "left_running": 0, "seconds": round(took, 1)},
        "",
        report.as_table(results),
        Text(f"Nothing is left running: {ran} processes ran below this one, 0 do now.", style="green"),
        Text(f"Every claim held. {took:.0f} s.", style="bold green"),
    )
    return 0


async def _play(output: Output, number: int, step: Step, stage: Stage) -> Sequence[Shown]:
    began = time.monotonic()
    shown = await step.play(stage)
    took = time.monotonic() - began
    line = Text.assemble((f"  {number}  ", "bold"), step.title, (f"  {took:.1f} s", "dim"))
    told = [Text(f"     {part}", style="dim") for each in shown for part in each.what.splitlines()]
    facts = {"event": "step", "step": number, "title": step.title, "seconds": round(took, 2)}
    output.show(facts, line, *told)
    return shown


def _living() -> list[str]:
    """Every process below this one, which has adopted what others left behind."""
    return [f"{each.name} (pid {each.pid})" for each in below(os.getpid(), table()) if each.runs]
