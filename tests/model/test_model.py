"""The model is explored whole without a fault, and each of its rules is needed."""

from __future__ import annotations

import functools

import pytest

from tests.model.__main__ import main
from tests.model.explore import NO_REST, Explored, Model, Move, explore
from tests.model.table import PARTS, RULES, Shown
from tests.test_traces import TRACES

SHOWN = [(name, shown) for name, rule in RULES.items() for shown in rule.shown]


BY_NAME = {part.NAME: part for part in PARTS}


@functools.cache
def whole(part: str) -> tuple[Explored, frozenset[str]]:
    """A part explored with all rules kept, and the rules that it asked for."""
    model = BY_NAME[part]()
    return explore(model), frozenset(model.asked)


@pytest.mark.parametrize("part", BY_NAME)
def test_with_all_rules_kept_nothing_goes_wrong(part: str) -> None:
    found, _ = whole(part)
    print(f"{part}: {found.states} states, {found.moves} moves")
    assert found.whole
    assert found.faults == {}


@pytest.mark.parametrize(("name", "shown"), SHOWN, ids=[f"{n}-{s.breaks}" for n, s in SHOWN])
def test_without_a_rule_its_fault_is_found(name: str, shown: Shown) -> None:
    found = explore(shown.part({name}), looked_for=lambda kind: kind == shown.breaks)
    print(f"{name}: {found.states} states")
    assert found.faults[shown.breaks].story


def test_every_trace_of_the_protocols_table_is_shown() -> None:
    assert {shown.trace for _, shown in SHOWN} - {0} == set(TRACES)


def test_every_rule_that_a_part_asks_for_is_in_the_table_and_the_other_way_round() -> None:
    asked = frozenset[str]().union(*(whole(part)[1] for part in BY_NAME))
    assert asked == set(RULES)
    assert len(BY_NAME) == len(PARTS)


def test_the_story_of_a_missing_rule_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--without", "rule7-the-incident-tells"]) == 0
    told = capsys.readouterr().out
    assert "1. the owner sends Release" in told
    assert "trace 14" in told


def test_the_list_names_every_rule(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    assert set(RULES) <= set(capsys.readouterr().out.split())


class Clock(Model[int]):
    """Hours of a clock that nobody stops."""

    NAME = "clock"
    HOURS = 12

    def start(self) -> int:
        return 12

    def moves(self, state: int) -> list[Move[int]]:
        stopped = [] if self.keeps("goes on") else [Move("it stops", 0, must=False)]
        return [Move("an hour passes", state % self.HOURS + 1), *stopped] if state else []

    def wrong(self, state: int) -> str:
        return "it is six" if state == 6 else ""

    def wrong_at_rest(self, state: int) -> str:
        return "it has stopped"


def test_an_exploration_finds_the_shortest_way_to_a_state() -> None:
    found = explore(Clock())
    assert (found.states, found.whole) == (12, True)
    assert found.faults["it is six"].story == ("an hour passes",) * 6


def test_an_exploration_finds_what_never_comes_to_rest() -> None:
    assert set(explore(Clock()).faults) == {"it is six", NO_REST}


def test_a_rest_that_only_chance_leads_to_does_not_end_what_must_go_on() -> None:
    assert {NO_REST, "it has stopped"} < set(explore(Clock(["goes on"])).faults)


def test_an_exploration_stops_at_its_limit_and_says_so() -> None:
    assert not explore(Clock(), most=3).whole
    assert not explore(Clock(), looked_for=lambda kind: kind == "it is six").whole
