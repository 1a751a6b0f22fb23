"""DevTools through the gateway: `/cdp/{host}/{secret}` and what is below it, passed on to that host.

The host's fence is the only judge: what it lets through comes through, and when it closes with a
code and a reason the client gets both at once, also one that is slow to read. Nothing of a secret
is written anywhere.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

from gateway.backends import Backends
from gateway.pair import CLOSE_S, Pair
from tenure.cdp import MAX_MESSAGE
from tenure.errors import HostUnreachable, TenureError
from tenure.v1.session_pb2 import Session

CONNECT_S = 5.0
"""For asking where the host is, and again for reaching it."""
_HEADERS = {"Cache-Control": "no-store"}
_SECRET = re.compile(r"[A-Za-z0-9_-]{1,256}")


def through_gateway(address: str, session: Session) -> str:
    """The session's DevTools address at the gateway's HTTP `address`; empty when it has none."""
    secret = session.cdp_url.rpartition("/cdp/")[2]
    return gateway_url("ws", address, session.host, secret) if secret else ""


def gateway_url(scheme: str, address: str, host: str, secret: str) -> str:
    """Where the gateway at `address` serves what the host has under the secret."""
    return f"{scheme}://{address}/cdp/{host.removeprefix('hosts/')}/{secret}"


class Relay:
    """Serves the routes, until `end`."""

    def __init__(self, backends: Backends, http: aiohttp.ClientSession) -> None:
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
        async with self._upstream(request, "ws") as url:
            upstream = await self._http.ws_connect(
                url,
                max_msg_size=MAX_MESSAGE,
                timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_S),
                autoclose=False,
                decode_text=False,
            )
        client = web.WebSocketResponse(
            max_msg_size=MAX_MESSAGE, compress=False, timeout=CLOSE_S, autoclose=False, decode_text=False
        )
        pair = Pair(client, upstream)
        try:
            self._refuse_when_stopping()
            await client.prepare(request)
            self._pairs.add(pair)
            await pair.run()
        finally:
            self._pairs.discard(pair)
            await upstream.close()
            if request.transport is not None:
                request.transport.abort()  # a client that never read on must not keep its buffers
        return client

    async def _tell(self, request: web.Request) -> web.Response:
        """What a tool asks before it connects, with the addresses in it made ours."""
        _check(request)
        async with self._upstream(request, "http") as url, self._http.get(url) as answer:
            answer.raise_for_status()
            told = await answer.json()
        secret = request.match_info["secret"]
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

    @asynccontextmanager
    async def _upstream(self, request: web.Request, scheme: str) -> AsyncIterator[str]:
        """The host's address for it, to be asked within CONNECT_S.

        What is raised inside becomes HTTP errors; none quotes the address, because the secret is in it.
        """
        self._refuse_when_stopping()
        host, secret = request.match_info["host"], request.match_info["secret"]
        if not _SECRET.fullmatch(secret):
            raise _no_such_session()
        try:
            hosts = await self._backends.alive_hosts(timeout=CONNECT_S)
        except TenureError as error:
            raise web.HTTPServiceUnavailable(text=f"{error}\n") from None
        address = next((each.cdp_address for each in hosts if each.name == f"hosts/{host}"), "")
        if not address:
            raise _no_such_session()
        rest = request.match_info.get("rest", "")
        try:
            async with asyncio.timeout(CONNECT_S):
                yield f"{scheme}://{address}/cdp/{secret}" + (f"/{rest}" if rest else "")
        except aiohttp.ClientResponseError as refused:
            if refused.status == web.HTTPNotFound.status_code:
                raise _no_such_session() from None
            if refused.status == web.HTTPTooManyRequests.status_code:
                raise web.HTTPTooManyRequests(
                    text="The session has all the connections it may have.\n"
                ) from None
            raise web.HTTPBadGateway(text=f"The host answered {refused.status}.\n") from None
        except (aiohttp.ClientError, OSError, TimeoutError):
            raise web.HTTPBadGateway(text=f"{HostUnreachable(host=f'hosts/{host}')}\n") from None

    def _refuse_when_stopping(self) -> None:
        if self._stopping:
            raise web.HTTPServiceUnavailable(text="The gateway is stopping.\n")


def _check(request: web.Request) -> None:
    if "Origin" in request.headers:
        # Only pages send one, and no page has business here, whatever secret it came by.
        raise web.HTTPForbidden(text="DevTools clients only.\n")
    if not is_here(request.host):
        # A site whose own name was made to lead here has that name in it.
        raise web.HTTPForbidden(text="Connect to an IP address or localhost.\n")


def _no_such_session() -> web.HTTPNotFound:
    return web.HTTPNotFound(text="There is no such session, or it has ended.\n")


def is_here(host: str) -> bool:
    """Whether a Host header gives an IP address or localhost, as whoever was told our address writes."""
    name = host.rpartition(":")[0] if re.search(r":\d+$", host) else host
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return name.lower() == "localhost"
    return True
