"""DevTools clients at the endpoint: several on one Chrome, held to the policy, cut off at once."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import aiohttp
import pytest
import pytest_asyncio

from browserhost.browser import Browser
from browserhost.endpoint import CdpEndpoint, Grant
from tenure.cdp import CdpClient, CdpClosed, CdpError, Params, Result, connect
from tenure.errors import TenureError, TokenSuperseded
from tests.fixtures.chrome import Site, until
from tests.fixtures.shared_browser import Shared, browser, shared, site

__all__ = ["browser", "shared", "site"]  # fixtures

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class Session:
    """What the host would be: it opens and closes the gate, and hears of the end."""

    closed: TenureError | None = None
    ended: int = 0
    asked: int = 0

    def gate(self) -> None:
        self.asked += 1
        if self.closed is not None:
            raise self.closed

    def end(self) -> None:
        self.ended += 1


@dataclass
class Tab:
    """A client's page."""

    client: CdpClient
    session: str
    events: list[tuple[str, Result]] = field(default_factory=list)

    async def call(self, method: str, params: Params | None = None) -> Result:
        return await self.client.call(method, params, self.session, timeout=30)


@pytest_asyncio.fixture(loop_scope="module")
async def endpoint() -> AsyncIterator[CdpEndpoint]:
    async with await CdpEndpoint.start("127.0.0.1", 0) as started:
        yield started


@pytest.fixture
def session() -> Session:
    return Session()


@pytest.fixture
def grant(endpoint: CdpEndpoint, browser: Browser, session: Session) -> Grant:
    return endpoint.issue(browser, session.gate, session.end, lambda _: None)


async def first_tab(client: CdpClient) -> Tab:
    targets = (await client.call("Target.getTargets"))["targetInfos"]
    target = next(each["targetId"] for each in targets if each["type"] == "page")
    answer = await client.call("Target.attachToTarget", {"targetId": target, "flatten": True})
    tab = Tab(client, answer["sessionId"])
    client.listen(lambda method, params, session: tab.events.append((method, params)))
    return tab


def end_of(client: CdpClient) -> asyncio.Future[CdpClosed]:
    """Resolves with why a connection was closed."""
    over: asyncio.Future[CdpClosed] = asyncio.get_running_loop().create_future()

    def lost(why: CdpClosed) -> None:
        if not over.done():
            over.set_result(why)

    client.when_lost(lost)
    return over


async def closing(grant: Grant, act: Callable[[CdpClient], object]) -> CdpClosed:
    """Connect, act, and return why the connection was closed."""
    async with connect(grant.url) as client:
        over = end_of(client)
        await client.call("Browser.getVersion")
        act(client)
        return await asyncio.wait_for(over, 30)


async def test_a_client_drives_the_page(grant: Grant, site: Site, browser: Browser) -> None:
    async with connect(grant.url) as client:
        tab = await first_tab(client)
        await tab.call("Page.enable")
        await tab.call("Page.navigate", {"url": f"{site.url}/second"})
        await until(lambda: "Page.loadEventFired" in [method for method, _ in tab.events])
        await until(lambda: browser.url == f"{site.url}/second")


async def test_two_clients_do_not_hear_of_each_other(grant: Grant) -> None:
    async with connect(grant.url) as one, connect(grant.url) as two:
        mine, other = await first_tab(one), await first_tab(two)
        assert mine.session != other.session
        await mine.call("Runtime.enable")
        answers = await asyncio.gather(
            *(
                tab.call("Runtime.evaluate", {"expression": f"{number}"})
                for number in range(50)
                for tab in (mine, other)
            )
        )
        assert [answer["result"]["value"] for answer in answers] == [n for n in range(50) for _ in "ab"]
        assert "Runtime.executionContextCreated" in [method for method, _ in mine.events]
        assert "Runtime.executionContextCreated" not in [method for method, _ in other.events]
        with pytest.raises(CdpError, match="Session with given id not found"):
            await one.call("Runtime.evaluate", {"expression": "1"}, other.session)


async def test_a_large_answer_arrives_whole(grant: Grant) -> None:
    async with connect(grant.url) as client:
        tab = await first_tab(client)
        script = {"expression": "'x'.repeat(5_000_000) + '\\u00e9'", "returnByValue": True}
        value = (await tab.call("Runtime.evaluate", script))["result"]["value"]
        assert (len(value), value[-1]) == (5_000_001, "é")


