"""What is started, with what, after what checks."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from browserhost import chrome
from browserhost.chrome import LaunchSpec
from browserhost.egress.geo import Geo
from browserhost.egress.upstream import Upstream
from tenure.errors import BrowserMissing, DiskFull

PROXY = "socks5://127.0.0.1:1080"
UPSTREAM = Upstream.parse("http://127.0.0.1:8")


@pytest.fixture
def spec(tmp_path: Path) -> LaunchSpec:
    return LaunchSpec(tmp_path, 9, "", None, Path("/tmp"), "chromium", "Xvfb", True, 1280, 800)


def test_a_browser_runs_on_its_profile_with_the_size_asked_for_and_starts_blank(spec: LaunchSpec) -> None:
    argv = chrome.arguments(spec, "/chrome", 1 << 40, PROXY)
    assert (argv[0], argv[-1]) == ("/chrome", "about:blank")
    assert {
        f"--user-data-dir={spec.profile_dir}",
        "--window-size=1280,800",
        "--remote-debugging-pipe",
    } <= set(argv)
    assert not [flag for flag in argv if flag.startswith(("--remote-debugging-port", "--headless"))]


@pytest.mark.parametrize(
    ("changes", "shm", "flag", "there"),
    [
        ({"sandbox": True}, 1 << 40, "--no-sandbox", False),
        ({"sandbox": False}, 1 << 40, "--no-sandbox", True),
        ({}, 1 << 40, "--disable-dev-shm-usage", False),
        ({}, 64 << 20, "--disable-dev-shm-usage", True),
        ({}, 1 << 40, f"--proxy-server={PROXY}", True),
        ({"upstream": UPSTREAM}, 1 << 40, f"--proxy-server={PROXY}", True),
        ({"upstream": UPSTREAM}, 1 << 40, "--proxy-server=http://127.0.0.1:8", False),
    ],
)
def test_a_flag_is_there_only_when_it_is_needed(
    spec: LaunchSpec, changes: dict[str, object], shm: int, flag: str, there: bool
) -> None:
    changed = dataclasses.replace(spec, **changes)  # type: ignore[arg-type]
    assert (flag in chrome.arguments(changed, "/chrome", shm, PROXY)) is there


def test_the_environment_has_no_settings_of_ours_and_no_other_display() -> None:
    inherited = {"PATH": "/bin", "TENURE_TOKEN": "secret", "DISPLAY": ":0", "XAUTHORITY": "/x", "DBUS_X": "y"}
    inherited |= {
        "GATE_PASSWORD": "secret",
        "http_proxy": "http://u:p@h:1",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }
    assert chrome.environment(inherited) == {
        "PATH": "/bin",
        "HOME": "/nonexistent",
        "DBUS_SESSION_BUS_ADDRESS": "disabled:",
    }


def test_zone_and_languages_are_in_the_environment_and_the_flags(spec: LaunchSpec) -> None:
    geo = Geo("Europe/Berlin", ("de-DE", "de"))
    assert chrome.environment({"TZ": "UTC"}, geo).items() >= {
        ("TZ", "Europe/Berlin"),
        ("LANGUAGE", "de_DE:de"),
    }
    argv = chrome.arguments(dataclasses.replace(spec, geo=geo), "/chrome", 1 << 40, PROXY)
    assert "--accept-lang=de-DE,de" in argv
    assert chrome.environment({"TZ": "UTC"})["TZ"] == "UTC"


def test_a_missing_program_is_named() -> None:
    with pytest.raises(BrowserMissing) as missing:
        chrome.chrome_path("no-such-program")
    assert missing.value.program == "no-such-program"


def test_debians_wrapper_is_passed_by(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrapper, behind = tmp_path / "wrapper", tmp_path / "real"
    for program in (wrapper, behind):
        program.touch(mode=0o755)
    monkeypatch.setattr(chrome, "_BEHIND_WRAPPER", {str(wrapper): behind})
    assert chrome.chrome_path(str(wrapper)) == str(behind)
    behind.unlink()
    assert chrome.chrome_path(str(wrapper)) == str(wrapper)


def test_a_disk_with_too_little_room_is_refused(spec: LaunchSpec) -> None:
    with pytest.raises(DiskFull) as full:
        chrome.make_ready(dataclasses.replace(spec, least_free=1 << 62))
    assert full.value.free_bytes > 0


def test_a_missing_profile_is_not_made(spec: LaunchSpec) -> None:
    missing = spec.profile_dir / "missing"
    with pytest.raises(FileNotFoundError):
        chrome.make_ready(dataclasses.replace(spec, profile_dir=missing))
    assert not missing.exists()


def test_only_the_port_file_is_taken_away(spec: LaunchSpec) -> None:
    for name in ("DevToolsActivePort", "SingletonLock", "Cookies"):
        (spec.profile_dir / name).touch()
    chrome.make_ready(spec)
    assert {each.name for each in spec.profile_dir.iterdir()} == {"SingletonLock", "Cookies"}


def test_a_temporary_directory_too_long_for_chromes_socket_is_refused(spec: LaunchSpec) -> None:
    with pytest.raises(ValueError, match="is longer than"):
        dataclasses.replace(spec, tmp_root=Path("/tmp") / ("x" * 60))
