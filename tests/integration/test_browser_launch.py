"""Starting a real browser, and what is said when it cannot be."""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from browserhost.browser import Browser
from browserhost.handing import WARM_URL
from tenure import processes
from tenure.cdp import Result
from tenure.errors import BrowserCrashed, BrowserMissing, DiskFull, InvalidField, NavigationFailed
from tests.fixtures.chrome import Browsers, DataRoot, Site, family, until
from tests.fixtures.cores import core_limits
from tests.fixtures.handed import front
from tests.fixtures.ports import free_port

Script = Callable[[str, str], str]


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Make a program of a shell script."""

    def make(name: str, text: str) -> str:
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return str(path)

    return make


async def test_a_browser_opens_a_page_and_says_where_it_stands(browsers: Browsers, site: Site) -> None:
    browser = await browsers.launch()
    assert browser.url == "about:blank"
    timings = await browser.open(f"{site.url}/first#part")
    assert browser.url == f"{site.url}/first#part"
    assert site.requests[0] == "GET /first"
    assert set(timings) == {"navigate"}
    assert set(browser.timings) == {"launch", "attach"}


async def test_a_browser_is_warmed_up_over_its_way_out_and_without_another_page(
    browsers: Browsers, site: Site
) -> None:
    """Another would take the renderer that Chrome keeps ready, and the session's would have to start."""
    browser = await browsers.launch()
    created: list[str] = []

    def hear(method: str, params: Result, session: str) -> None:
        if method == "Target.targetCreated":
            created.append(params["targetInfo"]["type"])

    browser.mux.root.listen(hear)
    await browser.warm_up()
    assert urlsplit(WARM_URL).hostname in {each.host for each in browser._forwarder._failures}
    history = await browser.mux.root.call("Page.getNavigationHistory", {}, front(browser).session)
    assert [each["url"] for each in history["entries"]] == ["about:blank"]
    assert created == []
    await browser.open(f"{site.url}/first")
    assert browser.url == f"{site.url}/first"


async def test_chrome_starts_no_page_of_its_own_beside_the_sessions(browsers: Browsers, site: Site) -> None:
    """On Chrome 156 two for its address bar doubled the CPU time of a start."""
    browser = await browsers.launch()
    await browser.open(site.url)
    # Only after its first page does Chrome come to them, and this takes longer.
    await browser.warm_up()
    found = await browser.mux.root.call("Target.getTargets", {"filter": [{}]})
    there = [(each["type"], each["url"].rstrip("/")) for each in found["targetInfos"]]
    assert sorted(there) == [("page", site.url), ("tab", site.url)]


async def test_its_pid_is_chromes_main_process(browsers: Browsers) -> None:
    browser = await browsers.launch()
    chrome = next(each for each in processes.table() if each.pid == browser.pid)
    assert chrome.start == browser.start_ticks
    # Chrome writes its command line anew, with blanks between.
    command = Path(f"/proc/{browser.pid}/cmdline").read_text().split()
    assert f"--user-data-dir={browser.spec.profile_dir}" in command


async def test_it_holds_the_lock_until_it_is_closed(browsers: Browsers) -> None:
    browser = await browsers.launch("alice")
    assert browsers.root.is_locked("alice")
    await browser.close()
    assert not browsers.root.is_locked("alice")


async def test_no_child_of_chrome_and_not_xvfb_have_the_lock(browsers: Browsers) -> None:
    browser = await browsers.launch("alice")
    lock = (browsers.root.path / "alice.lock").stat().st_ino
    having = set()
    for each in family(browser):
        for descriptor in Path(f"/proc/{each.pid}/fd").iterdir():
            if descriptor.exists() and descriptor.stat().st_ino == lock:
                having.add(each.pid)
    assert having == {browser._tree.keeper_pid, browser.pid}


async def test_no_part_of_it_leaves_its_memory_behind_when_it_crashes(
    browsers: Browsers, site: Site, cores: int
) -> None:
    browser = await browsers.launch()
    await browser.open(site.url)
    limits = {}
    for each in family(browser):
        # Some of Chrome's may end meanwhile.
        with suppress(OSError):
            limits[each.pid] = core_limits(each.pid)
    assert {browser.pid, browser._tree.keeper_pid, browser._tree.xvfb_pid} < set(limits)
    assert set(limits.values()) == {(cores, cores)}


async def test_two_browsers_live_side_by_side(browsers: Browsers, site: Site) -> None:
    alice, bob = await browsers.launch("alice"), await browsers.launch("bob")
    await alice.open(f"{site.url}/a")
    await bob.open(f"{site.url}/b")
    assert (alice.url, bob.url) == (f"{site.url}/a", f"{site.url}/b")
    assert alice._tree.xvfb_pid != bob._tree.xvfb_pid


