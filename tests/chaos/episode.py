"""One episode: a stage, random clients, faults by a seeded schedule, peace, and the check."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from lockservice.core.record import State
from tenure import request_id
from tests.chaos.check import Findings, check
from tests.chaos.nemesis import Nemesis, Undo
from tests.chaos.network import Network
from tests.chaos.stage import Stage, staged

_SETTLE_S = 60.0
_LOOK_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`faults` by name, drawn from again and again; the first round does each of them once. `together`: at
    most so many at a time. `quota` of the members, in bytes; 0 is etcd's own.
    """

    name: str
    faults: Sequence[str]
    operations: int
    together: int = 2
    profiles: int = 4
    crews: int = 3
    actors: int = 3
    quota: int = 0


@dataclass(slots=True)
class Played:
    """What an episode was."""

    plan: Plan
    seed: str
    faults: list[str] = field(default_factory=list)
    findings: Findings = field(default_factory=Findings)
    operations: int = 0
    seconds: float = 0.0
    checked_s: float = 0.0
    partitioned: bool = False
    settled: bool = True


async def play(plan: Plan, folder: Path, seed: str, *, partitions: bool) -> Played:
    """Play it in `folder`, which is empty. `partitions`: members live in network namespaces."""
    started = time.monotonic()
    played = Played(plan, seed, partitioned=partitions)
    with ExitStack() as stack:
        network = stack.enter_context(Network()) if partitions else None
        async with staged(
            folder,
            seed,
            network,
            profiles=plan.profiles,
            crews=plan.crews,
            actors=plan.actors,
            quota=plan.quota,
        ) as stage:
            nemesis = Nemesis(stage, random.Random(f"{seed}:nemesis"))
            await _meddle(plan, stage, nemesis)
            played.settled = await _settle(stage)
            played.faults = nemesis.done
            calls = stage.calls()
            history = list(stage.history.written)
    played.operations, played.seconds = len(calls), time.monotonic() - started
    played.findings = await asyncio.to_thread(
        check, history, calls, settled=True, early=nemesis.leader_frozen
    )
    played.checked_s = time.monotonic() - started - played.seconds
    return played


async def _meddle(plan: Plan, stage: Stage, nemesis: Nemesis) -> None:
    """Do faults until so many calls are made and each fault was done."""
    rng, named = nemesis.rng, nemesis.named()
    waiting = [name for name in plan.faults if name in named]
    rng.shuffle(waiting)
    going: list[tuple[str, Undo]] = []
    # The first calls come in peace.
    await asyncio.sleep(1.0)
    while waiting or stage.made() < plan.operations:
        for task in stage.keepers:
            assert not task.done(), task.exception()
        if len(going) >= rng.randint(1, plan.together):
            await going.pop(0)[1]()
            await asyncio.sleep(rng.uniform(0.2, 1.0))
            continue
        name = waiting[-1] if waiting else rng.choice(list(plan.faults))
        if name in named and _goes_with(name, [other for other, _ in going]):
            if waiting:
                waiting.pop()
            going.append((name, await named[name]()))
            await asyncio.sleep(rng.uniform(0.5, 4.0))
        elif going:
            await going.pop(0)[1]()
    for _, undo in going:
        await undo()


def _goes_with(name: str, others: Sequence[str]) -> bool:
    """Not twice the same, and not what leaves nothing to look at: two members away at a time are."""
    of_store = ("member", "leader", "partition", "split", "disk", "epoch", "compact")
    store = any(word in name for word in of_store)
    return name not in others and not (store and any(word in other for other in others for word in of_store))


async def _settle(stage: Stage) -> bool:
    """Let everybody end what they began: clients give back, recovery ends incidents, queues run empty."""
    await stage.members.healthy()
    for crew in stage.crews:
        crew.signal(signal.SIGCONT)
        crew.signal(signal.SIGTERM)
    await asyncio.gather(*(crew.wait(_SETTLE_S) for crew in stage.crews))
    stage.keepers.pop().cancel()
    for _ in range(int(_SETTLE_S / _LOOK_S)):
        if await _quiet(stage):
            return True
        await asyncio.sleep(_LOOK_S)
    return False


async def _quiet(stage: Stage) -> bool:
    marker = f"!mark/{request_id.mint()}"
    await stage.history.mark(marker)
    await stage.history.until(lambda: stage.history.of(marker), "the store's history is complete", 60.0)
    places: dict[str, bool] = {}
    for written in stage.history.of("q/"):
        places[written.key] = written.value is not None
    states = [seen.record.state for seen in stage.peek.now().values()]
    return not any(places.values()) and all(
        state in (State.AVAILABLE, State.RETRY, State.MANUAL_REVIEW) for state in states
    )
