"""Handing a live browser to its next session: what the last one left is gone, the login is not."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from browserhost.browser import Browser
from tenure.cdp import Result
from tenure.errors import BrowserCrashed, NavigationFailed
from tests.fixtures.chrome import Browsers, Site, browsers_in, data_root_made, site_shown, until
from tests.fixtures.handed import Client, evaluate, front, hits, meanwhile, wait_for_slow_ones

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    wait_for_slow_ones(monkeypatch)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site() -> AsyncIterator[Site]:
    async with site_shown() as shown:
        yield shown


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browsers() -> AsyncIterator[Browsers]:
    with data_root_made() as root:
        async with browsers_in(root) as launcher:
            yield launcher


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(browsers: Browsers) -> Browser:
    """One browser for all of these: each test is handed it by what it is to prove."""
    return await browsers.launch()


@pytest_asyncio.fixture(loop_scope="module")
async def browser(shared: Browser, site: Site) -> Browser:
    await shared.hand_over(f"{site.url}/first")
    site.requests.clear()
    site.release.clear()
    return shared


@pytest_asyncio.fixture(loop_scope="module")
async def alone(browsers: Browsers, site: Site) -> AsyncIterator[Browser]:
    """A browser of the test's own, which it may end."""
    launched = await browsers.launch("bob")
    await launched.open(f"{site.url}/first")
    yield launched
    await launched.close()


async def test_the_same_tab_goes_on_in_the_same_chrome_with_its_cookies(browser: Browser, site: Site) -> None:
    await evaluate(browser, "document.cookie = 'user=alice; max-age=9999'")
    pid, target = browser.pid, front(browser).target
    await browser.still(for_good=True)
    timings = await browser.hand_over(f"{site.url}/account")
    assert set(timings) == {"reset", "navigate"}
    assert (browser.pid, front(browser).target, browser.url) == (pid, target, f"{site.url}/account")
    assert await evaluate(browser, "document.body.innerText") == "Hello alice"
    assert await evaluate(browser, "document.hidden") is False


async def test_the_same_address_again_is_a_new_document(browser: Browser, site: Site) -> None:
    for url in (f"{site.url}/first", f"{site.url}/first#a", f"{site.url}/first#b"):
        await evaluate(browser, "window.left = 1")
        await browser.hand_over(url)
        assert await evaluate(browser, "typeof window.left") == "undefined"
        assert browser.url == url


async def test_other_tabs_windows_and_contexts_are_closed(browser: Browser, site: Site) -> None:
    root, kept = browser.mux.root, front(browser).target
    for wish in ({"newWindow": True}, {}):
        await root.call("Target.createTarget", {"url": f"{site.url}/more", **wish})
    context = (await root.call("Target.createBrowserContext"))["browserContextId"]
    await root.call("Target.createTarget", {"url": f"{site.url}/x", "browserContextId": context})
    await evaluate(browser, f"window.open('{site.url}/popup', 'p', 'width=200'); 0")
    await browser.hand_over(f"{site.url}/next")
    # A client that comes now must not take one that is going for the session's.
    assert len(browser._pages.all) == 1
    assert front(browser).target == kept
    assert (await root.call("Target.getBrowserContexts"))["browserContextIds"] == []


@pytest.mark.parametrize("script", ["alert(1)", "confirm('?')", "prompt('?')"])
async def test_a_dialog_that_is_open_is_dismissed(browser: Browser, site: Site, script: str) -> None:
    await evaluate(browser, f"setTimeout(() => {script}, 0)")
    await until(lambda: front(browser).dialog)
    await browser.hand_over(f"{site.url}/next")
    assert browser.url == f"{site.url}/next"


async def test_pages_that_ask_whether_to_leave_are_not_heard(browser: Browser, site: Site) -> None:
    await browser.open(f"{site.url}/stay")
    await evaluate(browser, "document.body.click()")
    await browser.mux.root.call("Target.createTarget", {"url": f"{site.url}/stay"})
    await until(lambda: len(browser._pages.all) == 2 and browser._pages.all[-1].loaded)
    await evaluate(browser, "document.body.click()", browser._pages.all[-1].session)
    await browser.hand_over(f"{site.url}/next")
    await until(lambda: len(browser._pages.all) == 1)
    assert browser.url == f"{site.url}/next"


async def test_a_client_that_is_left_is_cut(browser: Browser, site: Site) -> None:
    client = await Client(browser).join(browser)
    await browser.hand_over(f"{site.url}/next")
    assert client.lost == "SESSION_ENDED"


