"""Chrome session reuse: what a container-scoped browser cache promises its users, a test a promise.

The cache is a dictionary {(profile directory, proxy key): (browser, proxy)} there; here each profile has
one slot, whose key is asked for at each open.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from unittest.mock import patch

import grpc.aio
import pytest
import pytest_asyncio

import tenure
from tenure.demo.site import DemoSite
from tenure.hold import Result
from tenure.request_id import mint
from tenure.v1.host_service_pb2 import PrewarmRequest
from tenure.v1.host_service_pb2_grpc import HostServiceStub
from tenure.v1.session_pb2 import Proxy
from tenure.v1.session_service_pb2 import (
    CloseSessionRequest,
    OpenSessionRequest,
    OpenSessionResponse,
    ShutdownBrowserRequest,
)
from tenure.v1.session_service_pb2_grpc import SessionServiceStub
from tests.fixtures.census import browser_of, running
from tests.fixtures.faults import sign_in, system_in, warm, who
from tests.fixtures.system import RunningSystem

pytestmark = [pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="module")]

NO_LAUNCH = {"launch", "attach"}
"""The phases that only a launch has."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningSystem]:
    async with upstream() as address:
        proxies = {"TENURE_PROXIES": f"miami__fl=http://{address},austin__tx=http://{address}"}
        with patch.dict(os.environ, proxies):
            async with system_in(tmp_path_factory.mktemp("reuse") / "tenure") as system:
                yield system


