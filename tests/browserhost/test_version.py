"""Which Chrome wrote a profile, which is installed, and whether that one may start on it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from browserhost import version
from browserhost.version import Installed
from tenure.errors import BrowserMissing, BrowserOutdated
from tests.browserhost.fakes import Machine


@pytest.mark.parametrize(
    ("installed", "wrote", "older"),
    [
        # As text "99" comes after "156".
        ("99.0.4844.51", "156.0.7700.1", True),
        ("156.0.7700.1", "99.0.4844.51", False),
        ("156.0.7700.1", "156.0.7700.1", False),
        ("156.0.7700.9", "156.0.7700.10", True),
        ("157.0.1.0", "156.9.9.9", False),
        ("99", "156", True),
        ("", "156.0.1.1", False),
        ("156.0.1.1", "", False),
        ("unknown", "156.0.1.1", False),
    ],
)
def test_versions_are_compared_as_numbers(installed: str, wrote: str, older: bool) -> None:
    assert version.is_older(installed, wrote) is older


def test_the_last_version_is_what_chrome_wrote(tmp_path: Path) -> None:
    assert version.last(tmp_path) == ""
    (tmp_path / "Last Version").write_text("156.0.7700.1\n")
    assert version.last(tmp_path) == "156.0.7700.1"
    (tmp_path / "Last Version").write_bytes(b"\xff\xfe")
    assert version.last(tmp_path) == ""


def program(path: Path, says: str) -> str:
    """A browser that notes that it was asked for its version."""
    path.write_text(f"#!/bin/sh\necho asked >> {path}.log\necho '{says}'\n")
    path.chmod(0o755)
    return str(path)


def asked(path: Path) -> int:
    return len(Path(f"{path}.log").read_text().splitlines())


async def test_a_program_is_asked_once_and_again_when_it_was_exchanged(tmp_path: Path) -> None:
    path, installed = tmp_path / "chrome", Installed()
    chrome = program(path, "Chromium 156.0.7700.1 built on Debian")
    assert await installed.version(chrome) == "156.0.7700.1"
    assert await installed.version(chrome) == "156.0.7700.1"
    assert asked(path) == 1
    program(path, "Chromium 157.0.1.2")
    os.utime(path, (1, 1))
    assert await installed.version(chrome) == "157.0.1.2"


async def test_what_says_no_version_has_none_and_what_is_not_there_is_missing(tmp_path: Path) -> None:
    assert await Installed().version(program(tmp_path / "chrome", "hello")) == ""
    with pytest.raises(BrowserMissing):
        await Installed().version(str(tmp_path / "none"))


async def test_an_older_chrome_is_not_started_on_a_newer_profile(
    tmp_path: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However clean its last end was."""
    chrome = program(tmp_path / "chrome", "Chromium 99.0.1")
    monkeypatch.setattr("browserhost.version.chrome.chrome_path", lambda _: chrome)
    await machine.open(41)
    place = machine.browser().spec.profile_dir
    (place / "Last Version").write_text("156.0.7700.1")
    # A browser that runs already is of the version that wrote it.
    await machine.profile().close_hold(41)
    assert (await machine.open(42)).reused
    await machine.profile().shut_down(42)
    with pytest.raises(BrowserOutdated) as refused:
        await machine.open(43)
    assert (refused.value.last_version, refused.value.version) == ("156.0.7700.1", "99.0.1")
    assert len(machine.chrome.launched) == 1
    assert not machine.is_locked()
    program(tmp_path / "chrome", "Chromium 156.0.7700.1")
    os.utime(tmp_path / "chrome", (1, 1))
    assert not (await machine.open(43)).reused
