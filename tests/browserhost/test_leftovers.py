"""What a host and a keeper that were killed together left is found and ended, and nothing else is."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from browserhost import leftovers
from browserhost.leftovers import Leftovers

HOST, OTHER = "hosts/h-1", "hosts/h-2"


@pytest.fixture
def running() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def left_by(host: str, tmp_path: Path) -> Path:
    made = leftovers.directory(tmp_path, host)
    (made / "t").mkdir(parents=True)
    return made


def process(running: ExitStack, tmpdir: Path, *words: str) -> subprocess.Popen[bytes]:
    """One whose temporary files are in `tmpdir`, and whose arguments are `words`; it ends with its input."""
    script = "import sys; print(flush=True); sys.stdin.read()"
    started = running.enter_context(
        subprocess.Popen(
            [sys.executable, "-c", script, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "TMPDIR": str(tmpdir)},
        )
    )
    running.callback(started.kill)
    assert started.stdout is not None
    started.stdout.readline()
    return started


async def test_what_no_keeper_sees_to_is_ended_and_removed(tmp_path: Path, running: ExitStack) -> None:
    left = left_by(HOST, tmp_path)
    inside = [process(running, left), process(running, left / "t")]
    await leftovers.clear(leftovers.find(tmp_path, HOST, None))
    assert [each.wait(30) for each in inside] == [-9, -9]
    assert list(tmp_path.iterdir()) == []


async def test_a_living_keepers_browser_is_left_to_it(tmp_path: Path, running: ExitStack) -> None:
    kept = left_by(HOST, tmp_path)
    process(running, tmp_path, "keeper.py", str(kept))
    inside = process(running, kept)
    found = leftovers.find(tmp_path, HOST, None)
    assert found == Leftovers()
    await leftovers.clear(found)
    assert inside.poll() is None


async def test_another_hosts_are_its_own(tmp_path: Path, running: ExitStack) -> None:
    others, stranger = left_by(OTHER, tmp_path), tmp_path / "tenure-soak"
    stranger.mkdir()
    inside = process(running, others)
    assert leftovers.find(tmp_path, HOST, None) == Leftovers()
    assert leftovers.find(tmp_path, OTHER, None).directories == (others,)
    assert inside.poll() is None


async def test_a_chrome_that_ends_by_itself_is_not_killed(
    tmp_path: Path, running: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = left_by(HOST, tmp_path)
    chrome = process(running, left, "--user-data-dir=/p")
    xvfb = process(running, left)
    real, looks = leftovers._chrome_ends, iter(range(1, 1000))

    def look(left: Leftovers) -> bool:
        if next(looks) == 2:
            assert chrome.stdin is not None
            chrome.stdin.close()
            chrome.wait(30)
        return real(left)

    monkeypatch.setattr(leftovers, "_chrome_ends", look)
    await leftovers.clear(leftovers.find(tmp_path, HOST, None))
    assert (chrome.wait(30), xvfb.wait(30)) == (0, -9)


async def test_one_that_does_not_end_in_time_is(
    tmp_path: Path, running: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leftovers, "CLEAN_EXIT_S", 0.0)
    left = left_by(HOST, tmp_path)
    chrome = process(running, left, "--user-data-dir=/p")
    await leftovers.clear(leftovers.find(tmp_path, HOST, None))
    assert chrome.wait(30) == -9


async def test_only_the_main_process_is_waited_for(tmp_path: Path, running: ExitStack) -> None:
    left = left_by(HOST, tmp_path)
    renderer = process(running, left, "--user-data-dir=/p", "--type=renderer")
    found = leftovers.find(tmp_path, HOST, None)
    assert not leftovers._chrome_ends(found)
    await leftovers.clear(found)
    assert renderer.wait(30) == -9
