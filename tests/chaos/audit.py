"""The store's whole history against every rule that it alone can show. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from tests.chaos import grants, records, writes
from tests.chaos.ledger import Ledger
from tests.chaos.timeline import World, apply, revisions
from tests.fixtures.history import Written


def audit(history: Iterable[Written]) -> Ledger:
    """Walk through the history; what is broken stands in the ledger."""
    ledger, world = Ledger(), World()
    saved: dict[tuple[str, int, str], int] = {}
    for revision in revisions(history):
        ledger.revisions += 1
        records.moved(ledger, world, revision)
        grants.granted(ledger, world, revision)
        grants.queued(ledger, world, revision)
        grants.used_up(ledger, world, revision)
        writes.fenced(ledger, world, revision, saved)
        writes.once(ledger, world, revision)
        writes.hosts_evidence(ledger, world, revision)
        for (worker,), written in revision.of("w"):
            if written.value is None:
                ledger.gone[worker] = revision.number
        apply(world, revision)
    for name, profile in world.profiles.items():
        ledger.places[name] = profile.line()
        ledger.states[name] = profile.state
    return ledger