async def test_what_waits_in_a_busy_page_is_over_when_a_cut_is(
    endpoint: CdpEndpoint, grant: Grant, browser: Browser
) -> None:
    async with connect(grant.url) as client:
        tab = await first_tab(client)
        busy = "console.log('busy'); for (const end = Date.now() + 700; Date.now() < end;); 0"
        await tab.call("Runtime.enable")
        for script in (busy, "document.title = Date.now()"):
            client.post("Runtime.evaluate", {"expression": script}, tab.session)
        await until(lambda: "Runtime.consoleAPICalled" in [method for method, _ in tab.events])
        await endpoint.cut(grant.secret, "TOKEN_SUPERSEDED")
        over = time.time() * 1000
    front = browser._pages.front
    assert front is not None
    answer = await browser.mux.root.call("Runtime.evaluate", {"expression": "document.title"}, front.session)
    assert int(answer["result"]["value"]) <= over


@pytest.mark.parametrize("method", ["Browser.close", "Browser.crash"])
async def test_ending_the_browser_ends_the_session_only(
    grant: Grant, session: Session, browser: Browser, site: Site, method: str
) -> None:
    async with connect(grant.url) as client:
        assert await client.call(method) == {}
        await until(lambda: session.ended)
    await browser.hand_over(f"{site.url}/next")
    assert session.ended == 1


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("Page.navigate", {"url": "file:///etc/passwd"}),
        ("Page.navigate", {"url": " CHROME://settings"}),
        ("Network.clearBrowserCookies", {}),
        ("Storage.clearDataForOrigin", {"origin": "https://x.example", "storageTypes": "all"}),
        ("Extensions.loadUnpacked", {"path": "/tmp"}),
        ("PWA.install", {"manifestId": "https://x.example/"}),
        ("Target.openDevTools", {"targetId": "any"}),
    ],
)
async def test_what_the_policy_refuses_is_answered_with_the_reason(
    grant: Grant, browser: Browser, method: str, params: Params
) -> None:
    async with connect(grant.url) as client:
        tab = await first_tab(client)
        before = browser.url
        with pytest.raises(CdpError) as refused:
            await tab.call(method, params)
        assert json.loads(str(refused.value.data))["reason"] == "CDP_METHOD_DENIED"
        assert browser.url == before
        assert await tab.call("Runtime.evaluate", {"expression": "1"})


async def test_what_is_no_call_is_answered_and_the_rest_goes_on(grant: Grant) -> None:
    async with aiohttp.ClientSession() as http, http.ws_connect(grant.url) as socket:
        for text in ("{", "[]", '{"id": "one", "method": "x"}', '{"id": 1, "method": "x", "params": 1}'):
            await socket.send_str(text)
            assert (await socket.receive_json(timeout=30))["error"]["code"] == -32600
        await socket.send_json({"id": 7, "method": "Browser.getVersion"})
        assert (await socket.receive_json(timeout=30))["id"] == 7


async def test_a_closed_gate_closes_the_socket_at_the_next_frame_from_the_client(
    grant: Grant, session: Session
) -> None:
    def act(client: CdpClient) -> None:
        session.closed = TokenSuperseded(token=7)
        client.post("Browser.getVersion")

    why = await closing(grant, act)
    assert (why.reason, why.code) == ("TOKEN_SUPERSEDED", 4002)


async def test_a_closed_gate_closes_the_socket_at_the_next_frame_from_the_browser(
    grant: Grant, session: Session
) -> None:
    async with connect(grant.url) as client:
        over = end_of(client)
        tab = await first_tab(client)
        await tab.call("Runtime.enable")
        await tab.call("Runtime.evaluate", {"expression": "setInterval(() => console.log('tick'), 50); 0"})
        session.closed = TokenSuperseded(token=7)
        heard = len(tab.events)
        assert (await asyncio.wait_for(over, 30)).reason == "TOKEN_SUPERSEDED"
        assert len(tab.events) - heard <= 1


