"""What is done to a running stage, one fault or several at a time: begun, held for a while, taken back."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from lockservice.etcd.errors import EtcdError
from lockservice.etcd.txn import delete, put, txn
from tests.chaos.epochs import bump
from tests.chaos.stage import ROOT, Stage

Undo = Callable[[], Awaitable[None]]
_JUNK = 256 * 1024


@dataclass(slots=True)
class Nemesis:
    """The faults by name; each method begins one, and returns what takes it back. `done` is the record."""

    stage: Stage
    rng: random.Random
    done: list[str] = field(default_factory=list)
    # A leader of etcd 3.4 that was frozen may end leases before their time (etcd #15247).
    leader_frozen: bool = False

    def named(self) -> dict[str, Callable[[], Awaitable[Undo]]]:
        """Every fault that can be done here."""
        faults: dict[str, Callable[[], Awaitable[Undo]]] = {
            "kill a replica": self.kill_replica,
            "freeze a replica": self.freeze_replica,
            "kill clients": self.kill_clients,
            "freeze clients": self.freeze_clients,
            "kill a member": self.kill_member,
            "freeze a member": self.freeze_member,
            "kill the leader": self.kill_leader,
            "freeze the leader": self.freeze_leader,
            "delay": self.delay,
            "lose one way": self.lose_one_way,
            "cut connections": self.cut,
            "compact": self.compact,
            "raise the epoch": self.raise_epoch,
            "fill the disk": self.fill,
        }
        if self.stage.network is not None:
            faults |= {
                "partition a member": self.isolate,
                "partition the leader": self.isolate_leader,
                "one-way partition": self.one_way,
                "split all three": self.split,
            }
        return faults

    def note(self, what: str) -> None:
        self.done.append(what)

    # --- processes -----------------------------------------------------------------------

    async def kill_replica(self) -> Undo:
        replica = self.rng.choice(self.stage.replicas)
        self.note(f"kill -9 {replica.name}")
        await replica.kill()
        return replica.start

    async def freeze_replica(self) -> Undo:
        replica = self.rng.choice(self.stage.replicas)
        self.note(f"SIGSTOP {replica.name}")
        if replica.pid:
            replica.freeze()

        async def undo() -> None:
            if replica.pid:
                replica.thaw()

        return undo

    async def kill_clients(self) -> Undo:
        index = self.rng.randrange(len(self.stage.crews))
        crew = self.stage.crews[index]
        self.note(f"kill -9 {crew.name}")
        crew.signal(signal.SIGKILL)
        await crew.wait(10)

        async def undo() -> None:
            await self.stage.replace_crew(index)

        return undo

    async def freeze_clients(self) -> Undo:
        crew = self.rng.choice(self.stage.crews)
        self.note(f"SIGSTOP {crew.name}")
        crew.signal(signal.SIGSTOP)

        async def undo() -> None:
            crew.signal(signal.SIGCONT)

        return undo

    async def kill_member(self) -> Undo:
        return self._kill(self.rng.randrange(3))

    async def kill_leader(self) -> Undo:
        return self._kill(await self.stage.members.leader(), " (the leader)")

    def _kill(self, index: int, more: str = "") -> Undo:
        member = self.stage.members.members[index]
        self.note(f"kill -9 {member.name}{more}")
        member.kill()

        async def undo() -> None:
            member.start()
            await self.stage.members.healthy()

        return undo

    async def freeze_member(self) -> Undo:
        leader = await self.stage.members.leader()
        return self._freeze(self.rng.choice([i for i in range(3) if i != leader]))

    async def freeze_leader(self) -> Undo:
        self.leader_frozen = True
        return self._freeze(await self.stage.members.leader(), " (the leader)")

    def _freeze(self, index: int, more: str = "") -> Undo:
        member = self.stage.members.members[index]
        self.note(f"SIGSTOP {member.name}{more}")
        member.signal(signal.SIGSTOP)

        async def undo() -> None:
            member.signal(signal.SIGCONT)

        return undo

    # --- the network ---------------------------------------------------------------------

    async def isolate(self) -> Undo:
        return self._isolate(self.rng.randrange(3))

    async def isolate_leader(self) -> Undo:
        # It goes on for a while as a leader that has heard nothing, as a frozen one would.
        self.leader_frozen = True
        return self._isolate(await self.stage.members.leader(), " (the leader)")

    def _isolate(self, index: int, more: str = "") -> Undo:
        self.note(f"partition: m{index} from the others{more}")
        others = [i for i in range(3) if i != index]
        return self._lose([(index, other) for other in others] + [(other, index) for other in others])

    async def one_way(self) -> Undo:
        source, target = self.rng.sample(range(3), 2)
        self.note(f"partition: what m{source} sends to m{target} is lost")
        return self._lose([(source, target)])

    async def split(self) -> Undo:
        self.leader_frozen = True
        self.note("partition: each member by itself, no quorum")
        return self._lose([(a, b) for a in range(3) for b in range(3) if a != b])

    def _lose(self, ways: list[tuple[int, int]]) -> Undo:
        network = self.stage.network
        assert network is not None
        for source, target in ways:
            network.cut(source, target)

        async def undo() -> None:
            await asyncio.to_thread(network.mend)

        return undo

    async def delay(self) -> Undo:
        index, seconds = self.rng.randrange(3), self.rng.choice([0.02, 0.1, 0.4])
        self.note(f"delay {seconds * 1000:.0f} ms between {self.stage.replicas[index].name} and etcd")
        for pipe in self.stage.pipes[index]:
            pipe.delay_s = seconds
        return self._healed(index)

    async def lose_one_way(self) -> Undo:
        index, way = self.rng.randrange(3), self.rng.choice(["up", "down"])
        self.note(f"lose what goes {way} between {self.stage.replicas[index].name} and etcd")
        for pipe in self.stage.pipes[index]:
            pipe.deaf = frozenset({way})
        return self._healed(index)

    async def cut(self) -> Undo:
        index = self.rng.randrange(3)
        self.note(f"cut the connections between {self.stage.replicas[index].name} and etcd")
        for pipe in self.stage.pipes[index]:
            pipe.cut()
        return self._healed(index)

    def _healed(self, index: int) -> Undo:
        async def undo() -> None:
            for pipe in self.stage.pipes[index]:
                pipe.heal()

        return undo

    # --- the store -----------------------------------------------------------------------

    async def compact(self) -> Undo:
        written = self.stage.history.written
        revision = written[-1].revision if written else 0
        self.note(f"compact up to revision {revision}")
        # Not beyond what the observer has seen: replicas that are behind have to list again.
        await self.stage.members.compact(revision)
        return _nothing

    async def raise_epoch(self) -> Undo:
        call = await bump(self.stage.recorder, self.stage.members.endpoints, ROOT)
        self.note(f"raise the epoch: {call.answer.get('epoch', call.reason)}")
        return _nothing

    async def fill(self) -> Undo:
        """Write until etcd has no space left; needs members with a small quota."""
        kv, number = self.stage.history.etcd.kv, 0
        try:
            while number < 400:
                await kv.txn(txn([], [put(b"/junk/%d" % number, b"x" * _JUNK)]), 5.0)
                number += 1
        except EtcdError as error:
            self.note(f"fill the disk: {error}")
        else:
            self.note("fill the disk: it took everything")

        async def undo() -> None:
            for each in range(number + 1):
                try:
                    await kv.txn(txn([], [delete(b"/junk/%d" % each)]), 5.0)
                except EtcdError:
                    continue
            written = self.stage.history.written
            # Past the deletions, which the observer does not see: what it has not seen yet is kept by the
            # members until it is compacted the next time.
            await self.stage.members.compact(written[-1].revision)
            await self.stage.members.make_room()

        return undo


async def _nothing() -> None:
    return
