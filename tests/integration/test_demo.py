"""`tenure demo`: every claim is checked, a false one is told, and nothing is left running."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.fixtures.system import marked

pytestmark = pytest.mark.timeout(240)

DEMO = "from tenure.cli import main; main()"
FALSE_CLAIM = """
import asyncio
from tenure.cli.output import Output
from tenure.demo.run import demonstrate
from tenure.demo.claims import claim
from tenure.demo.steps import Step
async def lie(stage):
    claim(False, "the moon is round")
raise SystemExit(asyncio.run(demonstrate(Output(True), [Step("say that the moon is flat", lie)])))
"""


@asynccontextmanager
async def running(tmp_path: Path, script: str = DEMO) -> AsyncIterator[Process]:
    """The demo with its folders in `tmp_path`; killed at the end when it does not end by itself."""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    demo = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, "demo", "--json", stdout=PIPE, env=environment
    )
    try:
        yield demo
    finally:
        if demo.returncode is None:
            demo.kill()
            await demo.communicate()


async def test_the_demo_shows_all_its_steps_and_leaves_only_the_evidence(tmp_path: Path) -> None:
    async with running(tmp_path) as demo:
        out, _ = await demo.communicate()
    lines = [json.loads(line) for line in out.splitlines()]
    assert demo.returncode == 0, lines
    done = lines[-1]
    assert [line["step"] for line in lines if line["event"] == "step"] == list(range(1, 10))
    reused = {row["step"]: row["reused_session"] for row in reversed(done["results"])}
    assert (reused[1], reused[2], reused[5]) == (False, True, False)
    assert done["left_running"] == 0
    assert marked(tmp_path) == []
    [picture] = (tmp_path / "tenure-demo-evidence").iterdir()
    assert picture.read_bytes().startswith((b"\xff\xd8\xff", b"\x89PNG"))
    assert list(tmp_path.iterdir()) == [picture.parent]
    facts = [row["facts"] for row in done["results"]]
    states = [fact["state"] for fact in facts if "state" in fact]
    assert states == ["SUSPECTED_STALE", "QUARANTINED", "INSPECTED", "MANUAL_REVIEW"]
    times = [fact["seconds_after_stop"] for fact in facts if "state" in fact]
    assert times == sorted(times)
    [evidence] = [fact for fact in facts if "screenshot" in fact]
    assert evidence["screenshot"] == str(picture)
    assert evidence["last_url"].endswith("/checkout")
    assert len([fact for fact in facts if "refused" in fact]) == 3
    outcomes = [fact["outcome"] for fact in facts if "outcome" in fact]
    assert outcomes == ["AVAILABLE", "RESUME_PENDING", "RETRY"]
    assert done["seconds"] < 90


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_demo_can_be_interrupted_and_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    async with running(tmp_path) as demo:
        assert demo.stdout is not None
        while json.loads(await demo.stdout.readline())["event"] != "step":
            pass
        demo.send_signal(number)
        out, _ = await demo.communicate()
    assert demo.returncode == 130
    assert json.loads(out.splitlines()[-1])["error"]["reason"] == "INTERRUPTED"
    assert marked(tmp_path) == []


async def test_a_claim_that_does_not_hold_fails_the_demo_and_says_which(tmp_path: Path) -> None:
    async with running(tmp_path, FALSE_CLAIM) as demo:
        out, _ = await demo.communicate()
    error = json.loads(out.splitlines()[-1])["error"]
    assert demo.returncode == 1
    assert error["message"].startswith("say that the moon is flat: the moon is round. The logs are in ")
    assert marked(tmp_path) == []
    assert list(tmp_path.glob("tenure-demo-*/logs/gateway.log"))
