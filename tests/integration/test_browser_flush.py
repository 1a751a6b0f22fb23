"""What a flush promises: cookies set before it survive a kill right after it, and none is taken away.

The flush is a side effect of another DevTools method, so these tests guard it against every new Chrome.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import time
from statistics import median

import pytest

from browserhost.browser import Browser
from browserhost.flushing import FLUSH_DELAY_S, Flushing
from browserhost.page import Page
from tenure.errors import BrowserCrashed
from tests.fixtures.chrome import Browsers, Site, until

SETTLED_S = 2.0


async def kill(browser: Browser) -> None:
    os.kill(browser.pid, signal.SIGKILL)
    await asyncio.wait_for(asyncio.shield(browser.ended), 30)


async def cookies(browser: Browser) -> dict[str, str]:
    answer = await browser.mux.root.call("Storage.getCookies")
    return {each["name"]: each["value"] for each in answer["cookies"]}


async def add_cookies(browser: Browser, site: Site, names: list[str]) -> None:
    made = [{"name": name, "value": "kept", "url": site.url, "expires": 4e9} for name in names]
    await browser.mux.root.call("Storage.setCookies", {"cookies": made})


async def sign_in(browser: Browser, site: Site) -> None:
    """As a person does: the form is sent, the answer sets the cookie and leads on."""
    await browser.open(f"{site.url}/sign-in")
    front = browser._pages.front
    assert front is not None
    script = "document.querySelector('input').value = 'alice'; document.querySelector('form').submit()"
    await browser.mux.root.call("Runtime.evaluate", {"expression": script}, front.session)


async def flushed_after(browser: Browser, moment: float) -> None:
    await until(lambda: (browser.flushed_at or 0.0) >= moment)


async def test_cookies_set_before_a_flush_survive_a_kill_right_after_it(
    browsers: Browsers, site: Site
) -> None:
    browser = await browsers.launch("alice")
    names = [f"cookie{number}" for number in range(40)]
    await add_cookies(browser, site, names)
    asked = await browser.flush()
    await kill(browser)
    assert browser.flushed_at == asked
    again = await browsers.launch("alice")
    assert await cookies(again) == dict.fromkeys(names, "kept")


async def test_a_flush_takes_no_cookie_away(browsers: Browsers, site: Site) -> None:
    browser = await browsers.launch()
    await add_cookies(browser, site, ["a", "b", "c"])
    for _ in range(5):
        await browser.flush()
    assert set(await cookies(browser)) == {"a", "b", "c"}


async def test_without_a_flush_a_killed_browser_loses_the_cookie(
    browsers: Browsers, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What makes the flush worth its while: should Chrome write at once one day, it can go."""
    # Those that follow a start and its page would be in time.
    monkeypatch.setattr("browserhost.flushing.FLUSH_DELAY_S", 3600.0)
    # Chrome's network process outlives the kill by a moment, and on a busy machine may write in it.
    left: list[dict[str, str]] = []
    while {} not in left and len(left) < 5:
        profile = f"alice{len(left)}"
        browser = await browsers.launch(profile)
        await add_cookies(browser, site, ["lost"])
        await kill(browser)
        left.append(await cookies(await browsers.launch(profile)))
    assert {} in left


async def test_a_sign_in_is_flushed_by_itself_and_survives(browsers: Browsers, site: Site) -> None:
    """When the flush is due `test_flushing` proves; here it comes, and Chrome writes."""
    took: list[float] = []
    for number in range(3):
        profile = f"alice{number}"
        browser = await browsers.launch(profile)
        await sign_in(browser, site)
        await until(lambda browser=browser: browser.url == f"{site.url}/account")  # type: ignore[misc]
        landed = time.time()
        # The flush that was due for the form's own page may still be to come: the one after counts.
        await flushed_after(browser, landed)
        assert browser.flushed_at is not None
        took.append(browser.flushed_at - landed)
        await kill(browser)
        again = await browsers.launch(profile)
        assert await cookies(again) == {"user": "alice"}, f"try {number}: {took}"
        await again.close()
    assert median(took) < SETTLED_S, took


async def test_a_burst_of_navigations_makes_one_flush(
    browsers: Browsers, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = await browsers.launch()
    flushes: list[float] = []
    flush_on = Flushing._flush_on

    async def counted(self: Flushing, page: Page) -> float:
        flushes.append(time.monotonic())
        return await flush_on(self, page)

    monkeypatch.setattr(Flushing, "_flush_on", counted)
    for number in range(3):
        await browser.open(f"{site.url}/{number}")
    await flushed_after(browser, time.time())
    assert len(flushes) <= 2
    assert all(later - earlier >= FLUSH_DELAY_S * 0.9 for earlier, later in itertools.pairwise(flushes))


async def test_a_flush_with_every_tab_closed_opens_one(browsers: Browsers, site: Site) -> None:
    browser = await browsers.launch("alice")
    await add_cookies(browser, site, ["a"])
    for page in browser._pages.own:
        await browser._pages.close(page)
    await browser.flush()
    await kill(browser)
    assert await cookies(await browsers.launch("alice")) == {"a": "kept"}


async def test_a_flush_of_a_dead_browser_is_refused(browsers: Browsers) -> None:
    browser = await browsers.launch()
    await kill(browser)
    with pytest.raises(BrowserCrashed):
        await browser.flush()
    assert browser.flushed_at is None
