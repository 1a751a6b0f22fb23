from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from tenure.demo.site import COOKIE, PASSWORD, DemoSite


@pytest.fixture
async def site() -> AsyncIterator[DemoSite]:
    async with DemoSite() as served:
        yield served


@pytest.fixture
async def browser(site: DemoSite) -> AsyncIterator[aiohttp.ClientSession]:
    # The default jar takes no cookies from bare IP addresses, as Chrome does.
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(site.url, cookie_jar=jar) as session:
        yield session


async def sign_in(browser: aiohttp.ClientSession, password: str = PASSWORD) -> aiohttp.ClientResponse:
    return await browser.post("/sign-in", data={"name": "Ann <3", "password": password})


async def test_a_stranger_is_sent_to_the_form(browser: aiohttp.ClientSession) -> None:
    for path in ("/", "/account", "/checkout"):
        async with browser.get(path) as page:
            assert page.url.path == "/sign-in"


async def test_signing_in_leaves_a_cookie_that_outlives_the_browser(browser: aiohttp.ClientSession) -> None:
    page = await sign_in(browser)
    assert page.url.path == "/account"
    assert '<span id="who">Ann &lt;3</span>' in await page.text()
    [cookie] = [each for each in browser.cookie_jar if each.key == COOKIE]
    assert int(cookie["max-age"]) > 24 * 3600


async def test_a_wrong_password_signs_nobody_in(browser: aiohttp.ClientSession) -> None:
    page = await sign_in(browser, password="guess")
    assert page.status == 403
    assert "do not match" in await page.text()
    async with browser.get("/account") as account:
        assert account.url.path == "/sign-in"


async def test_an_order_is_counted_once_confirmed(browser: aiohttp.ClientSession, site: DemoSite) -> None:
    await sign_in(browser)
    async with browser.get("/checkout") as page:
        assert 'id="confirm"' in await page.text()
    assert site.orders["Ann <3"] == 0
    async with browser.post("/checkout") as done:
        assert "J-0001" in await done.text()
    assert site.orders["Ann <3"] == 1


async def test_signing_out_ends_the_login(browser: aiohttp.ClientSession) -> None:
    await sign_in(browser)
    await browser.post("/sign-out")
    async with browser.get("/account") as page:
        assert page.url.path == "/sign-in"
