"""What a machine must have: decided from what is found, never from what this machine happens to have."""

import subprocess
import sys
from pathlib import Path

import pytest

from tenure import machine
from tenure.machine import CHROME, ETCD, FLOCK, NEEDS, SETPRIV, VENV, Need

SOURCE = Path(machine.__file__)


def has(*commands: str) -> machine.Locate:
    return lambda name: f"/usr/bin/{name}" if name in commands else None


def test_a_need_is_met_by_any_of_its_commands() -> None:
    assert CHROME.path(has("google-chrome")) == "/usr/bin/google-chrome"


def test_the_first_command_that_is_found_wins() -> None:
    assert CHROME.path(has("google-chrome", "chromium")) == "/usr/bin/chromium"


def test_a_need_without_any_of_its_commands_is_missing() -> None:
    assert machine.missing([CHROME, ETCD], has("etcd")) == [CHROME]


def test_a_module_is_looked_for_among_modules_not_commands() -> None:
    assert VENV.path(has("ensurepip"), has()) is None
    assert VENV.path(has(), has("ensurepip")) == "/usr/bin/ensurepip"


def test_an_absent_module_has_no_origin() -> None:
    assert Need("nothing", "is for this test", module="no_such_module_anywhere").path() is None


def test_a_library_is_met_where_the_loader_finds_it() -> None:
    assert Need("libc6", "is for this test", library="libc.so.6").path(has()) == "libc.so.6"
    assert Need("nothing", "is for this test", library="libno-such.so.0").path(has()) is None


def test_a_package_that_brings_two_needs_is_named_once() -> None:
    assert machine.packages([SETPRIV, ETCD, FLOCK]) == ["util-linux", "etcd-server"]


def test_where_nothing_is_missing_there_is_no_remedy() -> None:
    assert machine.remedy([], apt=True) == ""


def test_a_debian_is_told_one_command() -> None:
    assert (
        machine.remedy([ETCD, CHROME], apt=True)
        == "sudo apt-get install --no-install-recommends etcd-server chromium"
    )


def test_any_other_machine_is_told_each_command_it_lacks() -> None:
    advice = machine.remedy([ETCD, CHROME], apt=False)
    assert "  etcd   (Debian: etcd-server)" in advice
    assert "  chromium or chromium-browser or google-chrome-stable or google-chrome " in advice


@pytest.mark.parametrize("version", [(3, 11, 0), (3, 13, 1), (4, 0, 0)])
def test_a_new_enough_python_is_no_problem(version: tuple[int, ...]) -> None:
    assert machine.python_problem(version) is None


def test_an_old_python_is_named_with_what_is_needed() -> None:
    assert machine.python_problem((3, 9, 2)) == (
        "Python 3.11 or newer is needed, python3 is 3.9: put a newer python3 first on PATH"
    )


def test_every_need_says_what_it_is_for_and_how_it_is_found() -> None:
    for need in NEEDS:
        assert need.package, need
        assert need.why, need
        assert [bool(need.commands), bool(need.module), bool(need.library)].count(True) == 1, need


def test_it_runs_alone_before_anything_is_installed() -> None:
    command = [sys.executable, "-I", "-S", str(SOURCE), "--packages"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, env={"PATH": "/nowhere"})
    assert answer.stdout.split() == machine.packages([need for need in NEEDS if need.commands])
    assert answer.stderr == ""


def test_without_arguments_it_shows_what_is_missing_and_fails() -> None:
    command = [sys.executable, "-I", "-S", str(SOURCE)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": "/nowhere"})
    assert answer.returncode == 1
    assert "MISSING" in answer.stdout
    assert "Debian: etcd-server" in answer.stdout
