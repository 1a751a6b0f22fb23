"""What it costs to drive a session: a round trip, pictures, a click, beside Chrome's own debugging port."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from statistics import median
from typing import Any

import aiohttp

import tenure
from tenure.v1.session_pb2 import Action, Click
from tests.bench import report
from tests.bench.bare import BareBrowser
from tests.bench.browser_rig import Bench
from tests.bench.parts import Measured

TURNS = 60
CALLS = 50
PICTURE_TURNS = 6
PICTURES = 10
CLICKS = 30

RTT_GOAL = 1.5
PICTURES_GOAL = 0.9

_LARGEST = 256 << 20


class RawClient:
    """A WebSocket and numbered messages, one at a time: the least that a client can be."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._last_id = 0
        self._page = ""

    @classmethod
    @asynccontextmanager
    async def on(cls, url: str) -> AsyncIterator[RawClient]:
        async with (
            aiohttp.ClientSession() as http,
            http.ws_connect(url, max_msg_size=_LARGEST, compress=0) as socket,
        ):
            yield cls(socket)

    async def attach(self) -> None:
        """Have all calls from now on go to the page in front."""
        targets = await self.call("Target.getTargets")
        page = [each for each in targets["targetInfos"] if each["type"] == "page"][-1]
        attached = await self.call("Target.attachToTarget", targetId=page["targetId"], flatten=True)
        self._page = attached["sessionId"]

    async def call(self, method: str, **params: object) -> dict[str, Any]:
        self._last_id += 1
        message: dict[str, object] = {"id": self._last_id, "method": method, "params": params}
        if self._page:
            message["sessionId"] = self._page
        await self._socket.send_str(json.dumps(message))
        while True:
            text = await self._socket.receive_str()
            # A picture is not parsed: whoever wants its bytes cuts them out.
            if text.startswith(f'{{"id":{self._last_id},') and len(text) > 1 << 16:
                return {}
            answer = json.loads(text)
            if answer.get("id") == self._last_id:
                return dict(answer["result"])


async def round_trips(bench: Bench) -> Measured:
    """Browser.getVersion of one Chrome, by three ways to it, in short turns, from one and the same client.

    Two Chromes with nothing to do differ by a quarter on their own ports, so one is asked on all ways. A
    way's figure is the median of its turns, and a turn's that of its calls: whatever disturbed some of the
    turns is none of it. Who begins changes from turn to turn.
    """
    async with (
        tenure.connect(bench.gateway) as tenure_client,
        tenure_client.open("round-trips", reuse_session=False) as session,
        RawClient.on(bench.devtools()) as port,
        RawClient.on(session.cdp_url) as host,
        RawClient.on(session.gateway_cdp_url) as gateway,
    ):
        ways = [port, host, gateway]
        turns: dict[RawClient, list[float]] = {way: [] for way in ways}
        for turn in range(TURNS + 1):
            for way in ways:
                took = [await _round_trip(way) for _ in range(CALLS)]
                if turn:
                    turns[way].append(median(took))
            ways.append(ways.pop(0))
    ratios = [ours / theirs for ours, theirs in zip(turns[host], turns[port], strict=True)]
    return [
        report.paired("cdp_rtt_vs_port", turns[host], turns[port], at_most=RTT_GOAL),
        report.paired("cdp_rtt_gateway_vs_port", turns[gateway], turns[port]),
    ], [f"round trips: {min(ratios):.2f} to {max(ratios):.2f} times the port in the turns"]


async def _round_trip(client: RawClient) -> float:
    """In milliseconds."""
    began = report.now()
    await client.call("Browser.getVersion")
    return (report.now() - began) * 1000


async def pictures(bench: Bench) -> Measured:
    """Pictures a second of a page that compresses badly, one after the other, from the same client."""
    url = f"{bench.url}picture"
    async with (
        BareBrowser(port=True) as bare,
        tenure.connect(bench.gateway) as tenure_client,
        tenure_client.open("pictures", start_url=url, reuse_session=False) as session,
        RawClient.on(bare.devtools) as port,
        RawClient.on(session.cdp_url) as host,
    ):
        await bare.navigate(url)
        rates: dict[RawClient, list[float]] = {port: [], host: []}
        for client in rates:
            await client.attach()
        for turn in range(PICTURE_TURNS + 1):
            for client, series in rates.items():
                began = await report.rested()
                for _ in range(PICTURES):
                    await client.call("Page.captureScreenshot", format="png")
                if turn:
                    series.append(PICTURES / (report.now() - began))
    figure = report.paired("screenshots_vs_bare", rates[host], rates[port], "1/s", at_least=PICTURES_GOAL)
    return [figure], []


async def clicks(bench: Bench) -> Measured:
    """A click that changes the page, done once the page has settled, as Act answers it."""
    click = Action(click=Click(x=100, y=100))
    took, why = [], set()
    async with (
        tenure.connect(bench.gateway) as client,
        client.open("clicks", start_url=f"{bench.url}counter", reuse_session=False) as session,
    ):
        for turn in range(CLICKS + 1):
            began = await report.rested()
            answer = await session.act(click)
            if turn:
                took.append((report.now() - began) * 1000)
            why.add(answer.settle_reason)
        page = await session.cdp()
        counted = await page.evaluate("Number(count.textContent)")
        assert counted == CLICKS + 1, f"{counted} clicks were counted"
    figure = report.measured("act_settled_p50_ms", median(took), "ms", len(took))
    p95 = report.percentile(took, 0.95)
    return [figure], [f"act: p95 {p95:.1f} ms, waiting ended by {', '.join(sorted(why))}"]
