"""`make soak`: profiles opened and closed while Chrome, Xvfb, keepers, the host and an upstream are killed.

What must be true: every login that was acknowledged is there at the next open, or its loss is on record; no
process, descriptor, temporary file, display or control group is left once the host has closed its browsers;
nothing is stuck. Every second profile goes through an upstream proxy; while that is away its pages fail, with
a reason, and no request of it ever goes past the upstream. What forwards to it is in the host's process and
dies with the host: its sockets cannot be cut from outside, so that is no fault of its own. The seed sets what
is opened and killed, in which order; how it meets is the machine's.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tenure.demo.site import DemoSite
from tests.fixtures.system import RunningSystem
from tests.soak.plan import Plan
from tests.soak.soak import Report, Soak
from tests.soak.upstream import Sites, Upstream

_RESULT = Path("build/soak/soak.json")
_CAPACITY = 8


def say(text: str) -> None:
    print(text, flush=True)


async def soak(plan: Plan, base: Path, options: Sequence[str] = ()) -> Report:
    """Play a plan on a system of its own in `base`, which other users may pass; its path is short."""
    data, tmp = base / "data", base / "tmp"
    tmp.mkdir()
    for each in (base, tmp):
        each.chmod(0o711)
    upstream = Upstream(base)
    settings = {
        "TENURE_TMP_ROOT": str(tmp),
        "TENURE_CAPACITY": str(_CAPACITY),
        "TENURE_PROXIES_FILE": str(upstream.file),
    }
    os.environ |= settings
    system = RunningSystem(data, *options)
    async with DemoSite() as direct, DemoSite() as behind, upstream.serving():
        try:
            await system.start()
            report = await Soak(system, Sites(direct, behind), upstream, tmp, plan, say).run()
        finally:
            status = await system.stop()
            for name in settings:
                del os.environ[name]
    violations = report.ledger.violations
    violations += [f"still runs: {line}" for line in system.processes()]
    violations += [f"the system ended with {status}"] if status else []
    violations += [f"left in its temporary directory: {each.name}" for each in tmp.glob("tenure-*/*")]
    return report


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--cycles", type=int, default=300, help="opens and closes, 300 when left out")
    parser.add_argument("--profiles", type=int, default=20, help="on so many profiles, 20 when left out")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1 << 31), help="any when left out")
    parser.add_argument("--kills", type=float, default=0.4, help="share of cycles that kill something")
    parser.add_argument("--keep", action="store_true", help="keep the data and the logs of a good run too")
    parser.add_argument("--output", type=Path, default=_RESULT, help=f"{_RESULT} when left out")
    chosen = parser.parse_args(arguments)
    plan = Plan(chosen.cycles, chosen.profiles, chosen.seed, chosen.kills)
    say(f"{plan.cycles} cycles over {plan.profiles} profiles, seed {plan.seed}")
    base = Path(tempfile.mkdtemp(prefix="tenure-soak-"))
    report = asyncio.run(soak(plan, base))
    facts = report.facts()
    chosen.output.parent.mkdir(parents=True, exist_ok=True)
    chosen.output.write_text(json.dumps(facts, indent=1) + "\n")
    say(json.dumps(facts["counts"], indent=1))
    for each in report.ledger.violations:
        say(f"VIOLATION: {each}")
    say(f"{report.seconds:.0f} s, slowest open {report.slowest_open_s:.2f} s, {chosen.output}")
    if report.ledger.violations or chosen.keep:
        say(f"data and logs: {base}")
    else:
        shutil.rmtree(base)
    return 1 if report.ledger.violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
