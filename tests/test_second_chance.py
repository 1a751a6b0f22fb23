"""What fails in some folders is run once more: in a run as `make test` makes it, of other tests."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

# Each counts its runs in a file, so that it can fail the first time only.
TESTS = """
import asyncio, pathlib, pytest, pytest_asyncio

def runs(name):
    path = pathlib.Path(__file__).with_name(f"{name}.runs")
    number = int(path.read_text()) + 1 if path.exists() else 1
    path.write_text(str(number))
    return number

@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared():
    made = runs("shared")
    loop = asyncio.get_running_loop()
    yield loop
    assert asyncio.get_running_loop() is loop
    assert runs("shared_ended") == made, "ended before the next is made"

@pytest.fixture
async def own():
    yield
    runs("own_ended")

pytestmark = pytest.mark.asyncio(loop_scope="module")

async def test_before(shared): assert asyncio.get_running_loop() is shared
async def test_once(shared, tmp_path, own):
    (tmp_path / "new").mkdir()
    assert runs("once") == 2, "bad luck"
async def test_between(shared): assert asyncio.get_running_loop() is shared
@pytest.mark.timeout(5)
async def test_hangs_once(shared):
    if runs("hangs_once") == 1:
        await asyncio.Event().wait()
@pytest.fixture
async def late():
    assert runs("late") == 2, "it came too late"
async def test_of_a_fixture_that_fails_once(shared, late): pass
@pytest.mark.flaky(reruns=0)
async def test_wants_none(shared): assert runs("wants_none") == 2
async def test_last(shared): assert runs("last") == 2, "bad luck again"
"""
ALWAYS = """
import asyncio, pytest
def test_always(): assert False, "every time"
@pytest.mark.timeout(5)
async def test_hangs(): await asyncio.Event().wait()
"""
ENDS = """
import threading
@pytest.fixture(scope="module")
def other():
    yield
    runs("other_ended")

@pytest.fixture(scope="module")
def broken(other):
    made = runs("broken")
    yield
    assert made == 2, "it does not end well"

@pytest.fixture(scope="module")
def wedged():
    yield
    if runs("wedged_ended") == 1:
        threading.Event().wait(60)

def test_of_a_broken_scene(broken): assert runs("of_broken") == 2
@pytest.mark.timeout(5)
def test_of_a_wedged_scene(wedged): assert runs("of_wedged") == 2
"""
FINDINGS = """
import pytest
pytestmark = pytest.mark.flaky(reruns=0)
def test_finds(): assert False, "found"
"""
# Ours without its fixtures: which tests go side by side.
CONFTEST = f"""
import importlib.util
spec = importlib.util.spec_from_file_location("ours", {str(ROOT / "tests/conftest.py")!r})
ours = importlib.util.module_from_spec(spec)
spec.loader.exec_module(ours)
pytest_xdist_make_scheduler = ours.pytest_xdist_make_scheduler
"""


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    conftest = folder / "tests" / "conftest.py"
    conftest.parent.mkdir(exist_ok=True)
    conftest.write_text(CONFTEST)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "second_chance", *options]
    env = {**os.environ, "PYTHONPATH": str(ROOT / "tests/fixtures")}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


def put(folder: Path, where: str, content: str) -> None:
    path = folder / "tests" / where
    path.parent.mkdir(parents=True)
    path.write_text(content)


def test_what_fails_once_passes_and_what_fails_twice_fails_the_run(tmp_path: Path) -> None:
    put(tmp_path, "integration/test_some.py", TESTS)
    put(tmp_path, "chaos/test_always.py", ALWAYS)
    (tmp_path / "tests/chaos/test_findings.py").write_text(FINDINGS)
    put(tmp_path, "gateway/test_pure.py", "def test_pure(): assert False, 'no second chance'")
    done = run(tmp_path, "-n", "2", "--second-chance")
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search(r"=+ 5 failed, 6 passed, 6 rerun in", done.stdout), done.stdout
    failed = set(re.findall(r"^FAILED tests/\S+::(\w+)", done.stdout, re.MULTILINE))
    assert failed == {"test_always", "test_hangs", "test_wants_none", "test_finds", "test_pure"}
    again = set(re.findall(r"^RERUN tests/\S+::(\w+)", done.stdout, re.MULTILINE))
    assert again == {
        *("test_once", "test_hangs_once", "test_of_a_fixture_that_fails_once", "test_last"),
        *("test_always", "test_hangs"),
    }
    assert "AssertionError: bad luck\n" in done.stdout
    counted = {path.stem: path.read_text() for path in (tmp_path / "tests/integration").glob("*.runs")}
    assert counted == {
        **dict.fromkeys(("shared", "shared_ended"), "5"),  # anew for each second chance
        **dict.fromkeys(("once", "own_ended", "hangs_once", "late", "last"), "2"),
        "wants_none": "1",
    }


def test_a_scene_that_fails_to_end_takes_no_second_chance_away_and_one_that_hangs_is_bounded(
    tmp_path: Path,
) -> None:
    helper, _, _ = TESTS.partition("@pytest_asyncio")
    put(tmp_path, "integration/test_some.py", helper + ENDS)
    done = run(tmp_path, "-n", "0", "--second-chance", "-rP")
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search(r"=+ 1 passed, 1 error, 2 rerun in", done.stdout), done.stdout
    told = done.stdout.partition("= PASSES =")[2]
    assert "Captured scene's end setup" in told
    assert "AssertionError: it does not end well\n" in told
    assert "ERROR at setup of test_of_a_wedged_scene" in done.stdout
    assert "Timeout (>5.0s) from pytest-timeout" in done.stdout
    counted = {path.stem: path.read_text() for path in (tmp_path / "tests/integration").glob("*.runs")}
    assert counted == {
        **dict.fromkeys(("broken", "of_broken", "other_ended"), "2"),
        **dict.fromkeys(("wedged_ended", "of_wedged"), "1"),
    }


def test_a_run_that_needs_much_luck_fails(tmp_path: Path) -> None:
    tests = (f"def test_{number}(): assert runs('{number}') == 2" for number in range(10))
    helper, _, _ = TESTS.partition("@pytest_asyncio")
    put(tmp_path, "integration/test_some.py", helper + "\n".join(tests))
    done = run(tmp_path, "-n", "0", "--second-chance")
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search(r"=+ 2 failed, 8 passed, 8 rerun in", done.stdout), done.stdout


def test_without_the_option_every_failure_shows(tmp_path: Path) -> None:
    put(tmp_path, "integration/test_some.py", TESTS)
    done = run(tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search(r"=+ 4 failed, 2 passed, 1 error in", done.stdout), done.stdout
