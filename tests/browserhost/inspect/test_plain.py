"""What a profile's owner may have put into it is never followed, waited for or read without end."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from browserhost import version
from browserhost.inspect import cookies, leveldb, plain, sqlite
from browserhost.inspect.last_url import last_url
from browserhost.inspect.profile import inspect
from browserhost.inspect.verdict import Verdict
from tests.fixtures.sound import sound

_TRAPS = ("pipe", "link", "device", "folder")


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    sound(tmp_path / "profile")
    return tmp_path / "profile"


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    (tmp_path / "scratch").mkdir()
    return tmp_path / "scratch"


def spring(trap: str, path: Path) -> None:
    """Put something in a file's place. A reader of the pipe would wait, one of the device would never end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    before = path.read_bytes() if path.exists() else b"156.0.7700.1"
    path.unlink(missing_ok=True)
    if trap == "pipe":
        os.mkfifo(path)
    elif trap == "link":
        path.with_name("elsewhere").write_bytes(before)
        path.symlink_to("elsewhere")
    elif trap == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()


@pytest.mark.parametrize("trap", _TRAPS)
@pytest.mark.parametrize("name", ["Default/Preferences", "Variations"])
def test_a_trap_in_place_of_a_file_is_damage(profile: Path, scratch: Path, trap: str, name: str) -> None:
    assert inspect(profile, scratch).verdict is Verdict.CLEAN
    spring(trap, profile / name)
    found = inspect(profile, scratch)
    assert found.verdict is Verdict.CORRUPT
    assert any(f"{Path(name).name} is no regular file" in each for each in found.findings)


@pytest.mark.parametrize("trap", _TRAPS)
def test_a_trap_in_place_of_a_database_is_damage(profile: Path, scratch: Path, trap: str) -> None:
    spring(trap, profile / "Default/Cookies")
    assert inspect(profile, scratch).verdict is Verdict.CORRUPT
    assert cookies.count(profile, scratch) == cookies.Counted()


@pytest.mark.parametrize("trap", _TRAPS)
@pytest.mark.parametrize("suffix", ["-journal", "-wal"])
def test_a_trap_beside_a_database_is_damage(profile: Path, scratch: Path, trap: str, suffix: str) -> None:
    spring(trap, profile / f"Default/Cookies{suffix}")
    assert sqlite.check(profile / "Default/Cookies", scratch).problem == f"Cookies{suffix} is no regular file"


@pytest.mark.parametrize("trap", _TRAPS)
@pytest.mark.parametrize("name", ["CURRENT", "MANIFEST-000001", "000003.log"])
def test_a_trap_in_a_leveldb_is_damage(tmp_path: Path, trap: str, name: str) -> None:
    (tmp_path / "CURRENT").write_text("MANIFEST-000001\n")
    # One record: an edit that says that the oldest log is number 0.
    edit = b"\x02\x00"
    crc = leveldb.crc32c(b"\x01" + edit)
    masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
    (tmp_path / "MANIFEST-000001").write_bytes(masked.to_bytes(4, "little") + b"\x02\x00\x01" + edit)
    (tmp_path / "000003.log").touch()
    assert leveldb.check(tmp_path) == ""
    spring(trap, tmp_path / name)
    assert leveldb.check(tmp_path) == f"{name} is no regular file"


@pytest.mark.parametrize("trap", _TRAPS)
def test_a_trap_among_sessions_and_any_other_file_is_passed_over(
    profile: Path, scratch: Path, trap: str
) -> None:
    spring(trap, profile / "Default/Sessions/Session_1")
    spring(trap, profile / "Default/whatever")
    assert last_url(profile / "Default", scratch) == ""
    assert inspect(profile, scratch).verdict is Verdict.CLEAN


@pytest.mark.parametrize("trap", _TRAPS)
def test_a_trap_in_place_of_the_version_tells_none(tmp_path: Path, trap: str) -> None:
    spring(trap, tmp_path / "Last Version")
    assert version.last(tmp_path) == ""


@pytest.mark.parametrize("name", ["Default", "Default/Network", "Default/Sessions"])
def test_a_folder_that_is_a_link_is_not_gone_into(
    profile: Path, scratch: Path, tmp_path: Path, name: str
) -> None:
    folder = profile / name
    folder.mkdir(exist_ok=True)
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    found = inspect(profile, scratch)
    assert (found.verdict, found.cookies) == (Verdict.UNKNOWN, None)
    assert f"{name} is a link" in found.findings


def test_a_file_without_end_is_not_read_whole(tmp_path: Path) -> None:
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(plain.NotPlain):
        plain.read(tmp_path / "huge", 1 << 16)
