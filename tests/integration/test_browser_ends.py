"""However a browser, its keeper, its display or its host ends: nothing stays, and the login is kept."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from browserhost.browser import BrowserEnd
from tenure import processes
from tenure.processes import Process
from tests.fixtures.chrome import Browsers, DataRoot, Site, all_gone, family, running

HOST = """
import asyncio, json, os, sys
from browserhost.browser import Browser
from tests.fixtures.chrome import DataRoot
from pathlib import Path

async def main(root, url):
    data = DataRoot(Path(root))
    lock = data.take_lock("alice")
    browser = await Browser.launch(data.spec("alice", lock))
    os.close(lock)
    await browser.open("about:blank")
    await browser.mux.root.call("Storage.setCookies", {"cookies": [
        {"name": "user", "value": "alice", "url": url, "expires": 4e9}]})
    print(json.dumps([browser._tree.keeper_pid, browser.pid]), flush=True)
    await asyncio.Event().wait()

asyncio.run(main(*sys.argv[1:]))
"""


async def set_cookie(browsers: Browsers, site: Site) -> None:
    """Leave a persistent cookie that no flush has written."""
    cookie = {"name": "user", "value": "alice", "url": site.url, "expires": 4e9}
    await browsers.launched[-1].mux.root.call("Storage.setCookies", {"cookies": [cookie]})


async def is_signed_in(browsers: Browsers, site: Site) -> bool:
    browser = await browsers.launch("alice")
    await browser.open(f"{site.url}/account")
    answer = await browser.mux.root.call("Storage.getCookies")
    return [each["value"] for each in answer["cookies"] if each["name"] == "user"] == ["alice"]


async def end_of(ended: asyncio.Future[BrowserEnd]) -> BrowserEnd:
    return await asyncio.wait_for(asyncio.shield(ended), 30)


async def test_a_close_is_clean_expected_and_keeps_the_login(browsers: Browsers, site: Site) -> None:
    browser = await browsers.launch("alice")
    known = family(browser)
    await set_cookie(browsers, site)
    report = await browser.close()
    assert (report.clean, report.how) == (True, "exited with status 0")
    assert browser.ended.result() == BrowserEnd(expected=True, how="exited with status 0")
    assert running(known) == []
    assert await browser.close() is report
    assert await is_signed_in(browsers, site)


async def test_a_close_that_nobody_waits_for_goes_on(browsers: Browsers) -> None:
    browser = await browsers.launch()
    closing = asyncio.create_task(browser.close())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert (await end_of(browser.ended)).expected


async def test_a_chrome_that_does_not_close_is_killed_and_said_to_be(
    browsers: Browsers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("browserhost.closing.CLOSE_S", 0.2)
    monkeypatch.setattr("browserhost.flushing.FLUSH_S", 0.2)
    browser = await browsers.launch("alice")
    known = family(browser)
    os.kill(browser.pid, signal.SIGSTOP)
    report = await browser.close()
    assert (report.clean, report.how) == (False, "was killed by SIGKILL")
    assert running(known) == []
    assert not browsers.root.is_locked("alice")


async def test_a_killed_chrome_is_noticed_and_nothing_of_it_stays(browsers: Browsers) -> None:
    browser = await browsers.launch("alice")
    known = family(browser)
    os.kill(browser.pid, signal.SIGKILL)
    assert await end_of(browser.ended) == BrowserEnd(expected=False, how="was killed by SIGKILL")
    assert running(known) == []
    assert not browsers.root.is_locked("alice")
    assert not (await browser.close()).clean


async def test_a_killed_display_ends_its_browser_and_says_so(browsers: Browsers) -> None:
    browser = await browsers.launch("alice")
    known = family(browser)
    os.kill(browser._tree.xvfb_pid, signal.SIGKILL)
    assert await end_of(browser.ended) == BrowserEnd(False, "its display (Xvfb) ended first")
    assert running(known) == []
    assert not browsers.root.is_locked("alice")
    assert not (await browser.close()).clean


async def test_a_killed_keeper_takes_its_browser_along_cleanly(browsers: Browsers, site: Site) -> None:
    browser = await browsers.launch("alice")
    known = family(browser)
    await set_cookie(browsers, site)
    os.kill(browser._tree.keeper_pid, signal.SIGKILL)
    end = await end_of(browser.ended)
    assert end == BrowserEnd(expected=False, how="exited with status 0 after its keeper died")
    assert running(known) == []
    assert not browsers.root.is_locked("alice")
    assert await is_signed_in(browsers, site)


def kill_parent(pid: int) -> None:
    """Return once it is dead, not reaped: what its end does to its children is done by then."""
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


async def test_a_hung_chrome_without_keeper_is_killed(
    browsers: Browsers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("browserhost.tree.ORPHAN_EXIT_S", 0.2)
    browser = await browsers.launch("alice")
    known = family(browser)
    os.kill(browser.pid, signal.SIGSTOP)
    kill_parent(browser._tree.keeper_pid)
    # Linux wakes a stopped process group whose last tie to its session dies: it is stopped again, before
    # this loop hears of the keeper's end.
    os.kill(browser.pid, signal.SIGSTOP)
    assert await end_of(browser.ended) == BrowserEnd(False, "was killed by SIGKILL after its keeper died")
    assert running(known) == []
    assert not browsers.root.is_locked("alice")


async def test_a_killed_host_leaves_nothing_and_loses_no_login(browsers: Browsers, site: Site) -> None:
    host, known = await start_host(browsers.root, site)
    os.kill(host.pid, signal.SIGKILL)
    host.wait()
    await all_gone(known)
    assert list(browsers.root.tmp.iterdir()) == []
    assert not browsers.root.is_locked("alice")
    assert await is_signed_in(browsers, site)


async def test_host_and_keeper_killed_together_leave_no_process_on_the_profile(
    browsers: Browsers, site: Site
) -> None:
    """Then nobody is left to stop Xvfb but whoever is above: a supervisor that takes in orphans."""
    host, known = await start_host(browsers.root, site)
    keeper, display = known[0], next(each for each in known if each.name == "Xvfb")
    os.kill(keeper.pid, signal.SIGSTOP)
    os.kill(host.pid, signal.SIGKILL)
    host.wait()
    os.kill(keeper.pid, signal.SIGKILL)
    await all_gone([each for each in known if each is not display])
    assert not browsers.root.is_locked("alice")
    os.kill(display.pid, signal.SIGTERM)
    await all_gone(known)
    for left in browsers.root.tmp.iterdir():
        shutil.rmtree(left)


async def start_host(root: DataRoot, site: Site) -> tuple[subprocess.Popen[str], list[Process]]:
    """A host process with one browser, and the browser's processes, the keeper first."""
    processes.adopt_orphans()  # what the host leaves behind is then this process's to see and to bury
    host = await asyncio.to_thread(
        subprocess.Popen,
        [sys.executable, "-c", HOST, str(root.path), site.url],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert host.stdout is not None
    keeper, _ = json.loads(await asyncio.to_thread(host.stdout.readline))
    host.stdout.close()
    table = processes.table()
    return host, [each for each in table if each.pid == keeper] + processes.below(keeper, table)
