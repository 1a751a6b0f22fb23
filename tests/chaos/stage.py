"""Everything that an episode runs, as real processes: etcd members, replicas, crews of clients."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.actor import Play
from tests.chaos.call import Call, load
from tests.chaos.caller import Door
from tests.chaos.clients import Crew
from tests.chaos.keepers import Operator, Recoverer
from tests.chaos.members import Members
from tests.chaos.network import Network
from tests.chaos.peek import Peek
from tests.chaos.pipe import Pipe
from tests.chaos.recorder import Recorder
from tests.chaos.resource import Resource, offered
from tests.fixtures.history import History
from tests.fixtures.services import Part

ROOT = "/tenure/"


@dataclass(slots=True)
class Stage:
    """What is there. `pipes`: one a replica and member, by the replica's index."""

    folder: Path
    network: Network | None
    members: Members
    replicas: list[Part]
    pipes: list[list[Pipe]]
    crews: list[Crew]
    recorder: Recorder
    history: History
    peek: Peek
    play: Play
    keepers: list[asyncio.Task[None]] = field(default_factory=list)
    replaced: int = 0

    def calls(self) -> list[Call]:
        """Every call of every client up to now."""
        lines: list[str] = []
        for file in sorted(self.folder.glob("*.jsonl")):
            lines += file.read_text().splitlines()
        return sorted([*load(lines), *self.recorder.calls], key=lambda call: call.start)

    def made(self) -> int:
        """About how many calls were made: a call is two lines."""
        sizes = [file.read_bytes().count(b"\n") // 2 for file in self.folder.glob("*.jsonl")]
        return sum(sizes) + len(self.recorder.calls)

    async def replace_crew(self, index: int) -> None:
        """New clients, under new names, in place of those that were killed."""
        self.replaced += 1
        old = self.crews[index]
        flags = {key: value for key, value in old.flags.items() if key not in ("name", "file")}
        self.crews[index] = Crew(f"{old.name.partition('x')[0]}x{self.replaced}", self.folder, flags)
        await self.crews[index].start()


@asynccontextmanager
async def staged(
    folder: Path, seed: str, network: Network | None, *, profiles: int, crews: int, actors: int, quota: int
) -> AsyncIterator[Stage]:
    """Three members, three replicas, each with pipes of its own to the members, and crews of clients."""
    async with AsyncExitStack() as stack:
        members = await stack.enter_async_context(Members(folder, network, quota=quota))
        history = await stack.enter_async_context(History(",".join(members.endpoints)))
        pipes = [
            [await stack.enter_async_context(Pipe(endpoint)) for endpoint in members.endpoints]
            for _ in range(3)
        ]
        replicas = [
            Part(f"lockservice-{name}", {"etcd": ",".join(pipe.endpoint for pipe in row)}, folder)
            for name, row in zip("abc", pipes, strict=True)
        ]
        for replica in replicas:
            stack.push_async_callback(replica.kill)
            await replica.start()
        recorder = Recorder()
        doors = [Door(replica.name[-1], replica.address) for replica in replicas]
        for door in doors:
            stack.push_async_callback(door.aclose)
        names = [f"p{i}" for i in range(profiles)]
        resource = Resource(recorder, doors, seed)
        play = Play(seed=seed, doors=doors, profiles=names, resource=resource, recorder=recorder)
        flags = {
            "seed": seed,
            "doors": ",".join(
                f"{door.name}={part.address}" for door, part in zip(doors, replicas, strict=True)
            ),
            "profiles": ",".join(names),
            "resource": await stack.enter_async_context(offered(resource)),
            "actors": str(actors),
        }
        here = Stage(
            folder=folder,
            network=network,
            members=members,
            replicas=replicas,
            pipes=pipes,
            crews=[Crew(f"crew{i}", folder, flags) for i in range(crews)],
            recorder=recorder,
            history=history,
            peek=Peek(history),
            play=play,
        )
        stack.push_async_callback(_end, here)
        for crew in here.crews:
            await crew.start()
        works = [Recoverer(name, play, here.peek).run() for name in ("r0", "r1")]
        works.append(Operator("operator", play, here.peek, 1.0).run())
        here.keepers = [asyncio.create_task(work) for work in works]
        yield here


async def _end(stage: Stage) -> None:
    for task in stage.keepers:
        task.cancel()
    await asyncio.gather(*stage.keepers, return_exceptions=True)
    for crew in stage.crews:
        await crew.wait(0.0)
