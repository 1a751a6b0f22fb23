"""Random clients against a real lock service while everything around it fails, and a check of what they saw.

Three etcd members (in network namespaces of their own, where this runs as root), three replicas of the lock
service, each behind TCP proxies, clients in processes of their own, recovery in two that race. Every call is
recorded; the store's history is the second source. Then the checker: an order of all calls of each profile
that the protocol allows, and its rules one by one. The mutants show that it would find what is wrong: each
condition of each transition is forgotten in turn, and must be caught; with the condition in place the same
hunt must find nothing.

The seed sets which operations and faults come, in which order; how they meet is the machine's.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import secrets
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import structlog

from tests.chaos.episode import Plan, play
from tests.chaos.hunt import Hunted, hunt
from tests.chaos.mutants import EQUIVALENT, MUTANTS, Mutant
from tests.chaos.network import possible
from tests.chaos.plans import PLANS
from tests.chaos.report import Report
from tests.fixtures.etcd import Member

_HUNT_S = 120.0


def say(text: str) -> None:
    print(text, flush=True)


async def episodes(report: Report, plans: Sequence[Plan], scale: float, folder: Path) -> None:
    """Play the plans; what they do stays in `folder`."""
    if why := possible():
        report.missing.append(f"partitions: {why}")
        say(f"\n*** NO PARTITIONS: {why}. Run this as root, with iproute2. ***\n")
    for number, plan in enumerate(plans):
        seed = f"{report.seed}:{number}"
        sized = Plan(
            name=plan.name,
            faults=plan.faults,
            operations=int(plan.operations * scale),
            together=plan.together,
            profiles=plan.profiles,
            crews=plan.crews,
            actors=plan.actors,
            quota=plan.quota,
        )
        say(f"{plan.name} (seed {seed}): {sized.operations} operations and more")
        place = folder / f"{number}"
        place.mkdir()
        played = await play(sized, place, seed, partitions=not report.missing)
        report.episodes.append(played)
        found = played.findings
        say(
            f"  {played.operations} operations, {found.outcomes['unclear']} unclear, "
            f"{len(played.faults)} faults, {found.grants} grants, {len(found.violations)} violations, "
            f"{played.seconds:.0f} s, checked in {played.checked_s:.0f} s"
        )
        for violation in found.violations[:3]:
            say(f"  {violation}")


async def hunts(report: Report, mutants: Sequence[Mutant], folder: Path, *, controls: bool) -> None:
    """Hunt the mutants, each with its control, on one etcd."""
    member = Member(folder)
    member.start()
    seen: Counter[tuple[str, str]] = Counter()
    try:
        await asyncio.to_thread(member.wait_ready)
        for mutant in mutants:
            hunted = await _hunt(member.endpoint, mutant, report.seed, drops=True)
            report.mutants.append(hunted)
            seen += hunted.seen
            told = hunted.caught_by or "NOT CAUGHT"
            line = f"{mutant.name}: {told}, {hunted.operations} operations"
            if controls and hunted.violations:
                control = await _hunt(
                    member.endpoint, mutant, report.seed, drops=False, operations=hunted.operations
                )
                report.controls.append(control)
                line += f"; with it {len(control.violations)} in {control.operations}"
            say(line)
    finally:
        member.kill()
    named = {(mutant.transition, label) for mutant in MUTANTS for label in mutant.labels} | set(EQUIVALENT)
    report.unknown = sorted(pair for pair in seen if pair[0] and pair not in named and _is_ours(pair))


def _is_ours(pair: tuple[str, str]) -> bool:
    """What is no transition of a profile's state is not hunted."""
    return pair[0] not in ("move", "forget")


async def _hunt(endpoint: str, mutant: Mutant, seed: str, *, drops: bool, operations: int = 1500) -> Hunted:
    async with asyncio.timeout(_HUNT_S):
        return await hunt(endpoint, mutant, seed, drops=drops, operations=operations)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="examples:\n"
        "  python -m tests.chaos                          everything, about 20 minutes\n"
        "  python -m tests.chaos --seed 1a2b3c            the same operations and faults again\n"
        "  python -m tests.chaos --only faults --episode partitions --scale 3\n"
        "  python -m tests.chaos --only mutants --mutant 'join without'\n",
    )
    parser.add_argument(
        "--seed", default="", help="repeat this run's schedule (default: a fresh one, printed)"
    )
    parser.add_argument("--only", choices=["faults", "mutants"], help="leave the other half out")
    parser.add_argument("--episode", default="", help="only episodes with this in their name")
    parser.add_argument("--mutant", default="", help="only mutants with this in their name")
    parser.add_argument("--scale", type=float, default=1.0, help="times so many operations (default 1)")
    parser.add_argument("--no-controls", action="store_true", help="leave out the hunts with nothing removed")
    parser.add_argument("--out", type=Path, default=Path("build/chaos"), help="where the report goes")
    return parser.parse_args()


async def run(wanted: argparse.Namespace) -> Report:
    report = Report(wanted.seed or secrets.token_hex(4))
    say(f"seed {report.seed}")
    task = asyncio.current_task()
    assert task is not None
    # What was made outside of this process is taken down on the way out.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with tempfile.TemporaryDirectory(prefix="tenure-chaos-") as place:
        folder = Path(place)
        if wanted.only != "mutants":
            plans = [plan for plan in PLANS if wanted.episode in plan.name]
            await episodes(report, plans, wanted.scale, folder)
        if wanted.only != "faults":
            mutants = [mutant for mutant in MUTANTS if wanted.mutant in mutant.name]
            await hunts(report, mutants, folder, controls=not wanted.no_controls)
    return report


def main() -> None:
    wanted = arguments()
    # Refusals are what happens here all the time.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    report = asyncio.run(run(wanted))
    report.write(wanted.out)
    say(f"\nseed {report.seed}; {wanted.out}/report.md, {wanted.out}/report.json")
    for why in report.failures:
        say(f"FAILED: {why}")
    sys.exit(1 if report.failures else 0)


if __name__ == "__main__":
    main()
