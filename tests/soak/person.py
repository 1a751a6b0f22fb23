"""The person on call of a soak: hears of every incident, puts it on record, and decides what waits."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import tenure
from tenure.errors import InvalidField, TenureError
from tenure.v1.hold_pb2 import PROFILE_STATE_MANUAL_REVIEW
from tenure.v1.incident_pb2 import Incident, Outcome, SuspicionCause
from tests.fixtures.system import RunningSystem
from tests.soak.ledger import Ledger

_EVERY_S = 0.25
_REASON = "a soak's kill: look, and go on"


class Person:
    """One for a system. `damaged` are profiles that nobody may start any more."""

    def __init__(self, system: RunningSystem, ledger: Ledger) -> None:
        self._system = system
        self._ledger = ledger
        self._known: set[str] = set()
        self.damaged: set[str] = set()
        self.waiting = 0
        """Incidents that are not over, at the last look."""

    async def run(self) -> None:
        """Look and decide until cancelled."""
        while True:
            with suppress(TenureError):
                await self.look()
            await asyncio.sleep(_EVERY_S)

    async def look(self) -> None:
        """Hear of what is new, and decide what waits for a person. Raises Unavailable."""
        async with tenure.connect(self._system.gateway) as client:
            found = await client.incidents(limit=200)
            for incident in found:
                self._hear(incident)
            self.waiting = sum(each.open for each in found)
            for incident in found:
                if incident.open and incident.state == PROFILE_STATE_MANUAL_REVIEW:
                    await self._decide(client, incident.name)

    def _hear(self, incident: Incident) -> None:
        if incident.name not in self._known:
            self._known.add(incident.name)
            profile = incident.name.split("/")[3]
            self._ledger.reported(profile, SuspicionCause.Name(incident.cause))

    async def _decide(self, client: tenure.Client, name: str) -> None:
        incident = await client.incident(name)
        # A killed host's browsers ended with it, or it was adopted and has said so: the census tells.
        destroyed = not incident.acknowledged
        for outcome in (Outcome.OUTCOME_AVAILABLE, Outcome.OUTCOME_DISABLED):
            try:
                await client.resolve(name, outcome, _REASON, etag=incident.etag, attest_destroyed=destroyed)
            except InvalidField as refused:
                # What is damaged can only be disabled.
                self._ledger.counts[f"refused: {refused.problem}"] += 1
                continue
            if outcome == Outcome.OUTCOME_DISABLED:
                self.damaged.add(name.split("/")[3])
                self._ledger.counts["profiles damaged"] += 1
            return