@asynccontextmanager
async def upstream() -> AsyncIterator[str]:
    """The least that can be an HTTP proxy; its address."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        finally:
            writer.transport.abort()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        host, _, port = head.split()[1].decode().rpartition(":")
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer), return_exceptions=True)

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield "{}:{}".format(*server.sockets[0].getsockname()[:2])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site() -> AsyncIterator[DemoSite]:
    async with DemoSite() as served:
        yield served


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(system: RunningSystem) -> AsyncIterator[tenure.Client]:
    async with tenure.connect(system.gateway) as connected:
        yield connected


@pytest_asyncio.fixture(loop_scope="module")
async def sessions(system: RunningSystem) -> AsyncIterator[SessionServiceStub]:
    async with grpc.aio.insecure_channel(system.gateway) as channel:
        yield SessionServiceStub(channel)


async def close(sessions: SessionServiceStub, opened: OpenSessionResponse) -> None:
    request = CloseSessionRequest(session=opened.session.name, fencing_token=opened.hold.fencing_token)
    await sessions.CloseSession(request, timeout=30)


async def test_a_miss_launches_once_and_every_later_open_is_a_hit(
    system: RunningSystem, client: tenure.Client, site: DemoSite
) -> None:
    # Of its own: another try of this test would find the first one's browser warm.
    profile = f"hit-{mint()}"
    async with client.open(profile, start_url=f"{site.url}/sign-in") as first:
        assert not first.reused_session
        assert set(first.timings) >= NO_LAUNCH
        await sign_in(await first.cdp(), "hit")
    launched = browser_of(system, profile)
    for _ in range(2):
        async with client.open(profile, start_url=f"{site.url}/account") as again:
            assert again.reused_session
            assert not set(again.timings) & NO_LAUNCH
            # It landed where this run begins, with the login of the run before.
            assert await who(await again.cdp()) == "hit"
        still = browser_of(system, profile).chrome
        assert (still.pid, still.start) == (launched.chrome.pid, launched.chrome.start)


async def test_the_first_open_of_a_prewarmed_profile_launches_nothing_and_reuses_nobodys_session(
    system: RunningSystem, client: tenure.Client, sessions: SessionServiceStub, site: DemoSite
) -> None:
    async with client.open("ahead", start_url=f"{site.url}/sign-in") as first:
        await sign_in(await first.cdp(), "ahead")
        shut = ShutdownBrowserRequest(profile=first.profile, fencing_token=first.fencing_token)
        await sessions.ShutdownBrowser(shut, timeout=30)
    async with grpc.aio.insecure_channel(system.gateway) as channel:
        prewarm = HostServiceStub(channel).Prewarm
        done = await prewarm(PrewarmRequest(profile="ahead"), timeout=60)
        assert (done.prewarmed, done.already_warm) == (True, False)
        again = await prewarm(PrewarmRequest(profile="ahead"), timeout=60)
        assert (again.prewarmed, again.already_warm) == (True, True)
    launched = browser_of(system, "ahead")
    async with client.open("ahead", start_url=f"{site.url}/account") as opened:
        assert (opened.reused_session, opened.prewarmed) == (False, True)
        assert not set(opened.timings) & NO_LAUNCH
        assert await who(await opened.cdp()) == "ahead"
    async with client.open("ahead", start_url=f"{site.url}/account") as second:
        assert (second.reused_session, second.prewarmed) == (True, False)
    assert browser_of(system, "ahead").chrome.pid == launched.chrome.pid


async def test_closing_a_session_ends_no_browser_and_shutting_down_ends_it_for_good(
    system: RunningSystem, client: tenure.Client, sessions: SessionServiceStub, site: DemoSite
) -> None:
    async with client.open("shut", start_url=f"{site.url}/sign-in") as session:
        await sign_in(await session.cdp(), "shut")
    tree = browser_of(system, "shut")
    async with client.open("shut", start_url=f"{site.url}/account") as session:
        request = ShutdownBrowserRequest(profile=session.profile, fencing_token=session.fencing_token)
        assert (await sessions.ShutdownBrowser(request, timeout=30)).was_running
        assert not running(tree.main)
        session.result = Result.SUCCEEDED
    async with client.open("shut", start_url=f"{site.url}/account") as session:
        assert not session.reused_session
        assert await who(await session.cdp()) == "shut", "closed in good order: the login is there"


async def test_a_request_may_have_a_browser_of_its_own(client: tenure.Client, site: DemoSite) -> None:
    for _ in range(2):
        async with client.open("own", start_url=site.url, reuse_session=False) as session:
            assert not session.reused_session
    async with client.open("own", start_url=site.url) as session:
        # A run that did not want reuse leaves nothing to reuse.
        assert not session.reused_session


async def test_two_proxies_never_share_a_browser_and_no_proxy_is_a_key_too(
    system: RunningSystem, client: tenure.Client, site: DemoSite
) -> None:
    async def reused(proxy: Proxy | None) -> bool:
        async with client.open("proxied", start_url=site.url, proxy=proxy) as session:
            return session.reused_session

    miami, austin = Proxy(city="miami", state="fl"), Proxy(city="austin", state="tx")
    assert [await reused(miami), await reused(miami)] == [False, True]
    before = browser_of(system, "proxied")
    assert [await reused(austin), await reused(austin)] == [False, True]
    # Two Chromes on one directory would lose the account: one entry a profile, not one a key.
    assert not running(before.main)
    assert [await reused(None), await reused(Proxy(city="miami", state="fl", disabled=True))] == [False, True]


async def test_a_profile_is_its_tenants_own_by_its_directory_and_by_its_legacy_name(
    system: RunningSystem, sessions: SessionServiceStub
) -> None:
    opened = await sessions.OpenSession(OpenSessionRequest(state_key="shop: north/7"), timeout=60)
    try:
        assert opened.hold.profile == "tenants/default/profiles/shop__north_7"
        assert opened.hold.workflow_id == "shop__north_7"
        assert running(browser_of(system, "shop__north_7").main)
        assert (system.data_root / "tenants/default/chrome-profile/shop__north_7/Default").is_dir()
    finally:
        await close(sessions, opened)


async def test_concurrent_requests_of_one_run_share_one_launch(
    system: RunningSystem, sessions: SessionServiceStub
) -> None:
    async with tenure.connect(system.gateway) as client, client.acquire("elsewhere") as held:
        request = OpenSessionRequest(profile="shared", worker=held.hold.worker, request_id=mint())
        one, other = await asyncio.gather(*(sessions.OpenSession(request, timeout=60) for _ in range(2)))
        assert one.session.name == other.session.name
        assert one.session.cdp_url == other.session.cdp_url
        await close(sessions, one)


async def test_a_host_that_is_recycled_closes_every_browser_in_good_order(
    system: RunningSystem, site: DemoSite
) -> None:
    await warm(system, site, "kept")
    tree = browser_of(system, "kept")
    await system.stop()
    assert not running(tree.everything)
    with patch.dict(os.environ, TENURE_CHROME_REUSE="disabled"):
        await system.start()
    async with tenure.connect(system.gateway) as client:
        # Switched off for the host, to measure what reuse is worth; no request is above that.
        for _ in range(2):
            async with client.open("kept", start_url=f"{site.url}/account", reuse_session=True) as session:
                assert not session.reused_session
                assert await who(await session.cdp()) == "kept"