async def test_a_cut_closes_every_socket_and_ends_what_its_clients_set_up(
    endpoint: CdpEndpoint, grant: Grant, browser: Browser, site: Site
) -> None:
    lost: list[str] = []
    async with connect(grant.url) as one, connect(grant.url) as two:
        for client in (one, two):
            client.when_lost(lambda why: lost.append(f"{why.code} {why.reason}"))
        await (await first_tab(one)).call("Emulation.setUserAgentOverride", {"userAgent": "mine"})
        waiting = (await first_tab(two)).client.post("Target.getTargets")
        await endpoint.cut(grant.secret, "HOLD_REVOKED")
        await until(lambda: len(lost) == 2)
        assert lost == ["4004 HOLD_REVOKED"] * 2
        assert waiting.done()
        with pytest.raises(CdpClosed):
            await one.call("Browser.getVersion")
    with pytest.raises(CdpClosed):
        async with connect(grant.url):
            pass
    await endpoint.cut(grant.secret, "HOLD_REVOKED")
    assert not browser.mux.roster.clients


async def test_a_browser_that_ends_closes_its_clients_with_the_reason(
    endpoint: CdpEndpoint, shared: Shared, session: Session
) -> None:
    alone = await shared.launch()
    grant = endpoint.issue(alone, session.gate, session.end, lambda _: None)
    async with connect(grant.url) as client:
        over = end_of(client)
        alone.mux.root.post("Browser.crash")
        assert (await asyncio.wait_for(over, 30)).reason == "BROWSER_CRASHED"
    await asyncio.wait_for(asyncio.shield(alone.ended), 30)


async def test_a_tool_lists_the_pages_and_connects_to_one_until_that_closes(
    grant: Grant, browser: Browser, site: Site
) -> None:
    async with aiohttp.ClientSession() as http:
        async with http.get(grant.url.replace("ws:", "http:") + "/json/version/") as answer:
            assert (await answer.json())["Browser"].startswith("Chrome/")
        async with connect(grant.url) as client:
            made = await client.call("Target.createTarget", {"url": f"{site.url}/tool"})
            await until(lambda: "GET /tool" in site.requests)
            mine, listed = {"title": ""}, dict[str, dict[str, str]]()
            async with asyncio.timeout(30):
                while mine["title"] != "/tool":
                    async with http.get(grant.url.replace("ws:", "http:") + "/json") as answer:
                        listed = {each["id"]: each for each in await answer.json()}
                    mine = listed[made["targetId"]]
            assert {"/first", "/tool"} <= {each["title"] for each in listed.values()}
            async with connect(mine["webSocketDebuggerUrl"]) as page:
                over = end_of(page)
                script = {"expression": "location.pathname"}
                assert (await page.call("Runtime.evaluate", script))["result"]["value"] == "/tool"
                with pytest.raises(CdpError, match="refused by the session's policy"):
                    await page.call("Page.navigate", {"url": "file:///etc/passwd"})
                await client.call("Target.closeTarget", {"targetId": made["targetId"]})
                why = await asyncio.wait_for(over, 30)
                assert (why.code, why.reason) == (1000, "PAGE_CLOSED")


async def test_a_client_that_does_not_read_is_closed_and_holds_nobody_up(
    grant: Grant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("browserhost.backlog.MOST", 1 << 20)
    address = grant.url.removeprefix("ws://")
    host, _, path = address.partition("/")
    name, _, port = host.partition(":")
    reader, writer = await asyncio.open_connection(name, int(port), limit=1024)
    handshake = (
        f"GET /{path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    writer.write(handshake.encode())
    await reader.readuntil(b"\r\n\r\n")
    call = json.dumps({"id": 1, "method": "Target.getTargets", "params": {}}).encode()
    frame = bytes([0x81, 0x80 | len(call)]) + b"\0\0\0\0" + call
    async with connect(grant.url) as other:
        with pytest.raises(ConnectionError):
            for _ in range(2000):
                writer.write(frame * 100)
                await asyncio.wait_for(writer.drain(), 30)
                await asyncio.wait_for(other.call("Browser.getVersion"), 30)
    writer.close()


async def test_a_page_of_the_web_may_not_connect(grant: Grant) -> None:
    async with aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await http.ws_connect(grant.url, origin="https://evil.example")
    assert refused.value.status == 403


async def test_a_port_that_is_taken_is_an_error(grant: Grant) -> None:
    port = int(grant.url.removeprefix("ws://127.0.0.1:").partition("/")[0])
    with pytest.raises(OSError, match="address already in use"):
        await CdpEndpoint.start("127.0.0.1", port)