async def test_overrides_of_a_client_end_with_it(browser: Browser, site: Site) -> None:
    client = await Client(browser).join(browser)
    size = {"width": 320, "height": 240, "deviceScaleFactor": 1, "mobile": True}
    await client.on_page("Emulation.setDeviceMetricsOverride", size)
    await client.on_page("Emulation.setUserAgentOverride", {"userAgent": "somebody else"})
    await client.on_page("Emulation.setTimezoneOverride", {"timezoneId": "Asia/Tokyo"})
    await client.on_page("Page.addScriptToEvaluateOnNewDocument", {"source": "window.left = 1"})
    await client.on_page("Network.enable")
    await client.on_page("Network.setBlockedURLs", {"urls": ["*next*"]})
    await client.on_page("Fetch.enable")
    await client.on_page("Network.setCacheDisabled", {"cacheDisabled": True})
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    await client.on_page("Emulation.setEmulatedMedia", {"features": dark})
    await client.on_page("Emulation.setScriptExecutionDisabled", {"value": True})
    await client.on_page("Emulation.setCPUThrottlingRate", {"rate": 20})
    slow = {"offline": True, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    await client.on_page("Network.emulateNetworkConditions", slow)
    grant = {"permissions": ["geolocation"], "origin": site.url}
    await client.on_browser("Browser.grantPermissions", grant)
    await client.leave()
    await browser.hand_over(f"{site.url}/next")
    found = await evaluate(
        browser,
        "[innerWidth > 1000, navigator.userAgent.includes('Chrome'), typeof window.left,"
        " Intl.DateTimeFormat().resolvedOptions().timeZone != 'Asia/Tokyo',"
        " matchMedia('(prefers-color-scheme: dark)').matches, navigator.onLine,"
        " (document.body.setAttribute('onclick', 'window.ran = 1'), document.body.click(), window.ran)]",
    )
    assert found == [True, True, "undefined", True, False, True, 1]
    state = "navigator.permissions.query({name: 'geolocation'}).then(found => found.state)"
    answer = await browser.mux.root.call(
        "Runtime.evaluate", {"expression": state, "awaitPromise": True}, front(browser).session
    )
    assert answer["result"]["value"] == "prompt"


async def test_a_window_that_was_shrunk_has_its_size_again(browser: Browser, site: Site) -> None:
    root, target = browser.mux.root, {"targetId": front(browser).target}
    before = await root.call("Browser.getWindowForTarget", target)
    for bounds in ({"width": 400, "height": 300}, {"windowState": "minimized"}):
        await root.call("Browser.setWindowBounds", {"windowId": before["windowId"], "bounds": bounds})
        await browser.hand_over(f"{site.url}/next")
        assert (await root.call("Browser.getWindowForTarget", target))["bounds"] == before["bounds"]


async def test_a_download_that_goes_on_is_cancelled(browser: Browser, site: Site) -> None:
    await evaluate(browser, f"location = '{site.url}/download'")
    await until(lambda: browser._pages._downloads)
    ends = asyncio.get_running_loop().create_future()

    def hear(method: str, params: Result, session: str) -> None:
        if method == "Browser.downloadProgress" and params["state"] == "canceled" and not ends.done():
            ends.set_result(None)

    browser.mux.root.listen(hear)
    await browser.hand_over(f"{site.url}/next")
    await asyncio.wait_for(ends, 30)


async def test_a_tab_that_a_client_closed_is_replaced(browser: Browser, site: Site) -> None:
    for page in browser._pages.all:
        await browser._pages.close(page)
    await browser.hand_over(f"{site.url}/next")
    assert browser.url == f"{site.url}/next"


async def test_a_tab_whose_script_never_ends_is_replaced(
    browser: Browser, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("browserhost.handing.ANSWER_S", 2.0)
    browser.mux.root.post("Runtime.evaluate", {"expression": "while (true);"}, front(browser).session)
    await browser.hand_over(f"{site.url}/once")
    await until(lambda: len(browser._pages.all) == 1)
    assert browser.url == f"{site.url}/once"
    # A start URL may be one that works only once.
    assert site.requests.count("GET /once") == 1


async def test_a_tab_that_crashed_is_replaced(browser: Browser, site: Site) -> None:
    browser.mux.root.post("Page.crash", {}, front(browser).session)
    await until(lambda: front(browser).broken)
    await browser.hand_over(f"{site.url}/next")
    assert browser.url == f"{site.url}/next"
    assert await evaluate(browser, "1 + 1") == 2


async def test_a_page_that_does_not_load_leaves_the_browser_usable(browser: Browser, site: Site) -> None:
    with pytest.raises(NavigationFailed):
        await browser.hand_over(f"{site.url}/nothing")
    await browser.hand_over(f"{site.url}/next")
    assert browser.url == f"{site.url}/next"


async def test_a_browser_that_does_not_answer_or_ended_is_not_usable(
    alone: Browser, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("browserhost.handing.ANSWER_S", 0.3)
    os.kill(alone.pid, signal.SIGSTOP)
    with pytest.raises(BrowserCrashed, match="does not answer"):
        await alone.hand_over(f"{site.url}/next")
    os.kill(alone.pid, signal.SIGKILL)
    with pytest.raises(BrowserCrashed):
        await alone.hand_over(f"{site.url}/next")


# --- what a session leaves running --------------------------------------------------------

RUNS = """
const hit = what => fetch(`/hit?${what}`, {method: 'POST', keepalive: true});
setInterval(() => hit('timer'), 20);
(function drawn() { hit('frame'); requestAnimationFrame(drawn) })();
(async () => { for (;;) { await fetch('/hit?chain', {method: 'POST'}) } })();
const pipe = new MessageChannel();
pipe.port1.onmessage = () => hit('message').then(() => pipe.port2.postMessage(0));
pipe.port2.postMessage(0);
const source = `setInterval(() => fetch('${location.origin}/hit?worker', {method: 'POST'}), 20)`;
new Worker(URL.createObjectURL(new Blob([source])));
for (const what of ['freeze', 'pagehide', 'visibilitychange', 'beforeunload'])
  addEventListener(what, () => navigator.sendBeacon(`/hit?${what}`), true);
0"""
KINDS = ("timer", "frame", "chain", "message", "worker")


@pytest.mark.parametrize("for_good", [True, False])
async def test_nothing_that_a_client_started_runs_once_its_token_is_cut(
    browser: Browser, site: Site, for_good: bool
) -> None:
    client = await Client(browser).join(browser)
    browser.taint()
    # Such a page counts as seen whatever is done to it, and so it does not freeze.
    await client.on_page("Emulation.setFocusEmulationEnabled", {"enabled": True})
    await client.on_page("Runtime.evaluate", {"expression": RUNS})
    await until(lambda: hits(site) >= set(KINDS))
    await client.leave()
    await browser.still(for_good=for_good)
    await meanwhile(site)  # what was on its way has come
    site.requests.clear()
    await meanwhile(site)
    assert hits(site) == set()
    if not for_good:
        browser.wake()
        await until(lambda: hits(site) >= set(KINDS))
        look = "(function look() { document.hidden ? setTimeout(look, 20) : shown() })()"
        asked = {"expression": f"new Promise(shown => {look})", "awaitPromise": True}
        await browser.mux.root.call("Runtime.evaluate", asked, front(browser).session)


async def test_a_picture_of_a_stilled_page_wakes_nothing_for_longer_than_it_takes(
    browser: Browser, site: Site
) -> None:
    browser.taint()
    await evaluate(browser, RUNS)
    await until(lambda: hits(site) >= set(KINDS))
    await browser.still(for_good=True)
    assert (await browser.picture()).data
    await browser.come_to_rest()
    await meanwhile(site)
    site.requests.clear()
    await meanwhile(site)
    assert hits(site) == set()


async def test_a_page_that_a_client_may_have_written_to_is_not_handed_on(
    browser: Browser, site: Site
) -> None:
    left = front(browser).target
    browser.taint()
    await evaluate(browser, f"{RUNS}; window.open('{site.url}/popup'); 0")
    await until(lambda: len(browser._pages.all) == 2)
    await until(lambda: hits(site) >= set(KINDS))
    await browser.still(for_good=True)
    await browser.hand_over(f"{site.url}/next")
    assert front(browser).target != left
    await until(lambda: len(browser._pages.all) == 1)
    await meanwhile(site)
    site.requests.clear()
    await meanwhile(site)
    assert hits(site) == set()


@pytest.mark.parametrize("dialog", ["confirm('?')", "location = '/next'", "for (;;);"])
async def test_what_waits_behind_a_dialog_or_in_a_busy_page_is_never_run(
    browser: Browser, site: Site, monkeypatch: pytest.MonkeyPatch, dialog: str
) -> None:
    monkeypatch.setattr("browserhost.stilling.STILL_S", 0.3)
    client = await Client(browser).join(browser)
    browser.taint()
    if dialog.startswith("location"):
        await evaluate(browser, "addEventListener('beforeunload', event => event.preventDefault())")
        await evaluate(browser, "document.body.click()")
    session = front(browser).session
    script = f"setTimeout(() => {{ {dialog}; navigator.sendBeacon('/hit?behind') }}, 0)"
    await evaluate(browser, f"{RUNS}; 0" if dialog.startswith("location") else "0")
    if dialog.startswith("location"):
        await until(lambda: hits(site) >= set(KINDS))
    await evaluate(browser, script)
    if not dialog.startswith("for"):
        await until(lambda: front(browser).dialog)
    browser.mux.root.post("Runtime.evaluate", {"expression": "navigator.sendBeacon('/hit?queued')"}, session)
    await client.leave()
    site.requests.clear()
    await browser.still(for_good=True)
    await browser.hand_over(f"{site.url}/next")
    await until(lambda: len(browser._pages.all) == 1)
    await meanwhile(site)
    assert hits(site) & {"behind", "queued"} == set()


async def test_a_tab_made_ready_in_time_is_the_one_that_is_handed_over(browser: Browser, site: Site) -> None:
    left, prepared = front(browser).target, browser.prepare
    await prepared()
    assert front(browser).target == left  # nothing was left in it
    browser.taint()
    await evaluate(browser, "localStorage.kept = 'yes'; sessionStorage.left = 'yes'; window.name = 'left'")
    await evaluate(browser, "history.pushState(0, '', '/deep'); history.pushState(0, '', '/deeper')")
    await browser.still(for_good=True)
    await prepared()
    fresh = front(browser).target
    assert fresh != left
    await browser.hand_over(f"{site.url}/next")
    assert front(browser).target == fresh
    found = "[localStorage.kept, sessionStorage.length, window.name, history.length, document.hidden]"
    assert await evaluate(browser, found) == ["yes", 0, "", 2, False]
