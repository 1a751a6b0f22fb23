"""The way to what a host serves over HTTP: where it is, and what its refusals are to who asked here."""

from __future__ import annotations

import asyncio
import ipaddress
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web

from gateway.backends import Backends
from tenure.errors import HostUnreachable, TenureError

CONNECT_S = 5.0
"""For asking where the host is, and again for reaching it."""
CLOSE_S = 1.0
"""How long either side of a socket may take to hear that it is over."""
NEVER_SENT = frozenset({1004, 1005, 1006, 1015})
"""What a socket is never closed with (RFC 6455, 7.4.1)."""
_SECRET = re.compile(r"[A-Za-z0-9_-]{1,256}")

Upstream = aiohttp.ClientWebSocketResponse[Any]


@asynccontextmanager
async def reach(backends: Backends, host: str, secret: str) -> AsyncIterator[str]:
    """A host's address, as `name:port`, to be asked within CONNECT_S for what it has under the secret.

    What is raised inside becomes HTTP errors; none quotes the address, because the secret is in it.
    """
    if not _SECRET.fullmatch(secret):
        raise no_such_session()
    address = await find(backends, host)
    if not address:
        raise no_such_session()
    async with asking(host):
        yield address


async def find(backends: Backends, host: str) -> str:
    """Where the host serves browsers, as `name:port`; "" when it is not alive.

    Raises HTTPServiceUnavailable.
    """
    try:
        hosts = await backends.alive_hosts(timeout=CONNECT_S)
    except TenureError as error:
        raise web.HTTPServiceUnavailable(text=f"{error}\n") from None
    return next((each.cdp_address for each in hosts if each.name == f"hosts/{host}"), "")


@asynccontextmanager
async def asking(host: str) -> AsyncIterator[None]:
    """As `reach`, of a host whose address is known."""
    try:
        async with asyncio.timeout(CONNECT_S):
            yield
    except aiohttp.ClientResponseError as refused:
        if refused.status == web.HTTPNotFound.status_code:
            raise no_such_session() from None
        if refused.status == web.HTTPTooManyRequests.status_code:
            raise web.HTTPTooManyRequests(text="The session has all the connections it may have.\n") from None
        raise web.HTTPBadGateway(text=f"The host answered {refused.status}.\n") from None
    except (aiohttp.ClientError, OSError, TimeoutError):
        raise web.HTTPBadGateway(text=f"{HostUnreachable(host=f'hosts/{host}')}\n") from None


async def connect(
    http: aiohttp.ClientSession,
    url: str,
    largest: int,
    *,
    autoping: bool = True,
    headers: dict[str, str] | None = None,
) -> Upstream:
    """A socket to a host, whose close is the caller's to answer; its pings too without `autoping`.

    `largest`: bytes of a message. Raises what `asking` translates.
    """
    return await http.ws_connect(
        url,
        max_msg_size=largest,
        timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_S),
        autoclose=False,
        autoping=autoping,
        decode_text=False,
        headers=headers,
    )


def refuse_elsewhere(request: web.Request) -> None:
    """Raise HTTPForbidden unless the request came to an IP address or localhost."""
    if not is_here(request.host):
        # A site whose own name was made to lead here has that name in it.
        raise web.HTTPForbidden(text="Connect to an IP address or localhost.\n")


def no_such_session() -> web.HTTPNotFound:
    return web.HTTPNotFound(text="There is no such session, or it has ended.\n")


def is_here(host: str) -> bool:
    """Whether a Host header gives an IP address or localhost, as whoever was told our address writes."""
    name = host.rpartition(":")[0] if re.search(r":\d+$", host) else host
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return name.lower() == "localhost"
    return True
