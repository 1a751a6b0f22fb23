"""Those who look after profiles: recovery, in two that race; and an operator who takes holds away."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

from lockservice.core.record import State
from tests.chaos.actor import Play
from tests.chaos.caller import Caller, Door
from tests.chaos.peek import Peek, Seen

_AT_WORK = (State.SUSPECTED_STALE, State.QUARANTINED, State.INSPECTED, State.MANUAL_REVIEW)
OUTCOMES = ("AVAILABLE", "AVAILABLE", "RETRY", "RESUME_PENDING", "MANUAL_REVIEW")
VERDICTS = ("AVAILABLE", "AVAILABLE", "RETRY", "RESUME_PENDING", "DISABLED")


class Recoverer:
    """Brings incidents to their end, step by step, without asking who else does. `resume_s`: how long a
    workflow is waited for.
    """

    def __init__(
        self,
        name: str,
        play: Play,
        peek: Peek,
        outcomes: Sequence[str] = OUTCOMES,
        verdicts: Sequence[str] = VERDICTS,
        resume_s: float = 3.0,
    ) -> None:
        self._play = play
        self._outcomes = outcomes
        self._verdicts = verdicts
        self._resume_s = resume_s
        self._peek = peek
        self._random = random.Random(f"{play.seed}:{name}")
        self._caller = Caller(name, play.recorder)
        self._inspected: dict[tuple[str, int], int] = {}

    async def run(self) -> None:
        """Recover until cancelled."""
        while True:
            await asyncio.sleep(self._random.random() * 0.1)
            for profile, seen in list(self._peek.now().items()):
                if seen.record.state in _AT_WORK:
                    await self._step(profile, seen)
                elif seen.record.state is State.DISABLED:
                    await self._caller.switch(self._door(), profile, seen.mod, "AVAILABLE")

    async def _step(self, profile: str, seen: Seen) -> None:
        token = seen.record.incident
        match seen.record.state:
            case State.SUSPECTED_STALE:
                await self._caller.quarantine(self._door(), profile, token, self._random.random() < 0.8)
            case State.QUARANTINED:
                await self._evidence(profile, token)
                missing = self._random.random() < 0.1
                call = await self._caller.inspect(self._door(), profile, token, missing=missing)
                if call.ok and call.answer["revision"]:
                    self._inspected[profile, token] = call.answer["revision"]
            case State.INSPECTED:
                await self._decide(profile, token, seen)
            case _:
                await self._judge(profile, token, seen)

    async def _evidence(self, profile: str, token: int) -> None:
        item = self._random.choice(["url", "shot"])
        await self._caller.evidence(self._door(), profile, token, item, self._caller.name)

    async def _decide(self, profile: str, token: int, seen: Seen) -> None:
        record = seen.record
        outcome = self._random.choice(self._outcomes)
        if not record.acknowledged or record.evidence_missing:
            outcome = "MANUAL_REVIEW"
        elif outcome == "RESUME_PENDING" and not (record.holding and record.holding.workflow_id):
            outcome = "RETRY"
        revision = self._inspected.get((profile, token), seen.mod)
        await self._caller.decide(self._door(), profile, token, revision, outcome, self._resume_s)
        if self._random.random() < 0.3:
            await self._evidence(profile, token)

    async def _judge(self, profile: str, token: int, seen: Seen) -> None:
        record = seen.record
        if not record.acknowledged and self._random.random() < 0.5:
            await self._caller.quarantine(self._door(), profile, token, acknowledged=True)
        outcome = self._random.choice(self._verdicts)
        if outcome == "RESUME_PENDING" and not (record.holding and record.holding.workflow_id):
            outcome = "AVAILABLE"
        attested = self._random.random() < 0.5
        await self._caller.verdict(
            *(self._door(), profile, token, seen.mod, outcome), attested=attested, resume_s=self._resume_s
        )

    def _door(self) -> Door:
        return self._random.choice(self._play.doors)


class Operator:
    """Takes holds away, and profiles out of use; now and then."""

    def __init__(self, name: str, play: Play, peek: Peek, pause_s: float) -> None:
        self._play = play
        self._peek = peek
        self._pause_s = pause_s
        self._random = random.Random(f"{play.seed}:{name}")
        self._caller = Caller(name, play.recorder)

    async def run(self) -> None:
        """Meddle until cancelled."""
        while True:
            await asyncio.sleep(self._random.random() * 2 * self._pause_s)
            found = sorted(self._peek.now().items())
            if found:
                profile, seen = self._random.choice(found)
                await self._meddle(self._random.choice(self._play.doors), profile, seen)

    async def _meddle(self, door: Door, profile: str, seen: Seen) -> None:
        if seen.token and self._random.random() < 0.5:
            await self._caller.suspect(door, profile, seen.token)
        elif seen.token:
            await self._caller.revoke(door, profile, seen.token)
        elif seen.record.state is State.AVAILABLE:
            await self._caller.switch(door, profile, seen.mod, "DISABLED")
