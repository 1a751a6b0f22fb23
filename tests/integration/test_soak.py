"""A short soak: the whole system, real browsers, and kills of all that they are made of."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.soak.__main__ import soak
from tests.soak.plan import KILLS, UPSTREAM, Plan

pytestmark = pytest.mark.timeout(300)
_SEED = 7


@pytest.fixture
def base() -> Iterator[Path]:
    """Not pytest's own directory: a tenant's user could not come there, and its path is long."""
    path = Path(tempfile.mkdtemp(prefix="tenure-soak-"))
    yield path
    shutil.rmtree(path)


async def test_thirty_cycles_with_kills_leave_nothing_and_lose_no_login_silently(base: Path) -> None:
    report = await soak(Plan(cycles=30, profiles=4, seed=_SEED), base)
    assert report.ledger.violations == []
    counts = report.ledger.counts
    assert counts["logins found"] >= 20
    assert sum(counts[f"killed {each}"] for each in KILLS) >= 5
    assert counts[f"killed {UPSTREAM}"] >= 1
    assert counts["failed closed"] >= 1
    assert counts["opened behind the upstream"] >= 5


def test_the_same_seed_plays_the_same() -> None:
    plan = Plan(cycles=300, profiles=20, seed=_SEED)
    plays = plan.plays()
    assert plays == Plan(cycles=300, profiles=20, seed=_SEED).plays()
    assert plays != Plan(cycles=300, profiles=20, seed=_SEED + 1).plays()
    assert {play.profile for play in plays} == {play.profile for play in plays[:20]}
    assert {play.kill for play in plays} == {"", *KILLS}
