"""How fast clients that are amid a call are cut off when their token's floor rises."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import aiohttp
from playwright.async_api import Error, Playwright, async_playwright

from tenure.internal.v1.browser_host_service_pb2 import DescribeSessionsRequest, QuarantineHoldRequest
from tests.bench.floor_watch import floor_rises
from tests.bench.report import now, rested
from tests.bench.rig import Rig
from tests.fixtures.services import METADATA

FOR_EVER = "new Promise(() => {})"
_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Cut:
    """Milliseconds from the floor's rise until each client was closed, and what is around that."""

    raw: float
    playwright: float
    rise: float
    """From sending the call until the floor rises: its way, the profile's queue, writing and syncing."""
    acknowledgement: float
    """From sending the call until its answer, which has waited for a last picture."""
    call: float
    """Of a call to the same host that does nothing, just before: the baseline."""


async def cuts(here: Rig, turns: int) -> list[Cut]:
    """Cut sessions off, each of a profile of its own; the first turn, which wakes everything, is left out."""
    async with async_playwright() as playwright:
        return [await _cut(here, playwright, f"cut-{turn}") for turn in range(turns + 1)][1:]


async def _cut(here: Rig, playwright: Playwright, profile: str) -> Cut:
    doomed = await here.crew.doomed(profile, touches=False, waited_for=False)
    custody = here.services.data_root / "tenants" / "default" / "custody" / profile
    name = f"tenants/default/profiles/{profile}"
    async with _raw(doomed.cdp_url) as raw, _driven(playwright, doomed.cdp_url) as driven:
        asked = await rested()
        await here.host.DescribeSessions(
            DescribeSessionsRequest(profile=name), timeout=_TIMEOUT_S, metadata=METADATA
        )
        with floor_rises(custody) as rises:
            sent = now()
            request = QuarantineHoldRequest(profile=name, fencing_token=doomed.token)
            ended = asyncio.gather(rises, raw, driven, _acknowledged(here, request))
            risen, *closed, acknowledged = await asyncio.wait_for(ended, _TIMEOUT_S)
    await doomed.dies()
    assert await doomed.ended() == "RETRY"
    await here.crew.leave(doomed)
    raw_ms, driven_ms = ((moment - risen) * 1000 for moment in closed)
    return Cut(
        raw=raw_ms,
        playwright=driven_ms,
        rise=(risen - sent) * 1000,
        acknowledgement=(acknowledged - sent) * 1000,
        call=(sent - asked) * 1000,
    )


async def _acknowledged(here: Rig, request: QuarantineHoldRequest) -> float:
    await here.host.QuarantineHold(request, timeout=_TIMEOUT_S, metadata=METADATA)
    return now()


@asynccontextmanager
async def _raw(url: str) -> AsyncIterator[asyncio.Task[float]]:
    """A WebSocket with a call under way; the task ends when it is closed, with the moment."""
    async with aiohttp.ClientSession() as http, http.ws_connect(url) as socket:
        await socket.send_json({"id": 1, "method": "Target.getTargets"})
        found = (await socket.receive_json())["result"]["targetInfos"]
        target = next(each["targetId"] for each in found if each["type"] == "page")
        await socket.send_json(
            {"id": 2, "method": "Target.attachToTarget", "params": {"targetId": target, "flatten": True}}
        )
        while (message := await socket.receive_json()).get("id") != 2:
            pass
        session = message["result"]["sessionId"]
        call = {"id": 3, "sessionId": session, "method": "Runtime.evaluate"}
        await socket.send_json(call | {"params": {"expression": FOR_EVER, "awaitPromise": True}})

        async def closed() -> float:
            while not socket.closed:
                await socket.receive()
            return now()

        async with _task(closed()) as task:
            yield task


@asynccontextmanager
async def _driven(playwright: Playwright, url: str) -> AsyncIterator[asyncio.Task[float]]:
    """The same with Playwright, as its user sees it: the call raises."""
    browser = await playwright.chromium.connect_over_cdp(url)
    page = browser.contexts[0].pages[0]

    async def closed() -> float:
        try:
            await page.evaluate(FOR_EVER)
        except Error:
            return now()
        raise AssertionError("a promise that nobody keeps was kept")

    async with _task(closed()) as task:
        yield task
    with suppress(Error):
        await browser.close()


@asynccontextmanager
async def _task(waits: Coroutine[Any, Any, float]) -> AsyncIterator[asyncio.Task[float]]:
    task = asyncio.create_task(waits)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
