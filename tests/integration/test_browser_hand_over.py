"""Handing a live browser to its next session: what the last one left is gone, the login is not."""

from __future__ import annotations

import asyncio
import json
import os
import signal

import pytest

from browserhost.browser import Browser
from browserhost.mux import MuxClient
from browserhost.page import Page
from tenure.cdp import CdpClient, Params, Result
from tenure.errors import BrowserCrashed, NavigationFailed
from tests.fixtures.chrome import Browsers, Site, until


@pytest.fixture
async def browser(browsers: Browsers, site: Site) -> Browser:
    launched = await browsers.launch()
    await launched.open(f"{site.url}/first")
    return launched


def front(browser: Browser) -> Page:
    page = browser._pages.front
    assert page is not None
    return page


async def evaluate(browser: Browser, script: str, session: str = "") -> object:
    params = {"expression": script, "returnByValue": True, "userGesture": True}
    answer = await browser.mux.root.call("Runtime.evaluate", params, session or front(browser).session)
    return answer["result"].get("value")


class Client:
    """A client on the mux, as a session has one. Its page session is on the front tab."""

    def __init__(self, browser: Browser) -> None:
        self.lost = ""
        self.page = ""
        self._mux = browser.mux
        self._cdp = CdpClient(self._send)
        self._member: MuxClient | None = None

    async def join(self, browser: Browser) -> Client:
        self._member = await self._mux.join(self._cdp.deliver, self._cut)
        target = {"targetId": front(browser).target, "flatten": True}
        self.page = (await self._cdp.call("Target.attachToTarget", target))["sessionId"]
        return self

    async def on_page(self, method: str, params: Params | None = None) -> Result:
        return await self._cdp.call(method, params, self.page)

    async def on_browser(self, method: str, params: Params | None = None) -> Result:
        return await self._cdp.call(method, params)

    async def leave(self) -> None:
        assert self._member is not None
        await self._mux.leave(self._member)

    def _cut(self, reason: str) -> None:
        self.lost = reason

    def _send(self, text: str) -> None:
        assert self._member is not None
        self._mux.send(self._member, json.loads(text))


async def test_the_same_tab_goes_on_in_the_same_chrome_with_its_cookies(browser: Browser, site: Site) -> None:
    await evaluate(browser, "document.cookie = 'user=alice; max-age=9999'")
    pid, target = browser.pid, front(browser).target
    timings = await browser.hand_over(f"{site.url}/account")
    assert set(timings) == {"reset", "navigate"}
    assert (browser.pid, front(browser).target, browser.url) == (pid, target, f"{site.url}/account")
    assert await evaluate(browser, "document.body.innerText") == "Hello alice"


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
    await until(lambda: len(browser._pages.all) == 1)
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
    await until(lambda: browser._pages.all[-1].loaded)
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
    await client.on_page("Network.setExtraHTTPHeaders", {"headers": {"X-Left": "1"}})
    await client.on_page("Network.setBlockedURLs", {"urls": ["*next*"]})
    await client.on_page("Fetch.enable")
    grant = {"permissions": ["geolocation"], "origin": site.url}
    await client.on_browser("Browser.grantPermissions", grant)
    await client.leave()
    await browser.hand_over(f"{site.url}/next")
    found = await evaluate(
        browser,
        "[innerWidth > 1000, navigator.userAgent.includes('Chrome'), typeof window.left,"
        " Intl.DateTimeFormat().resolvedOptions().timeZone != 'Asia/Tokyo']",
    )
    assert found == [True, True, "undefined", True]
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
    monkeypatch.setattr("browserhost.handing.ANSWER_S", 0.3)
    browser.mux.root.post("Runtime.evaluate", {"expression": "while (true);"}, front(browser).session)
    await browser.hand_over(f"{site.url}/next")
    await until(lambda: len(browser._pages.all) == 1)
    assert browser.url == f"{site.url}/next"


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


async def test_a_browser_that_does_not_answer_is_not_usable(
    browser: Browser, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("browserhost.handing.ANSWER_S", 0.3)
    os.kill(browser.pid, signal.SIGSTOP)
    with pytest.raises(BrowserCrashed, match="does not answer"):
        await browser.hand_over(f"{site.url}/next")
    os.kill(browser.pid, signal.SIGCONT)


async def test_a_browser_that_ended_is_not_usable(browser: Browser, site: Site) -> None:
    os.kill(browser.pid, signal.SIGKILL)
    with pytest.raises(BrowserCrashed):
        await browser.hand_over(f"{site.url}/next")
