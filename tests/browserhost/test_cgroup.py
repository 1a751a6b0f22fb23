"""Control groups, on a directory that stands for the kernel's and on the kernel's own where it lets us."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from browserhost import cgroup


def test_it_is_not_had_where_it_is_not_wanted() -> None:
    assert cgroup.find("off", "h-1") is None


def test_a_directory_that_is_no_control_group_is_not_taken(tmp_path: Path) -> None:
    assert cgroup.find(str(tmp_path), "h-1") is None
    # Nor one of a kernel that cannot kill a group.
    (tmp_path / "cgroup.procs").touch()
    assert cgroup.find(str(tmp_path), "h-1") is None
    assert [each.name for each in tmp_path.iterdir()] == ["cgroup.procs"]


def test_nothing_is_left_of_a_group_that_is_not_there(tmp_path: Path) -> None:
    assert cgroup.end(tmp_path / "gone")
    assert cgroup.members(tmp_path / "gone") == []
    assert list(cgroup.groups(tmp_path / "gone")) == []


def test_a_group_that_cannot_be_removed_proves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cgroup, "_EMPTY_S", 0.0)
    (tmp_path / "group").mkdir()
    (tmp_path / "group" / "still-in-it").touch()
    assert not cgroup.end(tmp_path / "group")
    assert (tmp_path / "group" / "cgroup.kill").read_text() == "1"


def test_what_leaves_its_session_and_its_parent_does_not_leave_its_group() -> None:
    place = cgroup.find("auto", "h-of-a-test")
    if place is None:
        return  # this machine has no groups for us, which `tenure doctor` says
    try:
        group = place / "browser"
        group.mkdir()
        script = f"echo $$ > {group}/cgroup.procs; setsid sleep 600 & echo $!; exec setsid sleep 601"
        with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            escaped = int(child.stdout.readline())
            assert escaped in cgroup.members(group)
            assert list(cgroup.groups(place)) == [group]
            assert cgroup.end(group)
        assert not group.exists()
    finally:
        cgroup.end(place)
