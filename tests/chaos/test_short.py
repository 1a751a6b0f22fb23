"""A short run on real members and replicas, and mutants that it would find."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from tests.chaos.episode import play
from tests.chaos.hunt import hunt
from tests.chaos.mutants import MUTANTS
from tests.chaos.network import possible
from tests.chaos.plans import SHORT
from tests.fixtures.etcd import Store

# What is found once is found, and a mutant that was missed once was missed.
pytestmark = pytest.mark.flaky(reruns=0)

SEED = "short"


@pytest.mark.timeout(240)
async def test_random_clients_find_nothing_wrong_while_everything_around_them_fails(tmp_path: Path) -> None:
    seed = secrets.token_hex(4)
    print(f"seed {seed}; repeat with python -m tests.chaos --seed {seed}", possible())
    played = await play(SHORT, tmp_path, seed, partitions=not possible())
    assert [str(violation) for violation in played.findings.violations] == []
    assert played.settled, "everybody ends what they began, once all is well again"
    assert played.findings.given_up == []
    assert len(played.faults) >= len(SHORT.faults)
    assert played.findings.grants > 10


@pytest.mark.timeout(150)
@pytest.mark.parametrize(
    "name", ["grant without k", "release without queue empty", "step without p"], ids=lambda name: name
)
async def test_a_mutant_is_caught_and_its_control_is_not(etcd: Store, name: str) -> None:
    mutant = next(mutant for mutant in MUTANTS if mutant.name == name)
    endpoint = etcd.member.endpoint
    hunted = await hunt(endpoint, mutant, SEED, operations=1500)
    assert hunted.violations, f"{name} was not caught in {hunted.operations} operations"
    assert hunted.violations[0].trace
    control = await hunt(endpoint, mutant, SEED, drops=False, operations=120, held=2)
    assert control.held >= 2, f"the adversary was hardly at work in {control.operations} operations"
    assert [str(violation) for violation in control.violations] == []
