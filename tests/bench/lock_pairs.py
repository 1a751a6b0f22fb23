"""Pairs of acquire and release a second: every way in turns, on the same etcd."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from statistics import median
from typing import NamedTuple

from tests.bench import report
from tests.bench.lock_rig import GO_MUTEX, Contestant, Result, contestant, cpu_s, etcd, lock_service, pids

V3LOCK, TXN, UNARY, BULK = "v3lock", "txn", "unary", "bulk"
OURS = frozenset({UNARY, BULK})
WAYS = (V3LOCK, TXN, GO_MUTEX, UNARY, BULK)
IN_FLIGHT = (1, 64, 256)
MOST = max(IN_FLIGHT)
# Into how many calls a bulk client puts what is in flight.
CALLS = {1: 1, 64: 1, 256: 4}
TURN_S = 1.0
WARM_S = 0.5


class Setup(NamedTuple):
    """What a way is measured with."""

    members: int
    in_flight: int


@dataclass(frozen=True, slots=True)
class Spent:
    """Microseconds of CPU that a pair cost each side."""

    etcd: float
    service: float
    clients: float

    def __str__(self) -> str:
        return f"etcd {self.etcd:.0f} · lock service {self.service:.0f} · clients {self.clients:.0f}"


@dataclass
class Turns:
    """A way's turns with one setup, in the order of the rounds."""

    results: list[Result] = field(default_factory=list)
    etcd_s: float = 0.0
    service_s: float = 0.0

    @property
    def pairs_s(self) -> list[float]:
        return [each.pairs_s for each in self.results]

    @property
    def p50_ms(self) -> list[float]:
        return [each.p50_ms for each in self.results]

    def spent(self) -> Spent:
        pairs = sum(each.pairs for each in self.results) / 1e6
        clients = sum(each.clients_s for each in self.results)
        return Spent(self.etcd_s / pairs, self.service_s / pairs, clients / pairs)


Measured = dict[Setup, dict[str, Turns]]


async def pairs(
    members: int, plan: Mapping[int, Collection[str]], rounds: int, processes: int, clients: int
) -> Measured:
    """Measure the ways that are planned for each number in flight: `rounds` turns each, taken in turns."""
    measured: Measured = {}
    wanted = set().union(*plan.values())
    async with (
        etcd(members) as cluster,
        lock_service(cluster, processes) as service,
        AsyncExitStack() as stack,
    ):
        stores = [member.endpoint for member in cluster]
        store_pids = pids(cluster)
        rivals = []
        for way in (each for each in WAYS if each in wanted):
            targets = [service.address] if way in OURS else stores
            # Go's uses all cores from one process.
            number = 1 if way == GO_MUTEX else clients
            rivals.append(await stack.enter_async_context(contestant(way, targets, MOST, number)))
        for count in sorted(plan):
            turning = [rival for rival in rivals if rival.way in plan[count]]
            found = measured[Setup(members, count)] = {rival.way: Turns() for rival in turning}
            for rival in turning:
                await rival.turn(count, _calls(rival, count), WARM_S)
            for _ in range(rounds):
                for rival in turning:
                    await report.rested()
                    turns = found[rival.way]
                    store, own = cpu_s(store_pids), cpu_s([service.pid])
                    turns.results.append(await rival.turn(count, _calls(rival, count), TURN_S))
                    turns.etcd_s += cpu_s(store_pids) - store
                    turns.service_s += cpu_s([service.pid]) - own
    return measured


def _calls(rival: Contestant, in_flight: int) -> int:
    return CALLS[in_flight] if rival.way == BULK else in_flight


def name_of(way: str, setup: Setup) -> str:
    """What a way's figure is called."""
    return f"pairs_{way}_c{setup.in_flight}_m{setup.members}"


def figures(measured: Measured) -> list[report.Figure]:
    """Every way beside v3lock, where both were measured."""
    return [
        report.paired(name_of(way, setup), turns.pairs_s, ways[V3LOCK].pairs_s, "1/s")
        for setup, ways in measured.items()
        for way, turns in ways.items()
        if V3LOCK in ways
    ]


def notes(measured: Measured) -> list[str]:
    """Where a pair's CPU went."""
    return [
        f"{way}, {setup.in_flight} in flight, {setup.members} member(s): "
        f"{median(turns.pairs_s):.0f} pairs/s, p50 {median(turns.p50_ms):.2f} ms; "
        f"µs of CPU a pair: {turns.spent()}"
        for setup, ways in measured.items()
        for way, turns in ways.items()
    ]
