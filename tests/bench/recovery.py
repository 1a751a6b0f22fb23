"""`make bench SUITE=recovery`: how long a dead worker's profile is out of use, and how fast it is cut off.

lease_end_to_decision_p95_s   from etcd's deletion of the worker's key to the decision's write, both as one
                              watch of ours sees them; a fresh profile, its open session touched nothing
inspect_300mb_p50_s           the host's whole answer to InspectProfile on 300 MB that Chrome filled
inspect_vs_read               the same, against reading the same bytes once
cut_p95_ms                    from the rise of a token's floor on disk to the close of the slower of two
                              clients amid a call: a raw WebSocket, Playwright
cut_vs_call                   the raw one of them, against a call to the same host that does nothing
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import partial
from statistics import median

from tests.bench import report
from tests.bench.cuts import Cut, cuts
from tests.bench.inspecting import inspections
from tests.bench.rig import Rig, rig

ENDS = 30
CUTS = 30
INSPECTIONS = 15
DECIDED_GOAL_S = 1.0
INSPECT_GOAL_S = 1.0
CUT_GOAL_MS = 50.0

Spent = dict[str, list[float]]


async def main() -> None:
    async with rig() as here:
        ends, spent = await lease_ends(here)
        closed = await cuts(here, CUTS)
        inspected, read, size = await inspections(here, INSPECTIONS)
    slower = [max(turn.raw, turn.playwright) for turn in closed]
    figures = [
        report.against_goal(
            "lease_end_to_decision_p95_s", report.percentile(ends, 0.95), DECIDED_GOAL_S, "s", len(ends)
        ),
        report.against_goal("inspect_300mb_p50_s", median(inspected), INSPECT_GOAL_S, "s", len(inspected)),
        report.paired("inspect_vs_read", inspected, read, "s"),
        report.against_goal("cut_p95_ms", report.percentile(slower, 0.95), CUT_GOAL_MS, "ms", len(slower)),
        report.paired("cut_vs_call", [turn.raw for turn in closed], [turn.call for turn in closed]),
    ]
    notes = [
        f"lease end to decision: median {median(ends):.3f} s, of it milliseconds until {told(spent)}",
        f"inspected: {size / 1e6:.0f} MB",
        f"cut, median milliseconds: {told(by_name(closed))}",
        f"cut, p95 milliseconds: {told(by_name(closed), partial(report.percentile, share=0.95))}",
    ]
    report.write("recovery", figures, notes)


async def lease_ends(here: Rig) -> tuple[list[float], Spent]:
    """Seconds from the worker key's deletion to the decision, and milliseconds until each state."""
    history, whole, spent = here.services.history, [], defaultdict(list)
    for turn in range(ENDS + 1):
        doomed = await here.crew.doomed(f"end-{turn}", touches=False, waited_for=False)
        await report.rested()
        await doomed.dies()
        assert await doomed.ended() == "AVAILABLE"
        # The first turn wakes what had not been called yet.
        if turn:
            (deleted,) = [each.at for each in history.of(f"w/{doomed.worker_id}") if each.value is None]
            moments = [each.at for each in history.of(f"p/default/{doomed.profile}")[1:]]
            whole.append(moments[-1] - deleted)
            for state, before, after in zip(doomed.way(), [deleted, *moments], moments, strict=False):
                spent[state].append((after - before) * 1000)
        await here.crew.leave(doomed)
    return whole, spent


def by_name(turns: Sequence[Cut]) -> Spent:
    return {each.name: [getattr(turn, each.name) for turn in turns] for each in fields(Cut)}


def told(spent: Spent, of: Callable[[Sequence[float]], float] = median) -> str:
    return " · ".join(f"{name} {of(values):.1f}" for name, values in spent.items())


if __name__ == "__main__":
    asyncio.run(main())
