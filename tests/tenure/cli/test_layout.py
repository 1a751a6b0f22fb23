from __future__ import annotations

import json
import shlex
import subprocess
from datetime import UTC, datetime, timedelta

import pytest

from tenure.cli.layout import clock, distance, folded

NOW = datetime(2026, 11, 22, 5, 0, tzinfo=UTC)
BODY = {
    "incident": "tenants/default/profiles/alice_linkedin/incidents/41",
    "etag": "50",
    "reason": 'it\'s $HOME; "quoted"',
    "proxy": {"city": "miami", "state": "fl"},
    "attestDestroyed": True,
}
LINE = (
    f"grpcurl -plaintext -d {shlex.quote(json.dumps(BODY))} "
    "127.0.0.1:7433 tenure.v1.IncidentService/ResolveIncident"
)


def pasted(lines: str) -> list[str]:
    """The words that a shell makes of it."""
    script = f"words() {{ printf '%s\\0' \"$@\"; }}; words {lines}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    return done.stdout.removesuffix("\0").split("\0")


def test_a_folded_command_is_still_the_same_command() -> None:
    lines = folded(LINE)
    assert all(len(line) <= 80 for line in lines.splitlines())
    *before, body, address, method = pasted(lines)
    assert before == ["grpcurl", "-plaintext", "-d"]
    assert json.loads(body) == BODY
    assert (address, method) == ("127.0.0.1:7433", "tenure.v1.IncidentService/ResolveIncident")


def test_a_short_command_is_one_line() -> None:
    assert folded("tenure why alice:linkedin") == "    tenure why alice:linkedin"


def test_a_word_that_is_too_long_has_a_line_of_its_own() -> None:
    name = "x" * 120
    lines = folded(f"tenure review show {name} --json")
    assert len(lines.splitlines()) == 3
    assert pasted(lines) == ["tenure", "review", "show", name, "--json"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-3, "3 s ago"), (12, "in 12 s"), (-119, "119 s ago"), (180, "in 3 min"), (7200, "in 2 h")],
)
def test_a_distance_is_told_in_the_unit_that_fits(seconds: int, text: str) -> None:
    assert distance(NOW + timedelta(seconds=seconds), NOW) == text


def test_a_clock_names_the_day_when_it_is_another() -> None:
    assert clock(NOW, NOW) == "05:00:00Z"
    assert clock(NOW - timedelta(days=1), NOW) == "2026-11-21 05:00:00Z"
