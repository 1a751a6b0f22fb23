"""What a report says of its goals."""

import json
from pathlib import Path

import pytest

from tests.bench import report


@pytest.mark.parametrize(
    ("bounds", "goal", "met"),
    [
        ({"at_least": 2.0}, "≥ 2", True),
        ({"at_least": 2.1}, "≥ 2.1", False),
        ({"at_most": 2.0}, "≤ 2", True),
        ({"at_most": 1.9}, "≤ 1.9", False),
        ({}, "", None),
    ],
)
def test_a_goal_is_of_the_ratio_of_the_medians(bounds: dict[str, float], goal: str, met: bool | None) -> None:
    figure = report.paired("pairs", [10.0, 20.0, 90.0], [1.0, 10.0, 11.0], "1/s", **bounds)
    assert (figure.value, figure.baseline, figure.ratio) == (20.0, 10.0, 2.0)
    assert (figure.goal, figure.met) == (goal, met)


def test_a_figure_of_its_own_meets_its_goal_up_to_just_that() -> None:
    assert report.against_goal("p95", 5.0, 5.0, "ms", 1).met is True
    assert report.against_goal("p95", 5.1, 5.0, "ms", 1).met is False


def test_the_written_report_says_which_goals_were_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(report, "DIRECTORY", tmp_path)
    path = report.write("suite", [report.paired("slow", [1.0], [1.0], at_least=5.0)])
    (line,) = json.loads(path.read_text())
    assert line == {
        "name": "slow",
        "value": 1.0,
        "baseline": 1.0,
        "ratio": 1.0,
        "unit": "ms",
        "n": 1,
        "goal": "≥ 5",
        "met": False,
    }
    assert "missed" in capsys.readouterr().out
