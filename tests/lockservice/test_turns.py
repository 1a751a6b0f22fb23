"""Tenants take turns."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lockservice.core.turns import Turns
from tenure.names import ProfileName

NAMES = st.builds(ProfileName, st.sampled_from("abc"), st.sampled_from("pqrs"))


def drained(turns: Turns) -> list[ProfileName]:
    taken = []
    while (name := turns.take()) is not None:
        taken.append(name)
    assert not turns
    return taken


def test_a_loud_tenant_delays_another_by_one_turn() -> None:
    turns = Turns()
    storm = [ProfileName("loud", f"p{i}") for i in range(1000)]
    for profile in storm:
        turns.add(profile)
    for _ in range(10):
        turns.take()
    quiet = ProfileName("quiet", "p")
    turns.add(quiet)
    assert quiet in (turns.take(), turns.take())
    assert drained(turns) == storm[11:]


def test_a_tenant_that_may_not_keeps_its_turn() -> None:
    turns = Turns()
    names = [ProfileName(tenant, "p") for tenant in "abc"]
    for name in names:
        turns.add(name)
    assert turns.take(lambda tenant: tenant == "c") == names[2]
    assert turns.take(lambda _: False) is None
    assert drained(turns) == names[:2]


@given(st.lists(NAMES))
def test_each_has_one_turn_in_the_order_of_coming_within_its_tenant(names: list[ProfileName]) -> None:
    turns = Turns()
    for name in names:
        turns.add(name)
    taken = drained(turns)
    for tenant in "abc":
        first_come = list(dict.fromkeys(name for name in names if name.tenant == tenant))
        assert [name for name in taken if name.tenant == tenant] == first_come


@given(st.lists(NAMES), st.integers(0, 9))
def test_whoever_comes_waits_for_one_of_every_other_tenant(names: list[ProfileName], before: int) -> None:
    turns = Turns()
    for name in names:
        turns.add(name)
    for _ in range(min(before, len(set(names)))):
        turns.take()
    newcomer = ProfileName("d", "p")
    turns.add(newcomer)
    others = drained(turns)[: 1 + len({name.tenant for name in names})]
    assert newcomer in others
    ahead = [name.tenant for name in others[: others.index(newcomer)]]
    assert len(ahead) == len(set(ahead))
