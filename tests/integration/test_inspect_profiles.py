"""Inspection of profiles that a real Chrome made, left behind, and lost parts of."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp.test_utils
import pytest
from aiohttp import web

from browserhost import lock
from browserhost.browser import Browser, LaunchSpec
from browserhost.inspect.profile import inspect
from browserhost.inspect.verdict import Inspection, Verdict

COOKIES = 153
LOCAL_STORAGE = "Default/Local Storage/leveldb"


@dataclass(frozen=True)
class Made:
    """What one browser left: a copy from after its kill, the directory after a clean end."""

    url: str
    live: Inspection
    killed: Path
    closed: Path


async def _launch(root: Path, profile: Path) -> Browser:
    descriptor = await lock.wait_for_lock(root / "lock", timeout=30)
    assert descriptor is not None
    try:
        return await Browser.launch(
            LaunchSpec(
                profile_dir=profile,
                lock_fd=descriptor,
                proxy_key="",
                upstream=None,
                tmp_root=root,
                chrome="chromium",
                xvfb="Xvfb",
                sandbox=os.geteuid() != 0,
                width=800,
                height=600,
            )
        )
    finally:
        os.close(descriptor)


async def _make(root: Path) -> Made:
    async with aiohttp.test_utils.TestServer(web.Application()) as site:
        return await _browse(root, str(site.make_url("/last")))


async def _browse(root: Path, url: str) -> Made:
    profile = root / "profile"
    profile.mkdir()
    browser = await _launch(root, profile)
    await browser.open("about:blank")
    live = inspect(profile, root)
    cookies = [
        {"name": f"c{i}", "value": "v", "domain": "a.test", "path": "/", "expires": time.time() + 86400}
        for i in range(COOKIES)
    ]
    await browser.mux.root.call("Storage.setCookies", {"cookies": cookies})
    await browser.flush()
    os.kill(browser.pid, signal.SIGKILL)
    await browser.ended
    killed = root / "killed"
    shutil.copytree(profile, killed, symlinks=True)
    again = await _launch(root, profile)
    await again.open(url)
    assert (await again.close()).clean
    return Made(url, live, killed, profile)


@pytest.fixture(scope="module")
def made() -> Iterator[Made]:
    root = Path(tempfile.mkdtemp(prefix="tenure-"))
    yield asyncio.run(_make(root))
    shutil.rmtree(root)


@pytest.fixture
def profile(made: Made, tmp_path: Path) -> Path:
    """The cleanly closed profile, to damage."""
    return Path(shutil.copytree(made.closed, tmp_path / "profile", symlinks=True))


def look(profile: Path) -> Inspection:
    """Inspect, and hold the inspection to leaving every name, byte and time as it was."""
    before = fingerprint(profile)
    found = inspect(profile, profile.parent / "scratch")
    assert fingerprint(profile) == before
    assert list((profile.parent / "scratch").iterdir()) == []
    return found


def fingerprint(profile: Path) -> dict[str, tuple[int, int, str]]:
    found = {}
    for path in sorted(profile.rglob("*")):
        status = path.lstat()
        content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        found[str(path)] = (status.st_mtime_ns, status.st_size, content)
    return found


def test_a_running_browser_is_live(made: Made) -> None:
    assert made.live.verdict is Verdict.LIVE
    assert any("runs on it" in finding for finding in made.live.findings)


def test_a_browser_that_was_closed_leaves_a_clean_profile_with_every_cookie(profile: Path) -> None:
    found = look(profile)
    assert (found.verdict, found.findings, found.cookies) == (Verdict.CLEAN, (), COOKIES)


def test_a_killed_one_leaves_an_unclean_but_consistent_profile(made: Made, tmp_path: Path) -> None:
    found = look(Path(shutil.copytree(made.killed, tmp_path / "profile", symlinks=True)))
    assert found.verdict is Verdict.UNCLEAN_CONSISTENT
    assert found.cookies == COOKIES
    assert "SingletonLock was left behind" in found.findings


def test_the_last_url_is_told(made: Made, profile: Path) -> None:
    assert look(profile).last_url == made.url


def test_it_is_told_from_the_history_when_there_is_no_session_file(made: Made, profile: Path) -> None:
    shutil.rmtree(profile / "Default/Sessions")
    assert look(profile).last_url == made.url


def cut_in_half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def zero(path: Path, start: int, length: int) -> None:
    content = bytearray(path.read_bytes())
    content[start : start + length] = bytes(length)
    path.write_bytes(content)


def drop(path: Path, pattern: str) -> None:
    names = list(path.glob(pattern))
    assert names
    for name in names:
        name.unlink()


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "cookies cut": (lambda p: cut_in_half(p / "Default/Cookies"), "Default/Cookies:"),
    "cookies header zeroed": (lambda p: zero(p / "Default/Cookies", 0, 100), "Default/Cookies:"),
    "cookies page zeroed": (lambda p: zero(p / "Default/Cookies", 4096, 4096), "Default/Cookies:"),
    "cookies empty": (lambda p: (p / "Default/Cookies").write_bytes(b""), "Default/Cookies: is empty"),
    "cookies gone": (lambda p: (p / "Default/Cookies").unlink(), "Default/Cookies is missing"),
    "history page zeroed": (lambda p: zero(p / "Default/History", 4096, 4096), "Default/History:"),
    "local storage without manifest": (
        lambda p: drop(p / LOCAL_STORAGE, "MANIFEST-*"),
        f"{LOCAL_STORAGE}: MANIFEST-",
    ),
    "local storage without current": (
        lambda p: (p / LOCAL_STORAGE / "CURRENT").unlink(),
        f"{LOCAL_STORAGE}: CURRENT is missing",
    ),
    "local storage gone": (lambda p: drop(p / LOCAL_STORAGE, "*"), f"{LOCAL_STORAGE}: CURRENT is missing"),
    "preferences cut": (
        lambda p: cut_in_half(p / "Default/Preferences"),
        "Default/Preferences does not parse",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_that_chrome_would_silently_paper_over_is_corrupt(profile: Path, damage: str) -> None:
    do, finding = DAMAGES[damage]
    do(profile)
    found = look(profile)
    assert found.verdict is Verdict.CORRUPT
    assert any(finding in each for each in found.findings), found.findings


def test_a_lock_link_of_another_machine_is_not_judged(profile: Path) -> None:
    (profile / "SingletonLock").symlink_to("elsewhere-4711")
    found = look(profile)
    assert found.verdict is Verdict.UNKNOWN
    assert "SingletonLock names another machine, elsewhere" in found.findings


def test_a_layout_that_is_not_known_is_not_judged(profile: Path) -> None:
    (profile / "Default/LocalStorage").write_bytes(b"SQLite format 3\0")
    assert look(profile).verdict in (Verdict.UNKNOWN, Verdict.CORRUPT)
    (profile / "Default/LocalStorage").unlink()
    (profile / "Default/IndexedDB").mkdir(exist_ok=True)
    (profile / "Default/IndexedDB/a.sqlite").touch()
    assert look(profile).verdict is Verdict.UNKNOWN


def test_a_sign_of_an_unclean_end_alone_is_enough(profile: Path) -> None:
    (profile / "Variations").unlink()
    found = look(profile)
    assert found.verdict is Verdict.UNCLEAN_CONSISTENT
    assert found.findings == ("Variations does not say that it exited cleanly",)


def test_a_directory_that_is_gone_is_missing(profile: Path) -> None:
    shutil.rmtree(profile)
    assert inspect(profile, profile.parent / "scratch").verdict is Verdict.MISSING
