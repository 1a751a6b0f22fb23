"""The way from a replica to etcd, with an adversary on it, who delays one message at a time: until the very
moment when a condition that it carries has become false.

A mutant's message comes without that condition then. With it, as the control, the message does nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from lockservice.core.gathering import outer
from lockservice.etcd.errors import EtcdError, OutcomeUnknown
from lockservice.etcd.txn import Txn
from lockservice.replica import Replica
from tenure.etcdwire.v1 import etcdwire_pb2 as wire
from tests.chaos.transitions import Transition, read, without
from tests.lockservice.replicas import as_built, members

_POLL_S = 0.01


@dataclass(slots=True)
class Adversary:
    """Whom to delay, and what for. `drops`: the conditions that the mutant forgets; none in the control.

    `provoke` is told of a message as it is held back, and makes the condition false if it can. `ghost`: the
    message goes at once and its first reply is lost; a copy arrives after the key has changed so often.
    `all_held`: not one message at a time, but every one of its kind.
    """

    transition: str
    labels: tuple[str, ...]
    drops: bool
    patience_s: float
    provoke: Callable[[Transition], Awaitable[None]]
    ghost: int = 0
    all_held: bool = False
    busy: bool = False
    held: int = 0
    changed: int = 0
    seen: Counter[tuple[str, str]] = field(default_factory=Counter)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def concerns(self, found: Transition) -> bool:
        """Whether this is one to delay, or to mutate."""
        return found.name == self.transition and any(label in self.labels for label, _ in found.labels)

    def start(self, work: Awaitable[None]) -> None:
        """Run it beside everything else."""
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)


class Link:
    """Stands where a replica's committer expects the KV service. Transitions whose names are `stalled` wait
    until `release`.
    """

    def __init__(self, replica: Replica, adversary: Adversary) -> None:
        self._kv = replica.etcd.kv
        self._root = replica.keys.root
        self._adversary = adversary
        self.stalled: frozenset[str] = frozenset()
        self._released = asyncio.Event()
        replica.committer._kv = self  # type: ignore[assignment]  # all that it uses is here

    async def txn(self, request: Txn, timeout: float) -> wire.TxnResponse:
        adversary = self._adversary
        found = [read(member, self._root) for member in members(request.message())]
        for each in found:
            adversary.seen.update((each.name, label) for label in {label for label, _ in each.labels})
        if any(each.name in self.stalled and not adversary.concerns(each) for each in found):
            await self._released.wait()
        concerned = next((each for each in found if adversary.concerns(each)), None)
        if concerned is None:
            return await self._kv.txn(request, timeout)
        mutated = outer([as_built(self._mutated(each)) for each in found])
        first = not adversary.busy
        if not first and not adversary.all_held:
            return await self._kv.txn(mutated, timeout)
        adversary.busy = True
        adversary.held += 1
        if adversary.ghost:
            adversary.start(self._haunt(concerned, mutated))
            raise OutcomeUnknown("the reply was lost")
        try:
            if first:
                adversary.start(adversary.provoke(concerned))
            async with asyncio.timeout(adversary.patience_s):
                await self._until_false(concerned)
        except TimeoutError:
            pass
        finally:
            if first:
                adversary.busy = False
        return await self._kv.txn(mutated, timeout)

    def release(self) -> None:
        """Let through what is stalled, now and from now on."""
        self.stalled = frozenset()
        self._released.set()
        self._released = asyncio.Event()

    def _mutated(self, found: Transition) -> wire.TxnRequest:
        changed = found.txn
        if self._adversary.drops and self._adversary.concerns(found):
            self._adversary.changed += 1
            for label in self._adversary.labels:
                changed = without(read(changed, self._root), label)
        return changed

    async def _until_false(self, found: Transition) -> None:
        compares = [found.of(label) for label, _ in found.labels if label in self._adversary.labels]
        pause = asyncio.Event()
        while all([await self._holds(compare) for compare in compares]):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(pause.wait(), _POLL_S)

    async def _holds(self, compare: wire.Compare) -> bool:
        try:
            return (await self._kv.txn(as_built(wire.TxnRequest(compare=[compare])), 2.0)).succeeded
        except EtcdError:
            return True

    async def _haunt(self, found: Transition, mutated: Txn) -> None:
        """Let a copy arrive when its caller has long gone on."""
        key, before, changes = found.of(self._adversary.labels[0]).key, -1, -1
        try:
            async with asyncio.timeout(self._adversary.patience_s):
                while changes < self._adversary.ghost:
                    stored = await self._kv.get(key, 2.0)
                    now = stored.mod_revision if stored else 0
                    changes += now != before
                    before = now
                    await asyncio.sleep(_POLL_S)
            await self._kv.txn(mutated, 2.0)
        except (TimeoutError, EtcdError):
            pass
        finally:
            self._adversary.busy = False
