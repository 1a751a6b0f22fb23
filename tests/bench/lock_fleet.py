"""What it costs the lock service that a fleet of workers lives, by each way to renew them."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass

from tests.bench import report
from tests.bench.lock_keepalive import OWN, SHARED, SHARING, UNARY, Crew
from tests.bench.lock_rig import Client, client, cpu_s, etcd, lock_service, pids
from tests.bench.parts import Measured

WORKERS = 10_000
TTL_S = 15
# The SDK renews every third of the ttl.
RENEWALS_S = WORKERS / (TTL_S / 3)
LOOK_S = 12.0
CORES_GOAL = 1.0
# Of all renewals. What is left of a fleet that loses more than that says nothing of one that lives.
MOST_FAILED = 0.01
KEPT_BY = (OWN, SHARED, UNARY)
_NAMES = {OWN: "a stream each", SHARED: f"{SHARING} a stream", UNARY: "a call each"}
# On a machine that does much else.
_BEGIN_S = 900.0
_LOOK_LIMIT_S = 120.0


@dataclass(frozen=True, slots=True)
class Spent:
    """What a look came to. CPU is in seconds."""

    took_s: float
    service_s: float
    etcd_s: float
    answers: Sequence[Mapping[str, float]]

    @property
    def renewed(self) -> int:
        return int(sum(each["renewed"] for each in self.answers))

    @property
    def failed(self) -> int:
        return int(sum(each["failed"] for each in self.answers))

    def check(self) -> None:
        """Raise RuntimeError when more than MOST_FAILED of the renewals failed, or there was none at all."""
        tried = self.renewed + self.failed
        if not tried or self.failed > MOST_FAILED * tried:
            raise RuntimeError(
                f"{self.failed} of {tried} renewals failed: {self.service_s:.1f} s of CPU in vain"
            )

    @property
    def cores(self) -> float:
        """Of the lock service, for so many renewals a second as there should be."""
        return self.service_s / self.renewed * RENEWALS_S

    def __str__(self) -> str:
        clients_s = sum(each["cpu_s"] for each in self.answers)
        spent = (each / self.renewed * 1e6 for each in (self.service_s, self.etcd_s, clients_s))
        service, store, clients = (f"{each:.0f}" for each in spent)
        p50, p99 = (max(each[name] for each in self.answers) for name in ("p50_ms", "p99_ms"))
        return (
            f"{self.renewed / self.took_s:.0f} renewals/s of {RENEWALS_S:.0f}, {self.failed} failed, "
            f"p50 {p50:.1f} ms, p99 {p99:.1f} ms; µs of CPU a renewal: lock service {service} · "
            f"etcd {store} · clients {clients}"
        )


def name_of(way: str) -> str:
    """What a way's figure is called."""
    return "keepalive_10k_cpu_cores" + ("" if way == OWN else f"_{way}")


async def kept_alive(way: str, processes: int, clients: int) -> Measured:
    """Cores that the lock service uses for it. A machine that cannot keep up renews fewer: what the others
    would have cost is added. Raises RuntimeError when too many renewals failed.
    """
    async with (
        etcd() as members,
        lock_service(members, processes) as service,
        _crews(way, service.address, members[0].endpoint, clients) as crews,
    ):
        began = await report.rested()
        own, store = cpu_s([service.pid]), cpu_s(pids(members))
        answers = await asyncio.gather(*(crew.ask(_LOOK_LIMIT_S, seconds=LOOK_S) for crew in crews))
        took = report.now() - began
        spent = Spent(took, cpu_s([service.pid]) - own, cpu_s(pids(members)) - store, answers)
    spent.check()
    figure = report.against_goal(name_of(way), spent.cores, CORES_GOAL, "cores", spent.renewed)
    return [figure], [f"{WORKERS} workers, {_NAMES[way]}: {spent}"]


@asynccontextmanager
async def _crews(way: str, target: str, store: str, clients: int) -> AsyncIterator[list[Client]]:
    """All workers, shared by some client processes."""
    async with AsyncExitStack() as stack:
        async with asyncio.TaskGroup() as group:
            starting = []
            for number in range(clients):
                workers = WORKERS * (number + 1) // clients - WORKERS * number // clients
                asked = json.dumps(asdict(Crew(way, target, store, workers, TTL_S)))
                crew = client(sys.executable, "-m", "tests.bench.lock_keepalive", asked, open_s=_BEGIN_S)
                starting.append(group.create_task(stack.enter_async_context(crew)))
        yield [task.result() for task in starting]
