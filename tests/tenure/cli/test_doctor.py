"""How the doctor has a host's proxies file looked at."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tenure.cli import doctor


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "proxies.toml"
    path.write_text('["miami__fl"]\nurl = "http://gate.test:8080"\n')
    path.chmod(0o600)
    return path


def python(folder: Path, monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    """Have a script in place of this Python."""
    script = folder / "python"
    script.write_text("\n".join(("#!/bin/sh", *lines)))
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))


def test_no_code_of_the_folder_it_is_run_in_is_run(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "browserhost" / "egress"
    package.mkdir(parents=True)
    for module in (package.parent / "__init__.py", package / "__init__.py", package / "looking.py"):
        module.write_text("raise SystemExit('somebody else')")
    monkeypatch.chdir(tmp_path)
    assert doctor.proxies(file) == []


def test_who_lacks_the_hosts_code_is_sent_to_the_host(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python(tmp_path, monkeypatch, "echo \"ModuleNotFoundError: No module named 'x'\" >&2", "exit 1")
    [problem] = doctor.proxies(file)
    assert "code is not here" in problem["what"]
    assert problem["remedy"] == "run this on the host"


@pytest.mark.parametrize(
    ("line", "said"), [("echo first >&2; echo 'ImportError: why' >&2", "ImportError: why"), ("", "status 3")]
)
def test_what_else_fails_is_told_as_it_is(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch, line: str, said: str
) -> None:
    python(tmp_path, monkeypatch, line, "exit 3")
    [problem] = doctor.proxies(file)
    assert problem["what"].endswith(said)
    assert "code is not here" not in problem["what"]


def test_a_file_that_is_not_read_in_time_is_told_of(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "_LOOK_S", 0.1)
    python(tmp_path, monkeypatch, "exec sleep 600")
    [problem] = doctor.proxies(file)
    assert "not read within 0.1 s" in problem["what"]
