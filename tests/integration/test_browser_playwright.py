"""Playwright, as workers bring it, through the endpoint."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Error, Page, Playwright, async_playwright, expect

from browserhost.browser import Browser
from browserhost.endpoint import CdpEndpoint, Grant
from tests.fixtures.chrome import Site, until
from tests.fixtures.shared_browser import browser, shared, site

__all__ = ["browser", "shared", "site"]  # fixtures

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def grant(browser: Browser) -> AsyncIterator[Grant]:
    async with await CdpEndpoint.start("127.0.0.1", 0) as endpoint:
        yield endpoint.issue(browser, lambda: None, lambda: None, lambda _: None)


@pytest_asyncio.fixture(loop_scope="module")
async def playwright() -> AsyncIterator[Playwright]:
    async with async_playwright() as started:
        yield started


async def page_of(playwright: Playwright, grant: Grant) -> Page:
    connected = await playwright.chromium.connect_over_cdp(grant.url)
    return connected.contexts[0].pages[0]


async def test_a_worker_signs_in_and_the_next_one_still_is(
    playwright: Playwright, grant: Grant, browser: Browser, site: Site
) -> None:
    page = await page_of(playwright, grant)
    await page.goto(f"{site.url}/sign-in")
    await page.fill("input[name=user]", "alice")
    await page.click("button")
    await expect(page.locator("p")).to_have_text("Hello alice")
    assert page.context.browser is not None
    await page.context.browser.close()
    await browser.hand_over(f"{site.url}/account")
    again = await page_of(playwright, grant)
    await expect(again.locator("p")).to_have_text("Hello alice")


async def test_two_playwrights_work_side_by_side(playwright: Playwright, grant: Grant, site: Site) -> None:
    one, two = await page_of(playwright, grant), await page_of(playwright, grant)
    mine, other = await one.context.new_page(), await two.context.new_page()
    await mine.goto(f"{site.url}/mine")
    await other.goto(f"{site.url}/other")
    assert await mine.title() == "/mine"
    assert await other.title() == "/other"
    # Of the tab in front: Chrome now and then takes for ever over one behind.
    assert len(await other.screenshot()) > 1000


async def test_scripts_dialogs_routes_and_popups_work(
    playwright: Playwright, grant: Grant, site: Site
) -> None:
    page = await page_of(playwright, grant)
    await page.context.add_init_script("window.early = 1")
    await page.route("**/routed", lambda route: route.fulfill(body="from the route"))
    await page.goto(f"{site.url}/routed")
    assert await page.inner_text("body") == "from the route"
    said: list[str] = []

    async def hear(dialog: object) -> None:
        said.append(dialog.message)  # type: ignore[attr-defined]
        await dialog.accept()  # type: ignore[attr-defined]

    page.on("dialog", hear)
    assert await page.evaluate("confirm('sure?')") is True
    assert said == ["sure?"]
    async with page.expect_popup() as opening:
        await page.evaluate(f"void window.open('{site.url}/popup')")
    popup = await opening.value
    await popup.wait_for_load_state()
    assert await popup.evaluate("window.early") == 1


async def test_closing_its_last_page_leaves_the_browser_warm(
    playwright: Playwright, grant: Grant, browser: Browser, site: Site
) -> None:
    page = await page_of(playwright, grant)
    await page.close()
    await until(lambda: not browser._pages.all)
    await browser.hand_over(f"{site.url}/next")
    assert browser.url == f"{site.url}/next"


async def test_what_the_policy_refuses_raises_in_the_worker(
    playwright: Playwright, grant: Grant, site: Site
) -> None:
    page = await page_of(playwright, grant)
    with pytest.raises(Error, match="refused by the session's policy"):
        await page.goto("file:///etc/passwd")
    with pytest.raises(Error, match="refused by the session's policy"):
        await page.context.clear_cookies()
    await page.goto(f"{site.url}/still-works")
