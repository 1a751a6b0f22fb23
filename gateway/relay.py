"""DevTools through the gateway: `/cdp/{host}/{secret}` and what is below it, passed on to that host.

The host's fence is the only judge: what it lets through comes through, and when it closes with a
code and a reason the client gets both at once, also one that is slow to read. A host that hands over
to a next process leaves its clients to that: they notice nothing of it. Nothing of a secret is
written anywhere.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial

import aiohttp
from aiohttp import web

from gateway.backends import Backends
from gateway.pair import Pair
from gateway.reach import CLOSE_S, Upstream, asking, connect, find, reach, refuse_elsewhere
from tenure.cdp import MAX_MESSAGE, RETURNS
from tenure.v1.session_pb2 import Session

AGAIN_S = 0.1
"""Between two looks for the next process of a host."""
LEAVING_S = 60.0
"""How long a host that hands over may say that it is still there: what its `handover` gives it to be gone.
One that hangs would keep its clients for ever."""
_HEADERS = {"Cache-Control": "no-store"}


def through_gateway(address: str, session: Session) -> str:
    """The session's DevTools address at the gateway's HTTP `address`; empty when it has none."""
    secret = session.cdp_url.rpartition("/cdp/")[2]
    return gateway_url("ws", address, session.host, secret) if secret else ""


def gateway_url(scheme: str, address: str, host: str, secret: str) -> str:
    """Where the gateway at `address` serves what the host has under the secret."""
    return f"{scheme}://{address}/cdp/{host.removeprefix('hosts/')}/{secret}"


class Relay:
    """Serves the routes, until `end`."""

    def __init__(self, backends: Backends, http: aiohttp.ClientSession, resume_s: float) -> None:
        """`resume_s`: how long a client is kept for the next process of a host that handed over; 0: not."""
        self._resume_s = resume_s
        self._backends = backends
        self._http = http
        self._pairs: set[Pair] = set()
        self._stopping = False

    def routes(self) -> list[web.RouteDef]:
        """What an HTTP server is to serve of this."""
        below = "/cdp/{host}/{secret}"
        return [
            web.get(below, self._serve),
            web.get(f"{below}/{{rest:page/[A-Za-z0-9_-]+}}", self._serve),
            web.get(f"{below}/{{rest:json(?:/(?:version|list))?/?}}", self._tell),
        ]

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        """Answer one client: an HTTP error, or its socket until either side ends."""
        _check(request)
        self._refuse_when_stopping()
        host = request.match_info["host"]
        asks = {RETURNS: "1"} if self._resume_s else None
        async with reach(self._backends, host, request.match_info["secret"]) as address:
            upstream = await self._connect(f"{address}{_path(request)}", asks)
        client = web.WebSocketResponse(
            max_msg_size=MAX_MESSAGE, compress=False, timeout=CLOSE_S, autoclose=False, decode_text=False
        )
        pair = Pair(client, upstream, partial(self._again, host))
        try:
            self._refuse_when_stopping()
            await client.prepare(request)
            self._pairs.add(pair)
            await pair.run()
        finally:
            self._pairs.discard(pair)
            await pair.host.close()
            if request.transport is not None:
                request.transport.abort()  # a client that never read on must not keep its buffers
        return client

    async def _tell(self, request: web.Request) -> web.Response:
        """What a tool asks before it connects, with the addresses in it made ours."""
        _check(request)
        self._refuse_when_stopping()
        secret = request.match_info["secret"]
        async with (
            reach(self._backends, request.match_info["host"], secret) as address,
            self._http.get(f"http://{address}{_path(request)}") as answer,
        ):
            answer.raise_for_status()
            told = await answer.json()
        ours = gateway_url("ws", request.host, request.match_info["host"], secret)
        for each in told if isinstance(told, list) else [told]:
            _, _, rest = each["webSocketDebuggerUrl"].partition(f"/cdp/{secret}")
            each["webSocketDebuggerUrl"] = ours + rest
        return web.json_response(told, headers=_HEADERS)

    def end(self) -> None:
        """Have every socket closed as GATEWAY_STOPPING, and let no more in. Idempotent."""
        self._stopping = True
        for pair in self._pairs:
            pair.end("GATEWAY_STOPPING")

    async def _again(self, host: str, ticket: str) -> Upstream:
        """The next process of a host that handed over, once it is there and lets the client in again.

        As long as either process itself says that it is not known yet, that is waited for: the one that
        goes is there until its slowest browser is done, the next one decides in a bounded time. Raises
        TimeoutError `resume_s` after the last such word, of which none counts that comes later than
        LEAVING_S; HTTPNotFound when the client was not left to it.
        """
        latest = asyncio.get_running_loop().time() + LEAVING_S + self._resume_s
        address = ""
        async with asyncio.timeout(self._resume_s) as limit:
            while True:
                with suppress(web.HTTPBadGateway, web.HTTPServiceUnavailable):
                    # One that goes is not registered for as long as it is there: it is asked where it was.
                    if address := await find(self._backends, host) or address:
                        async with asking(host):
                            return await self._resume(f"{address}/resumed/{ticket}", limit, latest)
                await asyncio.sleep(AGAIN_S)

    async def _resume(self, address: str, limit: asyncio.Timeout, latest: float) -> Upstream:
        try:
            return await self._connect(address)
        except aiohttp.WSServerHandshakeError as refused:
            if refused.status == web.HTTPServiceUnavailable.status_code:
                limit.reschedule(min(asyncio.get_running_loop().time() + self._resume_s, latest))
            raise

    async def _connect(self, address: str, headers: dict[str, str] | None = None) -> Upstream:
        return await connect(self._http, f"ws://{address}", MAX_MESSAGE, autoping=False, headers=headers)

    def _refuse_when_stopping(self) -> None:
        if self._stopping:
            raise web.HTTPServiceUnavailable(text="The gateway is stopping.\n")


def _path(request: web.Request) -> str:
    """At the host."""
    rest = request.match_info.get("rest", "")
    return f"/cdp/{request.match_info['secret']}" + (f"/{rest}" if rest else "")


def _check(request: web.Request) -> None:
    if "Origin" in request.headers:
        # Only pages send one, and no page has business here, whatever secret it came by.
        raise web.HTTPForbidden(text="DevTools clients only.\n")
    refuse_elsewhere(request)
