"""What a person is told of a proxies file before a host is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from browserhost.egress.looking import look

SECRET = "hunter2"


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text(SECRET)
    path.chmod(0o600)
    return path


def written(folder: Path, *lines: str, mode: int = 0o640) -> Path:
    path = folder / "proxies.toml"
    path.write_text("\n".join(('["miami__fl"]', 'url = "http://gate.test:8080"', *lines)))
    path.chmod(mode)
    return path


def test_a_file_that_is_as_it_should_be_has_no_problem(tmp_path: Path, secret: Path) -> None:
    lines = ('user = "customer-{city}"', f'password_file = "{secret}"')
    assert look(written(tmp_path, *lines)) == []


@pytest.mark.parametrize(
    ("lines", "said", "remedy"),
    [
        (['password = "hunter2"'], "password is not kept here", "as docs/operations.md has it"),
        (['url = "x"'], "is no TOML", "as docs/operations.md has it"),
        (['user = "u"', 'password_file = "/nowhere"'], "its password: a secret", "write it there"),
        (['user = "u"', 'password_env = "NOT_THERE"'], "environment NOT_THERE", "set it where the host is"),
        (['user = "u"', 'password_file = "/dev"'], "/dev: is a directory", "name a file"),
        (['user = "u"', 'password_file = "/dev/null"'], "/dev/null: not a regular file", "name a file"),
        (['ca_file = "/nowhere"'], "ca_file '/nowhere' cannot be read", "name the file that is there"),
        (['ca_file = "/dev"'], "ca_file '/dev' cannot be read", "name a file"),
    ],
)
def test_what_no_proxy_can_be_had_from_is_said_with_what_to_do(
    tmp_path: Path, lines: list[str], said: str, remedy: str
) -> None:
    [problem] = look(written(tmp_path, *lines))
    assert said in problem.what
    assert remedy in problem.remedy
    assert SECRET not in repr(problem)


def test_a_file_that_is_not_there_or_says_nothing_is_named(tmp_path: Path) -> None:
    empty = tmp_path / "empty.toml"
    empty.touch(mode=0o600)
    for path, said in ((tmp_path / "none.toml", "no such file"), (empty, "has no upstream")):
        [problem] = look(path)
        assert said in problem.what
        assert str(path) in problem.what


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, said, remedy in (
        ("pipe", "not a regular file", "name a file"),
        (".", "is a directory", "name a file"),
        ("none.toml", "no such file", "name the file that is there"),
    ):
        [problem] = look(tmp_path / name)
        assert said in problem.what
        assert problem.remedy == remedy
    [problem] = look(written(tmp_path, 'user = "u"', f'password_file = "{tmp_path / "pipe"}"'))
    assert "pipe: not a regular file" in problem.what


@pytest.mark.parametrize(("mode", "may"), [(0o644, "read"), (0o666, "written"), (0o660, "written")])
def test_what_others_may_read_or_write_is_said_of_the_file_and_of_its_secrets(
    tmp_path: Path, secret: Path, mode: int, may: str
) -> None:
    secret.chmod(mode)
    lines = ('user = "u"', f'password_file = "{secret}"')
    problems = look(written(tmp_path, *lines, mode=mode))
    assert [each.remedy for each in problems] == [
        f"chmod 640 '{tmp_path / 'proxies.toml'}'",
        f"chmod 640 '{secret}'",
    ]
    assert all(f"may be {may} by others ({mode:04o})" in each.what for each in problems)


def test_it_is_told_as_json(tmp_path: Path) -> None:
    path = written(tmp_path, 'user = "u"', 'password_env = "GATE"')
    for environ, count in (({}, 1), ({"GATE": SECRET}, 0)):
        done = subprocess.run(
            [sys.executable, "-m", "browserhost.egress.looking", str(path)],
            env={**os.environ, **environ},
            capture_output=True,
            text=True,
            check=True,
        )
        assert len(json.loads(done.stdout)) == count
        assert SECRET not in done.stdout
