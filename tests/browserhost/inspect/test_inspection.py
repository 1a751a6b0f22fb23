"""The verdict, the owners and the last URL."""

from __future__ import annotations

import fcntl
import socket
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from browserhost.inspect.last_url import from_session
from browserhost.inspect.profile import inspect
from browserhost.inspect.sqlite import MAGIC
from browserhost.inspect.verdict import Sight, Verdict, judge
from tenure.userdata import owner


@pytest.mark.parametrize(
    ("sight", "verdict"),
    [
        (Sight(present=False), Verdict.MISSING),
        (Sight(), Verdict.CLEAN),
        (Sight(unfinished=["u"]), Verdict.UNCLEAN_CONSISTENT),
        (Sight(unknown=["k"], unfinished=["u"]), Verdict.UNKNOWN),
        (Sight(damage=["d"], unknown=["k"], unfinished=["u"]), Verdict.CORRUPT),
        (Sight(owners=["o"], damage=["d"]), Verdict.LIVE),
    ],
)
def test_what_is_in_doubt_never_counts_for_the_better(sight: Sight, verdict: Verdict) -> None:
    found, findings = judge(sight)
    assert found is verdict
    assert bool(findings) is (verdict is not Verdict.CLEAN)


def test_a_directory_that_is_not_there_is_missing(tmp_path: Path) -> None:
    assert inspect(tmp_path / "none", tmp_path).verdict is Verdict.MISSING


def test_an_empty_one_is_never_clean(tmp_path: Path) -> None:
    (tmp_path / "profile").mkdir()
    assert inspect(tmp_path / "profile", tmp_path).verdict is Verdict.CORRUPT


def test_a_store_too_large_to_be_looked_at_makes_it_one_of_which_nothing_is_known(tmp_path: Path) -> None:
    default = tmp_path / "profile" / "Default"
    default.mkdir(parents=True)
    with closing(sqlite3.connect(default / "Cookies")) as connection:
        connection.execute("CREATE TABLE cookies (value)")
        connection.commit()
    (default / "large").write_bytes(MAGIC)
    with (default / "large").open("ab") as file:
        file.truncate(1 << 40)
    found = inspect(tmp_path / "profile", tmp_path / "scratch")
    assert found.verdict is Verdict.UNKNOWN
    assert any(finding.startswith("Default/large has ") for finding in found.findings)


@contextmanager
def another_process(code: str, *arguments: str) -> Iterator[int]:
    child = subprocess.Popen(
        [sys.executable, "-c", f"{code}\nprint('ready', flush=True)\ninput()", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None
    child.stdout.readline()
    yield child.pid
    child.communicate(b"\n")


def test_a_process_that_was_started_on_the_directory_owns_it(tmp_path: Path) -> None:
    with another_process("", f"--user-data-dir={tmp_path}") as pid:
        found = owner.owners(tmp_path)
        assert [(each.pid, each.how) for each in found] == [(pid, "runs on it")]
        assert found[0].start_ticks == owner.start_ticks(pid)
    assert owner.owners(tmp_path) == []
    assert owner.start_ticks(pid) is None


def test_a_command_line_written_anew_with_blanks_names_it_too(tmp_path: Path) -> None:
    """As Chrome's does."""
    profile = tmp_path / "profile"
    profile.mkdir()
    argument = f"--user-data-dir={profile} --remote-debugging-pipe"
    with another_process("", argument) as pid:
        assert [each.pid for each in owner.owners(profile)] == [pid]
        assert owner.owners(tmp_path) == []


def test_so_does_one_that_has_a_file_of_it_open(tmp_path: Path) -> None:
    (tmp_path / "Cookies").touch()
    with another_process(f"f = open({str(tmp_path / 'Cookies')!r})") as pid:
        assert [(each.pid, each.how) for each in owner.owners(tmp_path)] == [(pid, "has Cookies open")]


def test_and_one_that_has_a_lock_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it looks where other users' /proc/PID/fd cannot be read."""
    monkeypatch.setattr(owner, "_open_file", lambda pid, profile_dir: "")
    (tmp_path / "leveldb").mkdir()
    (tmp_path / "leveldb/LOCK").touch()
    code = f"import fcntl; f = open({str(tmp_path / 'leveldb/LOCK')!r}, 'r+'); fcntl.lockf(f, fcntl.LOCK_EX)"
    with another_process(code) as pid:
        assert [(each.pid, each.how) for each in owner.owners(tmp_path)] == [(pid, "locks LOCK")]


def test_asking_for_locks_takes_none(tmp_path: Path) -> None:
    (tmp_path / "LOCK").touch()
    with (tmp_path / "LOCK").open("r+") as held:
        owner.owners(tmp_path)
        fcntl.lockf(held, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize(
    ("target", "pid", "foreign"),
    [(f"{socket.gethostname()}-123", 123, False), ("else-where-7", 7, True), ("odd", 0, True)],
)
def test_the_singleton_link_is_read_though_it_dangles(
    tmp_path: Path, target: str, pid: int, foreign: bool
) -> None:
    (tmp_path / "SingletonLock").symlink_to(target)
    link = owner.singleton(tmp_path)
    assert link is not None
    assert (link.pid, link.foreign) == (pid, foreign)
    assert owner.singleton(tmp_path / "none") is None


def command(kind: int, payload: bytes) -> bytes:
    return struct.pack("<HB", len(payload) + 1, kind) + payload


def navigation(url: str) -> bytes:
    return command(
        6, struct.pack("<IiiI", 0, 1, 0, len(url)) + url.encode().ljust(-(-len(url) // 4) * 4, b"\0")
    )


def test_the_last_navigation_of_a_session_file_counts() -> None:
    content = (
        b"SNSS\x03\0\0\0" + navigation("https://a.test/") + command(7, b"x") + navigation("https://b.test/")
    )
    assert from_session(content) == "https://b.test/"
    assert from_session(content[:-1]) == "https://a.test/"


@pytest.mark.parametrize("content", [b"", b"SNSS", b"nonsense" * 9, b"SNSS\x03\0\0\0" + command(6, b"x")])
def test_a_session_file_that_says_nothing_gives_nothing(content: bytes) -> None:
    assert from_session(content) == ""
