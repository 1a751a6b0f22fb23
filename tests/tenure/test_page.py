from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web

from tenure.cdp import CdpClosed, CdpError
from tenure.errors import HoldLost, NavigationFailed, TokenSuperseded
from tenure.page import Page

Answer = Callable[[dict[str, Any]], Any]


class FakeBrowser:
    """Answers DevTools calls as told; what a test does not tell is answered with nothing."""

    def __init__(self) -> None:
        self.url = ""
        self.sent: list[dict[str, Any]] = []
        self.answers: dict[str, Answer] = {
            "Target.getTargets": lambda _: {
                "targetInfos": [
                    {"type": "page", "targetId": "new"},
                    {"type": "page", "targetId": "front"},
                    {"type": "worker", "targetId": "w"},
                ]
            },
            "Target.attachToTarget": lambda _: {"sessionId": "s"},
        }
        self.events_after: dict[str, list[dict[str, Any]]] = {}
        self.socket = web.WebSocketResponse()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        await self.socket.prepare(request)
        async for message in self.socket:
            call = message.json()
            self.sent.append(call)
            tell = self.answers.get(call["method"])
            answer = tell(call.get("params", {})) if tell else {}
            body = (
                {"error": {"code": -1, "message": answer}} if isinstance(answer, str) else {"result": answer}
            )
            await self.socket.send_json({"id": call["id"], **body})
            for event in self.events_after.get(call["method"], []):
                await self.socket.send_json({"sessionId": "s", **event})
        return self.socket


def committed(**frame: str) -> dict[str, Any]:
    return {"method": "Page.frameNavigated", "params": {"frame": frame}}


LOADED = {"method": "Page.loadEventFired", "params": {}}


@pytest.fixture
async def browser() -> AsyncIterator[FakeBrowser]:
    fake = FakeBrowser()
    app = web.Application()
    app.add_routes([web.get("/", fake.handle)])
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    fake.url = f"ws://127.0.0.1:{runner.addresses[0][1]}/"
    yield fake
    await runner.cleanup()


@pytest.fixture
async def page(browser: FakeBrowser) -> AsyncIterator[Page]:
    async with Page.attach(browser.url) as attached:
        yield attached


async def test_it_attaches_to_the_oldest_page(page: Page, browser: FakeBrowser) -> None:
    [attach] = [call for call in browser.sent if call["method"] == "Target.attachToTarget"]
    assert attach["params"]["targetId"] == "front"
    await page.send("DOM.enable")
    assert browser.sent[-1]["sessionId"] == "s"


async def test_a_navigation_ends_with_the_new_documents_load(page: Page, browser: FakeBrowser) -> None:
    browser.answers["Page.navigate"] = lambda _: {"frameId": "f", "loaderId": "l"}
    # The load of the document before, and a frame within, are not what is waited for.
    browser.events_after["Page.navigate"] = [LOADED, committed(id="x", parentId="f")]
    going = asyncio.create_task(page.navigate("http://there/"))
    await page.send("DOM.enable")
    assert not going.done()
    browser.events_after["DOM.enable"] = [committed(id="f"), LOADED]
    await page.send("DOM.enable")
    await going


async def test_a_navigation_within_the_document_has_nothing_to_load(page: Page, browser: FakeBrowser) -> None:
    browser.answers["Page.navigate"] = lambda _: {"frameId": "f"}
    await page.navigate("#there")


async def test_a_navigation_that_fails_says_where_and_why(page: Page, browser: FakeBrowser) -> None:
    browser.answers["Page.navigate"] = lambda _: {"frameId": "f", "errorText": "net::ERR_NAME_NOT_RESOLVED"}
    with pytest.raises(NavigationFailed, match=r"'http://no/' did not load: net::ERR_NAME_NOT_RESOLVED"):
        await page.navigate("http://no/")


async def test_a_cut_during_a_navigation_ends_it_at_once_with_the_reason(
    page: Page, browser: FakeBrowser
) -> None:
    browser.answers["Page.navigate"] = lambda _: {"frameId": "f", "loaderId": "l"}
    going = asyncio.create_task(page.navigate("http://there/"))
    await page.send("DOM.enable")
    await browser.socket.close(code=4000, message=b"TOKEN_SUPERSEDED")
    with pytest.raises(TokenSuperseded):
        await going
    with pytest.raises(TokenSuperseded):
        await page.send("DOM.enable")


@pytest.mark.parametrize(
    "reason", ["TOKEN_SUPERSEDED", "LEASE_EXPIRED", "HOLD_REVOKED", "PROFILE_QUARANTINED"]
)
async def test_whatever_ended_the_hold_its_worker_is_told_to_stop(
    page: Page, browser: FakeBrowser, reason: str
) -> None:
    await browser.socket.close(code=4007, message=reason.encode())
    with pytest.raises(HoldLost):
        await page.evaluate("1")


async def test_a_connection_that_ends_otherwise_says_so(page: Page, browser: FakeBrowser) -> None:
    await browser.socket.close(code=1001, message=b"")
    with pytest.raises(CdpClosed):
        await page.evaluate("1")


async def test_what_a_script_throws_is_raised(page: Page, browser: FakeBrowser) -> None:
    browser.answers["Runtime.evaluate"] = lambda _: {
        "result": {},
        "exceptionDetails": {"text": "Uncaught", "exception": {"description": "Error: no such cart"}},
    }
    with pytest.raises(CdpError, match="no such cart"):
        await page.evaluate("cart()")


async def test_typing_clicks_the_middle_of_the_element_first(page: Page, browser: FakeBrowser) -> None:
    browser.answers["Runtime.evaluate"] = lambda _: {"result": {"value": [40, 25.5]}}
    await page.type("#name", "Ann")
    clicks = [call["params"] for call in browser.sent if call["method"] == "Input.dispatchMouseEvent"]
    assert [(each["type"], each["x"], each["y"]) for each in clicks] == [
        ("mousePressed", 40, 25.5),
        ("mouseReleased", 40, 25.5),
    ]
    assert browser.sent[-1]["params"] == {"text": "Ann"}


async def test_clicking_what_is_not_there_is_an_error(page: Page, browser: FakeBrowser) -> None:
    browser.answers["Runtime.evaluate"] = lambda _: {"result": {"value": None}}
    with pytest.raises(CdpError, match="nothing matches #gone"):
        await page.click("#gone")
