"""`make bench SUITE=lock`: locks taken and freed a second, beside what else there is on the same etcd.

bulk_pairs_vs_v3lock        pairs a second of AcquireHolds and ReleaseHolds, 256 holds in flight, against as
                            many of etcd's own lock service
bulk_pairs_vs_go_mutex      the same against Go's concurrency.Mutex, all of one session
unary_pairs_vs_v3lock_c64   AcquireHold and ReleaseHold, 64 in flight, against etcd's own lock service
uncontended_p50_vs_txn      one such pair at a time, against a Txn that creates a key and its deletion
keepalive_10k_cpu_cores     CPU of the lock service while 10,000 workers with a ttl of 15 s are renewed every
                            5 s, each on a KeepAlive stream of its own, over a few connections, as gateways
                            pass them on; `_shared`: a stream for 100 of them; `_unary`: with RenewWorker,
                            which is how the SDK renews
handover_p50_ms             from the sending of a release to the answer of the next of 100 who wait
handover_vs_v3lock          the same against etcd's own lock service
acquire_1m_vs_1k            a pair at a time with 1,000,000 profiles stored, against 1,000
pairs_{way}_c{n}_m{members} every way with 1, 64 and 256 in flight, one and three members, against v3lock

`ARGS='--only WORD'` measures only what figures need that have WORD in their names. Each part is measured for
itself: one that fails is named in the report, with the reason, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable, Collection
from functools import partial
from statistics import median

from tests.bench import lock_fleet, lock_pairs, report
from tests.bench.lock_fleet import KEPT_BY
from tests.bench.lock_handover import hand_overs
from tests.bench.lock_pairs import BULK, IN_FLIGHT, TXN, UNARY, V3LOCK, WAYS, Setup
from tests.bench.lock_rig import GO_MUTEX, etcd, go_client, lock_service
from tests.bench.lock_stored import stored
from tests.bench.parts import Measured, measured

ROUNDS = {1: 5, 3: 3}
HANDOVER_GOAL_MS = 5.0

HANDED_OVER = ("handover_p50_ms", "handover_vs_v3lock")
# What a figure of pairs needs: a setup, ours, the other.
VERSUS = {
    "bulk_pairs_vs_v3lock": (Setup(1, 256), BULK, V3LOCK),
    "bulk_pairs_vs_go_mutex": (Setup(1, 256), BULK, GO_MUTEX),
    "unary_pairs_vs_v3lock_c64": (Setup(1, 64), UNARY, V3LOCK),
    "uncontended_p50_vs_txn": (Setup(1, 1), UNARY, TXN),
}
AT_LEAST = {"bulk_pairs_vs_v3lock": 5.0, "bulk_pairs_vs_go_mutex": 3.0, "unary_pairs_vs_v3lock_c64": 0.5}
AT_MOST = {"uncontended_p50_vs_txn": 3.0, "acquire_1m_vs_1k": 1.2}


async def main(asked: argparse.Namespace) -> bool:
    """Returns whether all parts could be measured."""
    parts: dict[str, Callable[[], Awaitable[Measured]]] = {}
    for number in asked.members:
        if plan := planned(asked.only, [number]):
            parts[f"pairs, {number} member(s)"] = partial(taken_and_freed, plan, asked)
    for way in KEPT_BY:
        if asked.only in lock_fleet.name_of(way):
            parts[f"keep-alive, {way}"] = partial(lock_fleet.kept_alive, way, asked.processes, asked.clients)
    if any(asked.only in name for name in HANDED_OVER):
        parts["hand-over"] = handed_over
    if asked.only in "acquire_1m_vs_1k":
        parts["profiles stored"] = much_stored
    return await measured("lock", parts)


# --- pairs -----------------------------------------------------------------------------


def planned(word: str, members: Collection[int]) -> dict[Setup, set[str]]:
    """Which ways are measured with which setups, for the figures that have `word` in their names."""
    plan: dict[Setup, set[str]] = {}
    for name, (setup, ours, other) in VERSUS.items():
        if word in name and setup.members in members:
            plan.setdefault(setup, set()).update((ours, other))
    for setup in (Setup(number, count) for number in members for count in IN_FLIGHT):
        for way in WAYS:
            if word in lock_pairs.name_of(way, setup):
                plan.setdefault(setup, set()).update((way, V3LOCK))
    return plan


async def taken_and_freed(plan: dict[Setup, set[str]], asked: argparse.Namespace) -> Measured:
    """Every way that is planned, on one cluster."""
    notes = []
    if any(GO_MUTEX in ways for ways in plan.values()) and (why := await go_client()):
        notes.append(f"left out, concurrency.Mutex: {why}")
        plan = {setup: ways - {GO_MUTEX} for setup, ways in plan.items()}
    (members,) = {setup.members for setup in plan}
    ways_of = {setup.in_flight: ways for setup, ways in plan.items()}
    rounds = asked.rounds or ROUNDS[members]
    found = await lock_pairs.pairs(members, ways_of, rounds, asked.processes, asked.clients)
    figures = []
    for name, (setup, ours, other) in VERSUS.items():
        ways = found.get(setup, {})
        if ours not in ways or other not in ways:
            continue
        if name in AT_LEAST:
            values, baselines = ways[ours].pairs_s, ways[other].pairs_s
            figures.append(report.paired(name, values, baselines, "1/s", at_least=AT_LEAST[name]))
        else:
            values, baselines = ways[ours].p50_ms, ways[other].p50_ms
            figures.append(report.paired(name, values, baselines, at_most=AT_MOST[name]))
    driven = (
        f"Driven by {asked.clients} Python processes a way, one in Go for concurrency.Mutex, none of them "
        f"beside another; lock service: {asked.processes} process(es)."
    )
    return [*figures, *lock_pairs.figures(found)], [*notes, driven, *lock_pairs.notes(found)]


# --- one figure each -------------------------------------------------------------------


async def handed_over() -> Measured:
    """From one holder to the next."""
    async with etcd() as members, lock_service(members) as service:
        ours, theirs = await asyncio.to_thread(hand_overs, members[0].endpoint, service.address)
    figures = [
        report.against_goal("handover_p50_ms", median(ours), HANDOVER_GOAL_MS, "ms", len(ours)),
        report.paired("handover_vs_v3lock", ours, theirs),
    ]
    slow = [report.percentile(took, 0.95) for took in (ours, theirs)]
    return figures, [f"handover, p95: ours {slow[0]:.1f} ms, v3lock {slow[1]:.1f} ms"]


async def much_stored() -> Measured:
    """Whether a replica minds how much is stored."""
    few, many = await stored()
    figure = report.paired("acquire_1m_vs_1k", many.p50_ms, few.p50_ms, at_most=AT_MOST["acquire_1m_vs_1k"])
    return [figure], [
        f"{each.count} profiles stored: served {each.load_s:.1f} s after the start, {each.memory_mb:.0f} MB "
        f"in memory, {each.memory_mb * 1e6 / each.count:.0f} bytes a profile"
        for each in (few, many)
    ]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.lock", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--only", default="", help="measure what figures need that have this in their names")
    parser.add_argument("--members", type=int, nargs="+", default=[1, 3], help="sizes of etcd clusters")
    parser.add_argument("--rounds", type=int, default=0, help="turns of each way; 0: 5, of three members 3")
    parser.add_argument("--processes", type=int, default=1, help="of the lock service")
    parser.add_argument("--clients", type=int, default=2, help="client processes in Python a way")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(0 if asyncio.run(main(arguments())) else 1)
