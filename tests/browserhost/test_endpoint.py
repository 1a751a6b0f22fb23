"""The endpoint where Chrome is slow, silent or gone; the integration tests have it with a live one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import pytest

from browserhost.browser import Browser
from browserhost.endpoint import CdpEndpoint, Grant
from browserhost.mux import CdpMux
from tenure.cdp import CdpClosed, connect
from tests.fixtures.chrome import until


class Chrome:
    """Answers every call with its own parameters; not those whose method is in `silent`."""

    def __init__(self) -> None:
        self.silent: set[str] = set()
        self.asked: list[str] = []
        self.mux = CdpMux(self._write, self._room)

    @property
    def browser(self) -> Browser:
        """As much of a browser as the endpoint looks at."""
        return cast(Browser, SimpleNamespace(mux=self.mux))

    def _write(self, message: bytes) -> None:
        call: dict[str, Any] = json.loads(message)
        self.asked.append(call["method"])
        if call["method"] not in self.silent:
            result = (
                {"sessionId": "S"} if call["method"] == "Target.attachToBrowserTarget" else call["params"]
            )
            session = {"sessionId": call["sessionId"]} if "sessionId" in call else {}
            answer = {"id": call["id"], "result": result, **session}
            self.mux.received(json.dumps(answer, separators=(",", ":")).encode())

    async def _room(self) -> None:
        return


@pytest.fixture
async def chrome() -> Chrome:
    return Chrome()


@pytest.fixture
async def endpoint() -> AsyncIterator[CdpEndpoint]:
    async with await CdpEndpoint.start("127.0.0.1", 0) as started:
        yield started


@pytest.fixture
def grant(endpoint: CdpEndpoint, chrome: Chrome) -> Grant:
    return endpoint.issue(chrome.browser, lambda: None, lambda: None, lambda _: None)


async def why_closed(grant: Grant) -> tuple[str, int]:
    """Connect and wait for the end."""
    async with connect(grant.url) as client:
        with pytest.raises(CdpClosed) as closed:
            await client.call("Never.answered", timeout=5)
    return closed.value.reason, closed.value.code


async def test_a_secret_is_long_and_its_own(endpoint: CdpEndpoint, chrome: Chrome) -> None:
    grants = [endpoint.issue(chrome.browser, lambda: None, lambda: None, lambda _: None) for _ in range(3)]
    assert len({grant.secret for grant in grants}) == 3
    assert min(len(grant.secret) for grant in grants) >= 43
    assert [grant.url.endswith(f"/cdp/{grant.secret}") for grant in grants] == [True] * 3


async def test_a_wrong_secret_is_told_nothing(grant: Grant) -> None:
    async with aiohttp.ClientSession() as http:
        for path in ("/cdp/wrong", "/cdp/", "/", "/json/version"):
            async with http.get(grant.url.partition("/cdp/")[0].replace("ws:", "http:") + path) as answer:
                assert answer.status == 404


async def test_a_chrome_that_is_gone_is_told(grant: Grant, chrome: Chrome) -> None:
    chrome.mux.lost("BROWSER_CRASHED")
    assert await why_closed(grant) == ("BROWSER_CRASHED", 4005)


async def test_a_chrome_that_does_not_take_a_client_is_told(
    grant: Grant, chrome: Chrome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("browserhost.mux.DETACH_S", 0.05)
    chrome.silent = {"Target.attachToBrowserTarget"}
    assert await why_closed(grant) == ("BROWSER_CRASHED", 4005)


async def test_a_client_that_is_still_joining_is_cut_too(
    endpoint: CdpEndpoint, grant: Grant, chrome: Chrome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("browserhost.mux.DETACH_S", 0.3)
    chrome.silent = {"Target.attachToBrowserTarget"}
    ending = asyncio.create_task(why_closed(grant))
    await until(lambda: "Target.attachToBrowserTarget" in chrome.asked)
    await endpoint.cut(grant.secret, "HOLD_REVOKED")
    assert await ending == ("HOLD_REVOKED", 4004)
    assert "Never.answered" not in chrome.asked


async def test_a_cut_does_not_wait_for_a_silent_chrome_without_end(
    endpoint: CdpEndpoint, grant: Grant, chrome: Chrome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("browserhost.mux.DETACH_S", 0.05)
    chrome.silent = {"Target.detachFromTarget"}
    async with connect(grant.url) as client:
        await client.call("Browser.getVersion")
        await asyncio.wait_for(endpoint.cut(grant.secret, "TOKEN_SUPERSEDED"), 2)
        with pytest.raises(CdpClosed, match="TOKEN_SUPERSEDED"):
            await client.call("Browser.getVersion")


async def test_a_reason_without_a_code_of_its_own_is_still_named(
    endpoint: CdpEndpoint, grant: Grant, chrome: Chrome
) -> None:
    chrome.silent = {"Never.answered"}
    ending = asyncio.create_task(why_closed(grant))
    await until(lambda: "Never.answered" in chrome.asked)
    await endpoint.cut(grant.secret, "LEASE_ENDED_SOMEHOW")
    assert await ending == ("LEASE_ENDED_SOMEHOW", 4000)


async def test_stopping_cuts_everybody(endpoint: CdpEndpoint, grant: Grant, chrome: Chrome) -> None:
    chrome.silent = {"Never.answered"}
    ending = asyncio.create_task(why_closed(grant))
    await until(lambda: "Never.answered" in chrome.asked)
    await endpoint.aclose()
    assert await ending == ("SESSION_ENDED", 4001)
    await endpoint.aclose()
