"""A world whose one profile is in a given place of an incident's way."""

from __future__ import annotations

from lockservice.core import acquire, decided, inspected, quarantine, suspect
from lockservice.core.decision import Decision, Refuse, Reply, Write
from lockservice.core.inspected import Finding
from lockservice.core.outcome import Choice, Outcome
from lockservice.core.snapshot import Sight
from lockservice.core.stored import Ask
from tenure.errors import TenureError
from tenure.names import IncidentName
from tests.lockservice.worlds import KEYS, NOW, PROFILE, World

REVIEW = Choice(outcome=Outcome.MANUAL_REVIEW, reason="a checkout went on")
FOUND = Finding(evidence=b"seen", missing=False, used=True, touched=True)


def done(world: World, decision: Decision[object]) -> object:
    """Let a decision take effect; returns its answer. Raises its refusal."""
    if isinstance(decision, Write):
        assert world.apply(decision)
        return decision.then(world.revision)
    if isinstance(decision, Refuse):
        raise decision.error
    return decision.value


def refused(decision: Decision[object]) -> TenureError:
    assert isinstance(decision, Refuse), decision
    return decision.error


def unchanged(decision: Decision[object]) -> object:
    """What is answered without a write."""
    assert isinstance(decision, Reply), decision
    return decision.value


def held(workflow: str = "shop") -> tuple[World, IncidentName]:
    """Held by worker `a`; and the name of the incident that would end it."""
    world = World()
    world.register("a")
    ask = Ask(
        request_id="1",
        worker="a",
        run_id="r",
        as_sent="alice",
        max_runtime_ms=1000,
        workflow_id=workflow,
        home_hint="h1",
    )
    seen = world.see(Sight(keys=KEYS, profile=PROFILE, worker="a", request_id="1"))
    grant = acquire.decide(KEYS, PROFILE, seen, ask, tenant="default", waits=False, lease_keys=1, now_ms=NOW)
    done(world, grant)
    return world, IncidentName(PROFILE, world.revision)


def suspected(workflow: str = "shop") -> tuple[World, IncidentName]:
    world, name = held(workflow)
    seen = world.see(Sight(keys=KEYS, profile=PROFILE, token=name.fencing_token))
    token = name.fencing_token
    done(
        world,
        suspect.decide(KEYS, PROFILE, seen, token=token, cause="BROWSER_LOST", detail="", now_ms=NOW),
    )
    return world, name


def quarantined(*, acknowledged: bool = True, workflow: str = "shop") -> tuple[World, IncidentName]:
    world, name = suspected(workflow)
    seen = world.see(quarantine.sight(KEYS, name))
    done(world, quarantine.decide(KEYS, name, seen, acknowledged=acknowledged, now_ms=NOW))
    return world, name


def looked_at(
    *, acknowledged: bool = True, finding: Finding = FOUND, workflow: str = "shop"
) -> tuple[World, IncidentName]:
    """INSPECTED."""
    world, name = quarantined(acknowledged=acknowledged, workflow=workflow)
    seen = world.see(inspected.sight(KEYS, name))
    done(world, inspected.decide(KEYS, name, seen, finding=finding, now_ms=NOW))
    return world, name


def in_review(
    *, acknowledged: bool = True, finding: Finding = FOUND, workflow: str = "shop"
) -> tuple[World, IncidentName]:
    """MANUAL_REVIEW."""
    world, name = looked_at(acknowledged=acknowledged, finding=finding, workflow=workflow)
    seen = world.see(decided.sight(KEYS, name))
    done(world, decided.decide(KEYS, name, seen, revision=seen.mod, choice=REVIEW, now_ms=NOW))
    return world, name
