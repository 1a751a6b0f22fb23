"""One mutant, or its control, in a play of two replicas on a real etcd: how many operations until it is
caught, and by what.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from lockservice.etcd.watch import Item
from lockservice.replica import Replica
from tenure import request_id
from tests.chaos.actor import RESULTS, Actor, Play
from tests.chaos.caller import Caller, Door
from tests.chaos.check import check
from tests.chaos.drama import Deafness, Drama
from tests.chaos.keepers import OUTCOMES, VERDICTS, Operator, Recoverer
from tests.chaos.life import Life
from tests.chaos.link import Adversary, Link
from tests.chaos.mutants import Mutant
from tests.chaos.peek import Peek
from tests.chaos.provoke import Provoker
from tests.chaos.recorder import Recorder
from tests.chaos.resource import Resource
from tests.chaos.violation import Violation
from tests.fixtures.history import History
from tests.lockservice.replicas import running

# So many operations pass between two looks at the history.
_ROUND = 40


@dataclass(slots=True)
class Hunted:
    """How a hunt ended. `held`: messages that were delayed; `changed`: that went without the condition."""

    mutant: str
    seed: str
    operations: int = 0
    held: int = 0
    changed: int = 0
    violations: list[Violation] = field(default_factory=list)
    seen: Counter[tuple[str, str]] = field(default_factory=Counter)
    explored: int = 0

    @property
    def caught_by(self) -> str:
        return self.violations[0].rule if self.violations else ""


async def hunt(
    endpoint: str, mutant: Mutant, seed: str, *, drops: bool = True, operations: int = 600, held: int = 0
) -> Hunted:
    """Play until a violation is found, or so many operations are made. Not `drops`: the control.

    `held`: and so many messages are delayed, which may take up to ten times the operations.
    """
    steer = mutant.steer
    recorder = Recorder()
    # A store of its own within the etcd.
    root = f"/{request_id.mint()}/"
    async with AsyncExitStack() as stack:
        history = await stack.enter_async_context(History(endpoint, root.encode()))
        replicas = [await stack.enter_async_context(running([endpoint], root)) for _ in range(2)]
        doors = [Door(name, here.server.address) for name, here in zip("ab", replicas, strict=True)]
        for door in doors:
            stack.push_async_callback(door.aclose)
        peek = Peek(history)
        play = Play(
            seed=seed,
            doors=doors,
            profiles=[f"p{i}" for i in range(steer.profiles)],
            resource=Resource(recorder, doors, seed),
            recorder=recorder,
            weights=steer.weights,
            workflows=steer.workflows,
            results=steer.results or RESULTS,
            ttl_s=3,
            wait_s=2.0,
        )
        caller = Caller("nemesis", recorder)
        life = Life(caller, doors, random.Random(seed), 60)
        assert await life.begin()
        stack.push_async_callback(life.stop)
        provoker = Provoker(caller, recorder, doors[1], life, peek, endpoint, root)
        adversary = Adversary(
            transition=mutant.transition,
            labels=mutant.labels,
            drops=drops,
            patience_s=steer.patience_s,
            provoke=provoker.by(mutant.transition, mutant.labels[0]),
            ghost=steer.ghost,
            all_held=steer.all_held,
        )
        links = [Link(here.replica, adversary) for here in replicas]
        if steer.lag_s:
            for here in replicas:
                lag(here.replica, steer.lag_s, random.Random(f"{seed}:lag"))
        hunted = Hunted(mutant.name, seed, seen=adversary.seen)
        if steer.drama:
            lives = [life]
            for _ in range(2):
                lives.append(Life(caller, doors, random.Random(seed), 60))
                assert await lives[-1].begin()
                stack.push_async_callback(lives[-1].stop)
            deaf = [Deafness(here.replica) for here in replicas]
            drama = Drama(caller, doors, lives, links, deaf, peek)
            works = [_scenes(getattr(drama, steer.drama))]
        else:
            works = _works(mutant, play, peek)
        await _play(hunted, works, play, history, adversary, operations, held)
        hunted.operations, hunted.held = len(recorder.calls), adversary.held
        hunted.changed = adversary.changed
    return hunted


async def _scenes(scene: Callable[[], Awaitable[None]]) -> None:
    while True:
        await scene()


def _works(mutant: Mutant, play: Play, peek: Peek) -> list[Any]:
    """All that goes on, for as long as it goes on."""
    steer = mutant.steer
    outcomes, verdicts = steer.outcomes or OUTCOMES, steer.verdicts or VERDICTS
    works: list[Any] = [Actor(f"c{i}", play).run() for i in range(steer.actors)]
    works += [Recoverer(name, play, peek, outcomes, verdicts, steer.resume_s).run() for name in ("r0", "r1")]
    works.append(Operator("operator", play, peek, steer.operator_s).run())
    if steer.stray:
        works.append(_stray(play, peek))
    if steer.implicit:
        works.append(_implicit(play))
    if steer.saver:
        works.append(_saver(play))
    return works


async def _play(
    hunted: Hunted,
    works: Sequence[Any],
    play: Play,
    history: History,
    adversary: Adversary,
    operations: int,
    held: int,
) -> None:
    # A play with a script is short.
    pause = 3 * _ROUND // 4 if len(works) == 1 else _ROUND
    tasks = [asyncio.create_task(work) for work in works]
    try:
        looked = 0
        while not hunted.violations and len(play.recorder.calls) < (
            operations if adversary.held >= held else 10 * operations
        ):
            await asyncio.sleep(0.05)
            for task in tasks:
                if task.done():
                    task.result()
            if len(play.recorder.calls) - looked >= pause:
                looked = len(play.recorder.calls)
                # What calls were told is taken before the store's history, so that it is in there; and which
                # calls began after it, so that whatever is in there was asked for.
                known = play.recorder.known()
                await _caught_up(history)
                calls = known + play.recorder.begun_since(known)
                # A script that holds several messages up may hold up all that a replica sends.
                findings = check(history.written, calls, quiet=len(works) > 1)
                hunted.violations, hunted.explored = findings.violations, findings.explored
    finally:
        for task in (*tasks, *adversary.tasks):
            task.cancel()
        await asyncio.gather(*tasks, *adversary.tasks, return_exceptions=True)


async def _caught_up(history: History) -> None:
    """Wait until the history has everything that was written up to now."""
    marker = f"!mark/{request_id.mint()}"
    await history.mark(marker)
    await history.until(lambda: history.of(marker), "the store's history is complete")


def lag(replica: Replica, most_s: float, rng: random.Random) -> None:
    """Let a replica hear of changes late, in their order."""
    take = replica._take

    async def late(item: Item) -> None:
        await asyncio.sleep(rng.random() * most_s)
        await take(item)

    replica._take = late  # type: ignore[method-assign]


async def _stray(play: Play, peek: Peek) -> None:
    """A host that sends evidence of holds that last."""
    caller = Caller("stray", play.recorder)
    while True:
        await asyncio.sleep(0.1)
        for profile, seen in list(peek.now().items()):
            if seen.token:
                await caller.evidence(play.doors[0], profile, seen.token, "url", "stray")


async def _implicit(play: Play) -> None:
    """Requests that name no worker, at two replicas at once."""
    caller = Caller("implicit", play.recorder)
    while True:
        request = request_id.mint()
        await asyncio.gather(*(caller.implicit(door, "p0", request) for door in play.doors))


async def _saver(play: Play) -> None:
    """An owner that saves one checkpoint after the other, each once the one before is answered."""
    caller = Caller("saver", play.recorder)
    life = Life(caller, play.doors, random.Random(play.seed), 60)
    assert await life.begin()
    try:
        while True:
            door, profile, request = play.doors[0], "saved", request_id.mint()
            call = await caller.acquire(door, profile, life.worker, request, workflow="shop")
            for number in range(1, 9 if call.ok else 1):
                await caller.checkpoint(door, profile, call.answer["token"], "shop", number)
            if call.ok:
                await caller.release(door, profile, call.answer["token"])
    finally:
        await life.stop()
