"""What browsers cost, told by this machine's own /proc of processes that the test starts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from browserhost import vitals

MB = 1 << 20
# Stands for a keeper: a parent that does nothing, with a child that takes memory, and a grandchild.
_KEEPER = f"""
import subprocess, sys
child = '''
import subprocess, sys
grandchild = subprocess.Popen(["sleep", "600"])
taken = bytearray({32 * MB})
print(grandchild.pid, flush=True)
sys.stdin.read()
grandchild.kill()
grandchild.wait()
'''
started = subprocess.Popen([sys.executable, "-c", child])
print(started.pid, flush=True)
started.wait()
"""


@pytest.fixture
def main_process() -> Iterator[int]:
    """The child of a keeper, and parent of one."""
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", _KEEPER], stdin=pipe, stdout=pipe) as keeper:
        assert keeper.stdout is not None
        child = int(keeper.stdout.readline())
        keeper.stdout.readline()  # it has taken its memory
        yield child
        assert keeper.stdin is not None
        keeper.stdin.close()
        keeper.wait(30)


def test_a_browsers_vitals_are_those_of_its_keepers_whole_tree(main_process: int) -> None:
    found = vitals.scan({"a": main_process})["a"]
    assert found.processes == 3
    assert 32 * MB < found.bytes < 100 * MB
    assert found.signs.main <= found.signs.all


def test_its_state_is_its_main_processs(main_process: int) -> None:
    os.kill(main_process, signal.SIGSTOP)
    try:
        # A stop is on its way: it is there when the next look finds it.
        while (found := vitals.scan({"a": main_process})["a"].signs).state != "T":
            continue
    finally:
        os.kill(main_process, signal.SIGCONT)
    assert found.state == "T"


def test_a_browser_whose_keeper_died_is_not_counted_with_its_host() -> None:
    """It is then the host's own child, and the host's other children are none of its."""
    with subprocess.Popen(["sleep", "600"]) as orphan, subprocess.Popen(["sleep", "600"]) as other:
        found = vitals.scan({"a": orphan.pid})
        orphan.kill()
        other.kill()
    assert found["a"].processes == 1


def test_what_has_ended_is_left_out() -> None:
    with subprocess.Popen(["true"]) as ended:
        pass
    assert vitals.scan({"a": ended.pid}) == {}
    assert vitals.scan({}) == {}


def test_without_memory_nothing_is_weighed(main_process: int) -> None:
    assert vitals.scan({"a": main_process}, memory=False)["a"].bytes == 0


def test_the_machine_has_memory_to_give() -> None:
    assert 0 < vitals.available() < os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def test_the_scene_tells_of_the_profiles_disk(tmp_path: Path) -> None:
    scene = vitals.scene(tmp_path)
    assert scene.free > 0
    assert scene.oom_kills >= 0
    assert vitals.scene(tmp_path / "gone").free > scene.free
