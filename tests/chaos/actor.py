"""A random client: it works, waits, gives up, dies, and goes on writing with tokens that are over."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from tenure import request_id
from tests.chaos.bulk import acquire_many, release_many
from tests.chaos.call import UNCLEAR, Call
from tests.chaos.caller import Caller, Door
from tests.chaos.life import Life
from tests.chaos.recorder import Recorder
from tests.chaos.resource import Writes

WEIGHTS: Mapping[str, int] = MappingProxyType(
    {"work": 8, "late": 3, "give_up": 3, "twice": 2, "borrow": 1, "die": 1, "bulk": 1}
)
WORKFLOWS = ("", "shop", "mail")
RESULTS = ("SUCCEEDED", "SUCCEEDED", "SUCCEEDED", "FAILED_UNTOUCHED", "NEEDS_REVIEW")


@dataclass(slots=True)
class Known:
    """What the clients of one process know of each other: tokens that may be over, and request ids."""

    tokens: list[tuple[str, int, str]] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)


@dataclass(slots=True)
class Play:
    """What a client plays in."""

    seed: str
    doors: Sequence[Door]
    profiles: Sequence[str]
    resource: Writes
    recorder: Recorder
    weights: Mapping[str, int] = field(default_factory=lambda: WEIGHTS)
    ttl_s: int = 4
    wait_s: float = 4.0
    workflows: Sequence[str] = WORKFLOWS
    results: Sequence[str] = RESULTS
    known: Known = field(default_factory=Known)
    stopped: asyncio.Event = field(default_factory=asyncio.Event)


class Actor:
    """One client. What it does is drawn from the seed; when, the machine decides."""

    def __init__(self, name: str, play: Play) -> None:
        self._play = play
        self._random = random.Random(f"{play.seed}:{name}")
        self._caller = Caller(name, play.recorder)
        self._lives = 0
        self._life = self._new_life()
        self._numbers = 0

    async def run(self) -> None:
        """Act until the play is stopped; then give everything back. Cancelled it vanishes, as by a kill."""
        try:
            await self._act()
            await self._give_back()
        finally:
            await self._life.stop()

    async def _act(self) -> None:
        acts: dict[str, Callable[[], Awaitable[None]]] = {
            name: getattr(self, f"_{name}") for name in self._play.weights
        }
        while not self._play.stopped.is_set():
            if not self._life.lives and not await self._begin():
                await asyncio.sleep(0.1)
                continue
            (name,) = self._random.choices([*self._play.weights], [*self._play.weights.values()])
            await acts[name]()
            if self._random.random() < 0.4:
                await self._tidy()

    # --- what it does --------------------------------------------------------------------

    async def _work(self) -> None:
        """Acquire, write, release: the honest way; and at times the way of one who forgets."""
        profile, workflow = self._some_profile(), self._random.choice(self._play.workflows)
        waits = self._random.choice([0, 0, self._play.wait_s / 2, self._play.wait_s])
        call = await self._acquire(profile, request_id.mint(), waits, workflow)
        if call.ok:
            await self._use(profile, call.answer["token"], workflow)

    async def _late(self) -> None:
        """Write with a token that may be over, one's own or another's."""
        if not self._play.known.tokens:
            return
        profile, token, workflow = self._random.choice(self._play.known.tokens[-12:])
        for _ in range(self._random.randint(1, 3)):
            await self._write(profile, token, workflow, self._random.randint(0, 3))
        if self._random.random() < 0.3:
            await self._caller.release(self._door(), profile, token, self._random.choice(self._play.results))

    async def _give_up(self) -> None:
        """Wait, and cancel at another replica, at any moment of it."""
        profile, request = self._some_profile(), request_id.mint()
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(self._acquire(profile, request, self._play.wait_s, ""))
            await asyncio.wait([waiting], timeout=self._random.random() * 0.6)
            await self._caller.cancel(self._door(), profile, self._life.worker, request)
        call = waiting.result()
        if call.ok:
            await self._use(profile, call.answer["token"], "")

    async def _twice(self) -> None:
        """The same request at two replicas at once; and once more when it is over."""
        profile, request = self._some_profile(), request_id.mint()
        waits = self._random.choice([0, self._play.wait_s / 2])
        calls = await asyncio.gather(*(self._acquire(profile, request, waits, "") for _ in range(2)))
        for call in calls:
            if call.ok:
                await self._use(profile, call.answer["token"], "")
                break
        await self._acquire(profile, request, waits, "")

    async def _borrow(self) -> None:
        """A request id that is another's."""
        known = self._play.known.requests
        if known:
            profile, request = self._random.choice(known[-6:])
            call = await self._acquire(profile, request, self._random.choice([0, 1]), "")
            if call.ok:
                await self._use(profile, call.answer["token"], "")

    async def _die(self) -> None:
        """Leave the worker, with a word or without, whatever it holds."""
        await self._life.stop()
        if self._random.random() < 0.5:
            await self._caller.end_worker(self._door(), self._life.worker)
        self._life = self._new_life()

    async def _bulk(self) -> None:
        """Several profiles in one message, then all of them back in another."""
        count = min(len(self._play.profiles), self._random.randint(2, 4))
        profiles = self._random.sample(list(self._play.profiles), count)
        asks = [(profile, request_id.mint()) for profile in profiles]
        calls = await acquire_many(self._caller, self._door(), asks, self._life.worker)
        held = [(call.profile, call.answer["token"]) for call in calls if call.ok]
        self._play.known.tokens += [(profile, token, "") for profile, token in held]
        if held:
            await release_many(self._caller, self._door(), held)

    # --- parts of it ---------------------------------------------------------------------

    async def _use(self, profile: str, token: int, workflow: str) -> None:
        self._play.known.tokens.append((profile, token, workflow))
        for seq in range(1, self._random.randint(1, 4)):
            await self._write(profile, token, workflow, seq)
        end = self._random.random()
        if end < 0.75:
            await self._release(profile, token)
        elif end < 0.85:
            # Gone without a word, as one who is frozen: what it holds is found by its renewals, or lost.
            await self._die()

    async def _release(self, profile: str, token: int) -> None:
        result = self._random.choice(self._play.results)
        for _ in range(3):
            call = await self._caller.release(self._door(), profile, token, result)
            if call.outcome != UNCLEAR:
                return

    async def _write(self, profile: str, token: int, workflow: str, seq: int) -> None:
        match self._random.randint(0, 4):
            case 0:
                await self._caller.verify(self._door(), profile, token)
            case 1 | 2:
                name = self._random.choice(["open", "fill", "pay"])
                call = await self._caller.step(self._door(), profile, token, seq, name)
                if call.ok and self._random.random() < 0.5:
                    await self._caller.finish(self._door(), profile, token, call.answer["seq"])
            case 3 if workflow:
                self._numbers += 1
                await self._caller.checkpoint(self._door(), profile, token, workflow, self._numbers)
            case _:
                await self._play.resource.write(profile, token)

    async def _acquire(self, profile: str, request: str, waits: float, workflow: str) -> Call:
        """Acquire; after an unclear outcome again, with the same request id, wherever."""
        worker = self._life.worker
        self._play.known.requests.append((profile, request))
        tries = 3
        while True:
            tries -= 1
            call = await self._caller.acquire(self._door(), profile, worker, request, waits, workflow)
            if call.outcome != UNCLEAR or not self._life.lives or not tries:
                return call

    async def _begin(self) -> bool:
        await self._life.stop()
        self._life = self._new_life()
        return await self._life.begin()

    async def _tidy(self) -> None:
        """Release what renewals list, and nobody uses: a grant that nobody heard of (rule 8)."""
        for profile, token, _ in self._life.holds:
            await self._caller.release(self._door(), profile, token)
        self._life.holds = []

    async def _give_back(self) -> None:
        """Tidy up until renewals list nothing, or the lease has ended."""
        idle = 0
        while self._life.lives and idle < 3:
            if await self._life.look():
                idle = 0 if self._life.holds else idle + 1
                await self._tidy()
            await asyncio.sleep(0.2)

    def _new_life(self) -> Life:
        self._lives += 1
        rng = random.Random(f"{self._play.seed}:{self._caller.name}:{self._lives}")
        return Life(self._caller, self._play.doors, rng, self._play.ttl_s)

    def _door(self) -> Door:
        return self._random.choice(self._play.doors)

    def _some_profile(self) -> str:
        return self._random.choice(self._play.profiles)
