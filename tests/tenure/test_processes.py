from __future__ import annotations

import os
import subprocess
from dataclasses import astuple, replace

from tenure.processes import Process, below, parse_stat, table


def process(pid: int, parent: int, state: str = "S") -> Process:
    return Process(pid, parent, state, f"p{pid}", 0)


def test_a_name_with_spaces_and_parentheses_does_not_shift_the_fields() -> None:
    numbers = " ".join(str(n) for n in range(5, 53))
    parsed = parse_stat(f"17 (a) b (c)) Z 4 {numbers}")
    assert astuple(parsed) == (17, 4, "Z", "a) b (c)", 22)
    assert not parsed.runs


def test_a_process_is_the_same_one_whether_it_runs_or_sleeps_and_another_with_its_pid_is_not() -> None:
    found = process(5, 4)
    assert replace(found, state="R", name="renamed", parent=1) == found
    assert replace(found, start=1) != found


def test_descendants_come_parents_first_and_strangers_not_at_all() -> None:
    processes = [process(5, 4), process(4, 2), process(2, 1), process(3, 1), process(6, 2)]
    assert [each.pid for each in below(2, processes)] == [4, 6, 5]


def test_the_table_has_this_process_and_its_child() -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        try:
            [found] = [each for each in below(os.getpid(), table()) if each.pid == child.pid]
            assert (found.parent, found.name, found.runs) == (os.getpid(), "sleep", True)
        finally:
            child.kill()
