"""Makes a condition false, by what anybody may do, while the message that carries it is held back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from lockservice.core.record import State
from tenure import request_id
from tests.chaos.caller import Caller, Door
from tests.chaos.epochs import bump
from tests.chaos.life import Life
from tests.chaos.peek import Peek, Seen
from tests.chaos.recorder import Recorder
from tests.chaos.transitions import Transition

_STEPS = ("quarantine", "inspect", "decide", "verdict")


class Provoker:
    """Acts at one replica, with a worker of its own."""

    def __init__(
        self,
        caller: Caller,
        recorder: Recorder,
        door: Door,
        life: Life,
        peek: Peek,
        endpoint: str,
        root: str,
    ) -> None:
        self._caller = caller
        self._recorder = recorder
        self._door = door
        self._life = life
        self._peek = peek
        self._endpoint = endpoint
        self._root = root

    def by(self, transition: str, label: str) -> Callable[[Transition], Awaitable[None]]:
        """What makes this condition of this transition false."""
        of_state: dict[str, Callable[[Transition], Awaitable[None]]] = {
            "grant": self._take,
            "disable": self._take,
            "resume": self._take,
            "resume from the queue": self._take,
            "join": self._free,
            "suspect": self._free,
            "grant the head": self._disable,
            "enable": self._enable,
            "leave the disabled": self._enable,
            **dict.fromkeys(_STEPS, self._go_on),
        }
        of_key: dict[str, Callable[[Transition], Awaitable[None]]] = {
            "epoch": self._bump,
            "p": of_state.get(transition, self._revoke),
            "w": self._end_worker,
            "k": self._burn,
            "queue empty": self._join,
            "place": {"leave": self._free, "join": self._borrow}.get(transition, self._cancel),
            "seq": self._step,
            "end": self._finish,
            "item": self._evidence,
            "acknowledged": self._acknowledge,
        }
        return of_key.get(label, self._nothing)

    async def _bump(self, found: Transition) -> None:
        await bump(self._recorder, [self._endpoint], self._root)

    def _seen(self, found: Transition) -> Seen | None:
        return self._peek.now().get(found.profile)

    async def _nothing(self, found: Transition) -> None:
        return

    async def _take(self, found: Transition) -> None:
        seen = self._seen(found)
        workflow = seen.record.holding.workflow_id if seen and seen.record.holding else ""
        await self._caller.acquire(
            self._door, found.profile, self._life.worker, request_id.mint(), 0, workflow
        )

    async def _free(self, found: Transition) -> None:
        seen = self._seen(found)
        if seen is not None and seen.token:
            await self._caller.release(self._door, found.profile, seen.token)

    async def _revoke(self, found: Transition) -> None:
        seen = self._seen(found)
        if seen is not None and seen.token:
            await self._caller.revoke(self._door, found.profile, seen.token)

    async def _disable(self, found: Transition) -> None:
        seen = self._seen(found)
        if seen is not None and seen.record.state is State.AVAILABLE:
            await self._caller.switch(self._door, found.profile, seen.mod, "DISABLED")

    async def _enable(self, found: Transition) -> None:
        seen = self._seen(found)
        if seen is not None:
            await self._caller.switch(self._door, found.profile, seen.mod, "AVAILABLE")

    async def _go_on(self, found: Transition) -> None:
        """The same step of the same incident by somebody else."""
        seen = self._seen(found)
        if seen is None:
            return
        profile, token = found.profile, seen.record.incident
        match seen.record.state:
            case State.SUSPECTED_STALE:
                await self._caller.quarantine(self._door, profile, token, acknowledged=True)
            case State.QUARANTINED:
                await self._caller.inspect(self._door, profile, token)
            case State.INSPECTED:
                sure = seen.record.acknowledged and not seen.record.evidence_missing
                outcome = "AVAILABLE" if sure else "MANUAL_REVIEW"
                await self._caller.decide(self._door, profile, token, seen.mod, outcome)
            case _:
                await self._caller.verdict(self._door, profile, token, seen.mod, "AVAILABLE", attested=True)

    async def _end_worker(self, found: Transition) -> None:
        if found.workers:
            await self._caller.end_worker(self._door, found.workers[0])

    async def _burn(self, found: Transition) -> None:
        """A newer request of the same worker is given up before it came."""
        await self._caller.cancel(self._door, found.profile, found.workers[0], request_id.mint())

    async def _join(self, found: Transition) -> None:
        await self._caller.acquire(self._door, found.profile, self._life.worker, request_id.mint(), waits=2)

    async def _borrow(self, found: Transition) -> None:
        await self._caller.acquire(self._door, found.profile, self._life.worker, found.request, waits=2)

    async def _cancel(self, found: Transition) -> None:
        # The last worker that is named is the waiter's: before it, in a release, comes the owner's.
        await self._caller.cancel(self._door, found.profile, found.workers[-1], found.request)

    async def _step(self, found: Transition) -> None:
        await self._caller.step(self._door, found.profile, found.token, found.seq, "another")

    async def _finish(self, found: Transition) -> None:
        # A time of its own, to the millisecond.
        await asyncio.sleep(0.005)
        await self._caller.finish(self._door, found.profile, found.token, found.seq)

    async def _evidence(self, found: Transition) -> None:
        await self._caller.evidence(self._door, found.profile, found.token, found.item, "another")

    async def _acknowledge(self, found: Transition) -> None:
        await self._caller.quarantine(self._door, found.profile, found.token, acknowledged=True)
