"""DevTools through the gateway, on the running system: driven by Playwright, cut with the hold."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from statistics import median

import aiohttp
import grpc.aio
import pytest
import pytest_asyncio
from aiohttp import WSMsgType
from playwright.async_api import async_playwright

from gateway.reach import CLOSE_S
from tenure import errors
from tenure.v1.session_service_pb2 import (
    CloseSessionRequest,
    IssueCdpUrlRequest,
    OpenSessionRequest,
    OpenSessionResponse,
)
from tenure.v1.session_service_pb2_grpc import SessionServiceStub
from tests.fixtures.faults import system_in
from tests.fixtures.system import RunningSystem

pytestmark = [pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningSystem]:
    async with system_in(tmp_path_factory.mktemp("gateway") / "tenure") as system:
        yield system


@pytest_asyncio.fixture(loop_scope="module")
async def sessions(running: RunningSystem) -> AsyncIterator[SessionServiceStub]:
    async with grpc.aio.insecure_channel(running.gateway) as channel:
        yield SessionServiceStub(channel)


@pytest_asyncio.fixture(loop_scope="module")
async def opened(sessions: SessionServiceStub) -> AsyncIterator[OpenSessionResponse]:
    answer = await sessions.OpenSession(OpenSessionRequest(profile="alice:gateway"))
    yield answer
    await close(sessions, answer)


async def close(sessions: SessionServiceStub, opened: OpenSessionResponse) -> None:
    await sessions.CloseSession(
        CloseSessionRequest(session=opened.session.name, fencing_token=opened.hold.fencing_token)
    )


async def status(url: str, **headers: str) -> int:
    async with aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await http.ws_connect(url, headers=headers)
    return refused.value.status


async def test_playwright_drives_a_session_through_the_gateway(opened: OpenSessionResponse) -> None:
    assert opened.session.gateway_cdp_url != opened.session.cdp_url
    async with async_playwright() as playwright:
        browser = await playwright.chromium.connect_over_cdp(opened.session.gateway_cdp_url)
        page = browser.contexts[0].pages[0]
        await page.set_content("<input id=i><button onclick='i.value += 1'>add</button>")
        await page.fill("#i", "number ")
        await page.click("button")
        assert await page.input_value("#i") == "number 1"
        picture = await page.screenshot()
        assert picture.startswith(b"\x89PNG")
        await browser.close()


async def test_a_further_address_is_for_tools_that_ask_first_and_ends_with_the_session(
    sessions: SessionServiceStub,
) -> None:
    opened = await sessions.OpenSession(OpenSessionRequest(profile="alice:gateway"))
    asked = IssueCdpUrlRequest(session=opened.session.name, fencing_token=opened.hold.fencing_token)
    issued = await sessions.IssueCdpUrl(asked)
    secrets = {
        url.rpartition("/")[2] for url in (issued.cdp_url, issued.gateway_cdp_url, opened.session.cdp_url)
    }
    assert len(secrets) == 2
    assert 0 < issued.expire_time.seconds - time.time() <= 61
    async with async_playwright() as playwright:
        browser = await playwright.chromium.connect_over_cdp(issued.http_url)
        assert await browser.contexts[0].pages[0].evaluate("1 + 1") == 2
        gone = asyncio.Event()
        browser.on("disconnected", lambda _: gone.set())
        await close(sessions, opened)
        await asyncio.wait_for(gone.wait(), 30)
    assert await status(issued.gateway_cdp_url) == await status(issued.cdp_url) == 404
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await sessions.IssueCdpUrl(asked)
    assert isinstance(errors.from_rpc_error(refused.value), errors.TokenSuperseded | errors.NotFound)


async def ends_of_a_release(sessions: SessionServiceStub) -> dict[str, tuple[float, int, str]]:
    """When a client at the host and one at the gateway heard of it, and with which code and reason."""
    opened = await sessions.OpenSession(OpenSessionRequest(profile="alice:gateway"))
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(opened.session.cdp_url) as direct,
        http.ws_connect(opened.session.gateway_cdp_url) as through,
    ):
        ended: dict[str, tuple[float, int, str]] = {}

        async def until_the_end(name: str, socket: aiohttp.ClientWebSocketResponse) -> None:
            await socket.send_str('{"id": 1, "method": "Browser.getVersion"}')
            while (message := await socket.receive()).type is WSMsgType.TEXT:
                answered.release()
            ended[name] = time.monotonic(), message.data, message.extra or ""

        answered = asyncio.Semaphore(0)
        clients = [
            asyncio.create_task(until_the_end(name, socket))
            for name, socket in (("direct", direct), ("through", through))
        ]
        await answered.acquire()
        await answered.acquire()
        await close(sessions, opened)
        await asyncio.gather(*clients)
    return ended


async def test_a_release_cuts_both_ways_alike_and_says_why(sessions: SessionServiceStub) -> None:
    apart: list[float] = []
    for _ in range(3):
        ended = await ends_of_a_release(sessions)
        assert ended["direct"][1:] == ended["through"][1:] == (4001, "SESSION_ENDED")
        apart.append(abs(ended["through"][0] - ended["direct"][0]))
    # At once, and not when a side's time to answer the close is over. A busy machine may stand still once.
    assert median(apart) < CLOSE_S / 2, apart


async def test_who_knows_no_secret_or_comes_from_a_page_is_refused(opened: OpenSessionResponse) -> None:
    url = opened.session.gateway_cdp_url
    front, _, secret = url.rpartition("/")
    assert await status(f"{front}/{'x' * len(secret)}") == 404
    assert await status(f"{front.rpartition('/')[0]}/elsewhere/{secret}") == 404
    assert await status(url, Origin="http://127.0.0.1") == 403
    assert await status(url, Host="tenure.example") == 403


async def test_a_secret_ends_with_its_session_and_is_in_no_log(
    running: RunningSystem, sessions: SessionServiceStub
) -> None:
    opened = await sessions.OpenSession(OpenSessionRequest(profile="alice:gateway"))
    await close(sessions, opened)
    url = opened.session.gateway_cdp_url
    assert await status(url) == 404
    secret = url.rpartition("/")[2]
    for log in Path(running.data_root / "logs").iterdir():
        assert secret not in await asyncio.to_thread(log.read_text)


async def test_the_gateway_says_over_http_whether_it_serves(opened: OpenSessionResponse) -> None:
    address = opened.session.gateway_cdp_url.split("/")[2]

    def ask() -> str:
        with urllib.request.urlopen(f"http://{address}/healthz", timeout=30) as answer:
            return str(answer.read().decode())

    assert await asyncio.to_thread(ask) == "ok\n"


async def test_a_gateway_that_stops_tells_its_clients(system: RunningSystem) -> None:
    async with grpc.aio.insecure_channel(system.gateway) as channel, aiohttp.ClientSession() as http:
        opened = await SessionServiceStub(channel).OpenSession(OpenSessionRequest(profile="alice:gateway"))
        async with http.ws_connect(opened.session.gateway_cdp_url) as socket:
            await socket.send_str(json.dumps({"id": 1, "method": "Browser.getVersion"}))
            await socket.receive()
            os.kill(system.part("gateway"), signal.SIGTERM)
            message = await socket.receive()
            assert (message.data, message.extra) == (1001, "GATEWAY_STOPPING")
        # Its host serves on, and the browser is the same.
        async with http.ws_connect(opened.session.cdp_url) as socket:
            await socket.send_str(json.dumps({"id": 1, "method": "Browser.getVersion"}))
            assert "result" in await socket.receive_json()
