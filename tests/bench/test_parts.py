"""A suite whose parts fail, or are cut short."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.bench import report
from tests.bench.parts import Measured, measured


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "DIRECTORY", tmp_path)


def written(directory: Path) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = json.loads((directory / "suite.json").read_text())
    return lines


async def fast() -> Measured:
    return [report.against_goal("fast", 1.0, 2.0, "ms", 1)], ["it was fast"]


async def broken() -> Measured:
    raise TimeoutError("its workers are not up")


async def test_a_part_that_fails_is_named_and_the_others_are_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not await measured("suite", {"first": fast, "broken": broken, "last": fast})
    *figures, failure = written(tmp_path)
    assert [each["name"] for each in figures] == ["fast", "fast"]
    assert failure == {"name": "broken", "failed": "TimeoutError: its workers are not up"}
    said = capsys.readouterr().out
    assert "FAILED, broken: TimeoutError: its workers are not up" in said
    assert "it was fast" in said


async def test_a_run_that_is_cut_short_leaves_what_it_has(tmp_path: Path) -> None:
    hanging = asyncio.Event()

    async def hangs() -> Measured:
        hanging.set()
        await asyncio.Event().wait()
        raise AssertionError

    running = asyncio.create_task(measured("suite", {"first": fast, "second": hangs}))
    await hanging.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    (figure,) = written(tmp_path)
    assert figure["name"] == "fast"


async def test_all_parts_may_go_well(tmp_path: Path) -> None:
    assert await measured("suite", {"first": fast})
    assert len(written(tmp_path)) == 1
