"""What a suite leaves behind: `build/bench/{suite}.json`, and the same as a table for people.

Every figure is paired with a baseline of the same run: on a noisy machine only their ratio says something.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Literal

from rich.console import Console
from rich.table import Table

DIRECTORY = Path("build/bench")
# A browser paints on after its load event, and a service tidies up after its answer. Neither is to be paid
# by whoever is measured next.
REST_S = 0.2


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of a report. `ratio` is value by baseline; a figure of its own has its goal as baseline.

    `goal` is the ratio's, in words, and `met` whether it reaches it; "" and None where there is none.
    """

    name: str
    value: float
    baseline: float
    ratio: float
    unit: str
    n: int
    goal: str = ""
    met: bool | None = None


def paired(
    name: str,
    values: Sequence[float],
    baselines: Sequence[float],
    unit: str = "ms",
    *,
    at_least: float | None = None,
    at_most: float | None = None,
) -> Figure:
    """Medians of two series taken in turns. The bounds are of their ratio, and one of them will do."""
    value, baseline = median(values), median(baselines)
    ratio = round(value / baseline, 3)
    goal, met = "", None
    if at_least is not None:
        goal, met = f"≥ {at_least:g}", ratio >= at_least
    elif at_most is not None:
        goal, met = f"≤ {at_most:g}", ratio <= at_most
    return Figure(name, round(value, 3), round(baseline, 3), ratio, unit, len(values), goal, met)


def against_goal(name: str, value: float, goal: float, unit: str, n: int) -> Figure:
    """An absolute figure beside the goal that it should not exceed."""
    return Figure(name, round(value, 3), goal, round(value / goal, 3), unit, n, "≤ 1", value <= goal)


def beside(name: str, value: float, baseline: float, unit: str, n: int) -> Figure:
    """Two figures of one kind that are no medians. There is no goal."""
    return Figure(name, round(value, 3), round(baseline, 3), round(value / baseline, 3), unit, n)


def measured(name: str, value: float, unit: str, n: int) -> Figure:
    """A figure that stands alone: its own baseline."""
    return Figure(name, round(value, 3), round(value, 3), 1.0, unit, n)


def exactly(name: str, value: int, wanted: int, unit: str, n: int) -> Figure:
    """A number that is to be just that. Its ratio says nothing, and is 1 when it is met."""
    met = value == wanted
    return Figure(name, value, wanted, float(met), unit, n, f"= {wanted}", met)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` (0 to 1) of the series does not exceed."""
    ordered = sorted(values)
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]


def now() -> float:
    """Seconds of the clock that everything is measured with."""
    return time.perf_counter()


async def rested() -> float:
    """The moment to measure from, once the turn before has died down."""
    await asyncio.sleep(REST_S)
    return now()


def save(suite: str, figures: Sequence[Figure], failed: Mapping[str, str] = {}) -> Path:
    """Write the report. `failed`: parts of the suite that have no figures, and why. Returns its path."""
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    path = DIRECTORY / f"{suite}.json"
    lines = [asdict(figure) for figure in figures]
    lines += [{"name": name, "failed": why} for name, why in failed.items()]
    path.write_text(json.dumps(lines, indent=2, ensure_ascii=False) + "\n")
    return path


def write(
    suite: str, figures: Sequence[Figure], notes: Sequence[str] = (), failed: Mapping[str, str] = {}
) -> Path:
    """Write the report, as `save`, and print it. Returns its path."""
    path = save(suite, figures, failed)
    table = Table(title=f"{suite} ({path})")
    for heading in ("name", "value", "baseline", "ratio", "unit", "n", "goal", ""):
        justify: Literal["left", "right"] = "left" if heading in {"name", "unit"} else "right"
        table.add_column(heading, justify=justify, overflow="fold")
    for figure in figures:
        *shown, met = asdict(figure).values()
        table.add_row(*map(str, shown), "" if met is None else "met" if met else "missed")
    console = Console()
    console.print(table)
    for note in notes:
        console.print(note)
    for name, why in failed.items():
        console.print(f"FAILED, {name}: {why}", markup=False)
    return path