async def test_another_local_user_cannot_reach_its_display(browsers: Browsers) -> None:
    browser = await browsers.launch()
    cookie = browser._tree.directory / "Xauthority"
    assert cookie.stat().st_mode & 0o077 == 0

    def ask(authority: Path) -> subprocess.CompletedProcess[bytes]:
        environment = {**os.environ, "DISPLAY": browser._tree.display, "XAUTHORITY": str(authority)}
        return subprocess.run(
            ["xdotool", "getdisplaygeometry"], env=environment, capture_output=True, check=False
        )

    assert ask(cookie).stdout == b"1280 800\n"
    assert ask(Path(os.devnull)).returncode != 0


async def test_an_old_port_file_is_taken_away(browsers: Browsers) -> None:
    left_behind = browsers.root.profile("alice") / "DevToolsActivePort"
    left_behind.parent.mkdir()
    left_behind.write_text("1234\n/devtools/browser/x")
    await browsers.launch("alice")
    assert not left_behind.exists()


async def test_the_page_that_does_not_answer_is_named_and_the_browser_stays(
    browsers: Browsers, site: Site
) -> None:
    browser = await browsers.launch()
    nobody = f"http://127.0.0.1:{free_port()}/"
    with pytest.raises(NavigationFailed, match=r"ERR_SOCKS_CONNECTION_FAILED .*connection refused") as failed:
        await browser.open(nobody)
    assert failed.value.url == nobody
    with pytest.raises(NavigationFailed, match="ERR_ABORTED"):
        await browser.open(f"{site.url}/nothing")
    await browser.open(f"{site.url}/now")
    assert browser.url == f"{site.url}/now"


async def test_a_page_that_goes_on_loading_has_landed(
    browsers: Browsers, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("browserhost.navigating.LOAD_S", 0.2)
    browser = await browsers.launch()
    await browser.open(f"{site.url}/with-slow-image")
    assert browser.url == f"{site.url}/with-slow-image"


async def test_a_page_that_never_answers_is_given_up(
    browsers: Browsers, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("browserhost.navigating.COMMIT_S", 0.3)
    browser = await browsers.launch()
    with pytest.raises(NavigationFailed, match=r"no answer within 0\.3 s"):
        await browser.open(f"{site.url}/slow")


@pytest.mark.parametrize("url", ["file:///etc/passwd", "chrome://settings", "about:settings", "", "x"])
async def test_an_address_that_is_not_of_the_web_is_refused(browsers: Browsers, url: str) -> None:
    browser = await browsers.launch()
    with pytest.raises(InvalidField, match="start_url"):
        await browser.open(url)
    assert browser.url == "about:blank"


async def test_a_missing_chrome_is_named_with_what_to_do(browsers: Browsers) -> None:
    with pytest.raises(BrowserMissing, match=r"no-such-chrome is missing. Run `tenure doctor`"):
        await browsers.launch(chrome="no-such-chrome")
    with pytest.raises(BrowserMissing, match="no-such-xvfb"):
        await browsers.launch(xvfb="no-such-xvfb")


async def test_a_full_disk_is_refused_before_anything_starts(browsers: Browsers) -> None:
    with pytest.raises(DiskFull) as full:
        await browsers.launch("alice", least_free=1 << 62)
    assert full.value.path == str(browsers.root.profile("alice"))
    assert list(browsers.root.profile("alice").iterdir()) == []


async def test_a_chrome_that_never_answers_is_ended_and_its_words_are_passed_on(
    browsers: Browsers, script: Script
) -> None:
    mute = script("mute", "echo 'the disk is strange' >&2; exec sleep 60")
    with pytest.raises(BrowserCrashed, match=r"did not answer within 3 s.*the disk is strange"):
        await browsers.launch(chrome=mute, answer_s=3.0)
    assert not browsers.root.is_locked("alice")


async def test_a_chrome_that_ends_at_once_is_reported_with_its_status(
    browsers: Browsers, script: Script
) -> None:
    with pytest.raises(BrowserCrashed, match=r"exited with status 21.*profile is in use"):
        await browsers.launch(chrome=script("leaver", "echo 'profile is in use' >&2; exit 21"))
    assert not browsers.root.is_locked("alice")


@pytest.mark.parametrize("text", ["echo 'no fonts' >&2; exit 1", "echo 'no fonts' >&2; exec sleep 60"])
async def test_a_display_that_does_not_come_up_is_reported(
    browsers: Browsers, script: Script, text: str
) -> None:
    with pytest.raises(BrowserCrashed, match="no fonts"):
        await browsers.launch(xvfb=script("broken-xvfb", text), answer_s=3.0)
    assert not browsers.root.is_locked("alice")


async def test_a_launch_that_is_cancelled_leaves_nothing(browsers: Browsers, data_root: DataRoot) -> None:
    lock = data_root.take_lock("alice")
    launching = asyncio.create_task(Browser.launch(data_root.spec("alice", lock)))
    await until(lambda: list(data_root.tmp.iterdir()))
    launching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await launching
    os.close(lock)
    assert not data_root.is_locked("alice")
