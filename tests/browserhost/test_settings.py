from __future__ import annotations

import tempfile
from pathlib import Path

import tempfile
from pathlib import Path

import pytest

from browserhost.settings import BrowserHostSettings
from servicekit.settings import load

LONG = "/tmp/" + "x" * 60


def loaded(*flags: str) -> BrowserHostSettings:
    return load(BrowserHostSettings, ["--lockservice=127.0.0.1:1", *flags], {}, "browserhost")


def test_a_long_temporary_directory_of_the_machine_gives_way_to_a_short_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tempfile, "gettempdir", lambda: LONG)
    assert loaded().tmp_root == Path("/tmp")
    monkeypatch.setattr(tempfile, "gettempdir", lambda: "/var/tmp")
    assert loaded().tmp_root == Path("/var/tmp")


def test_a_temporary_directory_too_long_for_chrome_is_refused_at_the_start(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        loaded(f"--tmp-root={LONG}")
    assert "has 65 characters, and Chrome's sockets leave room for 56" in capsys.readouterr().err


def test_a_long_temporary_directory_of_the_machine_gives_way_to_a_short_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tempfile, "gettempdir", lambda: LONG)
    assert loaded().tmp_root == Path("/tmp")
    monkeypatch.setattr(tempfile, "gettempdir", lambda: "/var/tmp")
    assert loaded().tmp_root == Path("/var/tmp")


def test_a_temporary_directory_too_long_for_chrome_is_refused_at_the_start(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        loaded(f"--tmp-root={LONG}")
    assert "has 65 characters, and Chrome's sockets leave room for 56" in capsys.readouterr().err
