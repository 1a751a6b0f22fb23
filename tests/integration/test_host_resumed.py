"""DevTools clients at the gateway whose browser host hands over, or is killed. Real Chrome and hosts."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType

from gateway.backends import Backends
from gateway.http import HttpServer
from gateway.relay import through_gateway
from servicekit.channels import Channels
from tenure.internal.v1.browser_host_service_pb2 import OpenBrowserResponse
from tests.fixtures.census import until
from tests.fixtures.chrome import Site
from tests.fixtures.host_process import Bench, Service

pytestmark = pytest.mark.timeout(120)


@asynccontextmanager
async def gateway(bench: Bench, resume_s: float = 15.0) -> AsyncIterator[HttpServer]:
    """Its HTTP side, in front of the bench's hosts."""
    async with Channels("gateway") as channels:
        backends = Backends(channels, bench.address)
        starting = HttpServer.start("127.0.0.1:0", backends, dict, resume_s=resume_s)
        async with await starting as http:
            yield http


class Client:
    """Speaks to one page."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket, self._last = socket, 0
        self.session = ""
        self.events: list[Any] = []
        self._answers: dict[int, Any] = {}

    async def ask(self, method: str, **params: Any) -> int:
        """Send a call; its id."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": params}
        await self._socket.send_json(message | ({"sessionId": self.session} if self.session else {}))
        return self._last

    async def answer(self, number: int) -> Any:
        """The one answer to a call."""
        while number not in self._answers:
            await self._hear()
        answer = self._answers[number]
        assert "result" in answer, answer
        return answer["result"]

    async def call(self, method: str, **params: Any) -> Any:
        return await self.answer(await self.ask(method, **params))

    async def says(self, script: str) -> Any:
        answer = await self.call("Runtime.evaluate", expression=script, returnByValue=True)
        return answer["result"].get("value")

    def of(self, method: str) -> list[Any]:
        """The events that came."""
        return [each for each in self.events if each["method"] == method]

    async def event(self, method: str) -> Any:
        """The first of them, once it has come."""
        while not self.of(method):
            await self._hear()
        return self.of(method)[0]["params"]

    async def end(self) -> tuple[int, str]:
        """With what it is closed."""
        while (message := await self._socket.receive(timeout=60)).type is WSMsgType.TEXT:
            self._take(json.loads(message.data))
        assert message.type is WSMsgType.CLOSE
        return message.data, message.extra or ""

    async def attach(self) -> str:
        """To the page that is open; its target."""
        targets = (await self.call("Target.getTargets"))["targetInfos"]
        target = next(each["targetId"] for each in targets if each["url"].startswith("http"))
        self.session = (await self.call("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
        return str(target)

    async def _hear(self) -> None:
        message = await self._socket.receive(timeout=60)
        assert message.type is WSMsgType.TEXT, message
        self._take(json.loads(message.data))

    def _take(self, message: Any) -> None:
        if "id" in message:
            assert message["id"] not in self._answers, "answered twice"
            self._answers[message["id"]] = message
        else:
            self.events.append(message)


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession() as http, http.ws_connect(url, max_msg_size=0) as socket:
        yield Client(socket)


@asynccontextmanager
async def connected_again(url: str) -> AsyncIterator[Client]:
    """As soon as the next host lets it in."""
    async with AsyncExitStack() as stack:

        async def connects() -> bool:
            try:
                clients.append(await stack.enter_async_context(connected(url)))
            except aiohttp.WSServerHandshakeError:
                return False
            return True

        clients: list[Client] = []
        await until(connects, "it is let in again")
        yield clients[0]


async def refused(url: str) -> int:
    """The status with which one is refused there."""
    async with aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await http.ws_connect(url)
    return caught.value.status


def address(http: HttpServer, opened: OpenBrowserResponse) -> str:
    return through_gateway(http.address, opened.session)


async def hand_over(service: Service) -> None:
    service.process.send_signal(signal.SIGUSR2)
    assert await asyncio.wait_for(service.process.wait(), 60) == 0


async def test_what_a_client_set_up_and_waits_for_goes_on_under_the_next_host(
    bench: Bench, site: Site
) -> None:
    """Also the next but one; also for a client of one page."""
    async with gateway(bench) as http, bench.service() as service:
        url = address(http, await service.open(41, f"{site.url}/sign-in"))
        async with connected(url) as client:
            target = await client.attach()
            async with connected(f"{url}/page/{target}") as of_page:
                await client.call("Fetch.enable", patterns=[{"urlPattern": "*kept"}])
                await of_page.call("Runtime.enable")
                asked = await of_page.ask(
                    "Runtime.evaluate",
                    expression="fetch('/sign-in?kept').then(answer => answer.text())",
                    awaitPromise=True,
                )
                paused = await client.event("Fetch.requestPaused")
                await hand_over(service)
                late = await client.ask("Runtime.evaluate", expression="console.log('late'), 'late'")
                async with bench.service() as following:
                    assert (await client.answer(late))["result"]["value"] == "late"
                    await of_page.event("Runtime.consoleAPICalled")
                    await hand_over(following)
                async with bench.service():
                    await client.call("Fetch.continueRequest", requestId=paused["requestId"])
                    assert "<form" in (await of_page.answer(asked))["result"]["value"]
                    assert await of_page.says("console.log('last'), 1") == 1
                    said = [
                        each["params"]["args"][0]["value"] for each in of_page.of("Runtime.consoleAPICalled")
                    ]
                    assert said == ["late", "last"]
                    assert len(client.of("Fetch.requestPaused")) == 1
    assert bench.fake.suspects == []


async def test_a_client_whose_hold_ended_meanwhile_hears_why_and_what_it_sent_is_not_done(
    bench: Bench, site: Site
) -> None:
    async with gateway(bench) as http, bench.service() as service:
        url = address(http, await service.open(41, f"{site.url}/sign-in"))
        async with connected(url) as client:
            await client.attach()
            await hand_over(service)
            await client.ask("Runtime.evaluate", expression="fetch('/never')")
            bench.fake.refused[41] = "TOKEN_SUPERSEDED"
            async with bench.service() as following:
                assert await client.end() == (4002, "TOKEN_SUPERSEDED")
                await following.open(50, f"{site.url}/account")
                assert await refused(url) == 404
                await following.close(50)
    assert not any("never" in each for each in site.requests)


async def test_a_client_whose_host_does_not_come_back_is_told_that_it_stopped(
    bench: Bench, site: Site
) -> None:
    async with gateway(bench, resume_s=1.0) as http, bench.service("--adopt-s=1") as service:
        url = address(http, await service.open(41, f"{site.url}/sign-in"))
        async with connected(url) as client:
            await client.attach()
            await hand_over(service)
            assert await client.end() == (4009, "HOST_STOPPING")


async def test_without_that_a_client_is_told_and_connects_anew_at_the_same_address(
    bench: Bench, site: Site
) -> None:
    async with gateway(bench, resume_s=0.0) as http, bench.service() as service:
        url = address(http, await service.open(41, f"{site.url}/sign-in"))
        async with connected(url) as client:
            await client.attach()
            await client.says("window.kept = 'kept'")
            await hand_over(service)
            assert await client.end() == (4009, "HOST_STOPPING")
        async with bench.service(), connected_again(url) as client:
            await client.attach()
            assert await client.says("window.kept") == "kept"


async def test_of_a_killed_host_nothing_is_known_so_its_clients_connect_anew(
    bench: Bench, site: Site
) -> None:
    """What it had read of either side, and not passed on, is lost with it: nothing is sent twice."""
    async with gateway(bench) as http, bench.service() as service:
        url = address(http, await service.open(41, f"{site.url}/sign-in"))
        async with connected(url) as client:
            await client.attach()
            await client.says("window.kept = 'kept'")
            await service.kill()
            assert await client.end() == (1014, "HOST_UNREACHABLE")
        async with bench.service(), connected_again(url) as client:
            await client.attach()
            assert await client.says("window.kept") == "kept"


async def test_a_host_that_is_killed_after_it_took_over_leaves_no_client_to_the_next(
    bench: Bench, site: Site
) -> None:
    async with gateway(bench) as http, bench.service() as service:
        url = address(http, await service.open(41, f"{site.url}/sign-in"))
        async with connected(url) as client:
            await client.attach()
            await hand_over(service)
            async with bench.service() as following:
                assert await client.says("1") == 1
                await following.kill()
            assert await client.end() == (1014, "HOST_UNREACHABLE")
        async with bench.service(), connected_again(url) as client:
            await client.attach()
            assert await client.says("2") == 2
