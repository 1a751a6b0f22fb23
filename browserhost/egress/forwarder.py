"""The one way out of a browser: a SOCKS 5 server of its own, on loopback, in the host's process.

It resolves a name, judges the addresses, and connects to the very address that it judged, so that a
name cannot mean another one by then. With an upstream names go there unresolved, and only what is
said is judged. Without its forwarder a browser reaches nothing.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections import deque
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address
from typing import Self

import structlog

from browserhost.egress import socks
from browserhost.egress.addresses import IPAddress, Rules, is_localhost, parse
from browserhost.egress.end import End, Ended
from browserhost.egress.resolver import Resolve, resolve
from browserhost.egress.socks import Destination, Malformed
from browserhost.egress.upstream import Unwilling, Upstream

DIAL_S = 30.0
"""From a browser's request to the connection."""
FIRST_S = 5.0
"""How long one of several addresses is tried."""
HANDSHAKE_S = 10.0
MOST = 1024
"""Connections at once; Chrome opens 32 to one proxy, and 255 WebSockets."""

_LOOPBACK = IPv4Address("127.0.0.1")
_log = structlog.get_logger("egress")


@dataclass(slots=True)
class Egress:
    """What the forwarders of a host have in common. `ports` are theirs, which no browser may reach either."""

    rules: Rules = field(default_factory=Rules)
    resolve: Resolve = resolve
    ports: set[int] = field(default_factory=set)

    def problem(self, address: IPAddress, port: int) -> str | None:
        """Why a browser of this host may not connect there, as a clause; None when it may."""
        rules = self.rules
        if port in self.ports:
            rules = replace(rules, own=rules.own | {(_LOOPBACK, port)})
        here = (rules.watches(port) or not rules.private) and _is_this_machine(address, port)
        return rules.problem(address, port, is_this_machine=here)

    def literal_problem(self, host: str, port: int) -> str | None:
        """As `problem`, of an address as text; a name is no problem before it is resolved."""
        address = _LOOPBACK if is_localhost(host) else parse(host)
        return None if address is None else self.problem(address, port)


class Refused(Exception):
    """No connection. `reply` for the browser, `problem` for people, a clause; `denied` when by the rules."""

    def __init__(self, reply: int, problem: str, *, denied: bool = False) -> None:
        super().__init__(reply, problem, denied)
        self.reply, self.problem, self.denied = reply, problem, denied


@dataclass(frozen=True, slots=True)
class _Failure:
    at: float
    host: str
    text: str


class Forwarder:
    """Listens from `start` until `close`. `name` is the browser's, for the log."""

    def __init__(self, egress: Egress, upstream: Upstream | None, name: str) -> None:
        self._egress, self._upstream, self._name = egress, upstream, name
        self._server: asyncio.Server | None = None
        self._port = 0
        self._ends: set[End] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._failures: deque[_Failure] = deque(maxlen=16)
        self._logged: set[str] = set()

    @classmethod
    async def start(cls, egress: Egress, upstream: str | None, name: str) -> Self:
        """Listen. `upstream` is a URL, None for a direct way out."""
        forwarder = cls(egress, Upstream.parse(upstream) if upstream else None, name)
        loop = asyncio.get_running_loop()
        forwarder._server = await loop.create_server(forwarder._accept, "127.0.0.1", 0)
        forwarder._port = forwarder._server.sockets[0].getsockname()[1]
        egress.ports.add(forwarder._port)
        return forwarder

    @property
    def url(self) -> str:
        """As `--proxy-server` takes it."""
        return f"socks5://127.0.0.1:{self._port}"

    @property
    def connections(self) -> int:
        """Sockets that are open now, to the browser and from it."""
        return len(self._ends)

    def close(self) -> None:
        """Stop, and cut every connection. Idempotent. Only when nothing uses its address any more."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        for task in self._serving:
            task.cancel()
        for end in tuple(self._ends):
            end.abort()
        self._egress.ports.discard(self._port)

    def failed_since(self, moment: float, host: str = "") -> str:
        """The last connection that was not made since then (time.monotonic), with the reason; "" for none.

        One to `host` comes before the others: Chrome has errands of its own.
        """
        failed = [each for each in self._failures if each.at >= moment]
        asked = [each for each in failed if each.host == host]
        return (asked or failed)[-1].text if failed else ""

    def _accept(self) -> End:
        if len(self._ends) >= MOST:
            return End(self._ends.discard, welcome=False)
        end = End(self._ends.discard)
        self._ends.add(end)
        task = asyncio.get_running_loop().create_task(self._serve(end))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        return end

    async def _serve(self, browser: End) -> None:
        """Connect one of the browser's sockets. Afterwards the two ends live without a task."""
        answer = b""
        try:
            async with asyncio.timeout(HANDSHAKE_S):
                await browser.take(_greeting)
                browser.send(socks.WELCOME)
                to = await browser.take(socks.request)
            answer = await self._connect(browser, to)
        except Malformed as malformed:
            answer = malformed.reply
        except (Ended, TimeoutError):
            answer = b""
        except BaseException:
            # Whatever it is, a socket that nobody serves would take one of the few that Chrome opens.
            browser.abort()
            raise
        else:
            if not answer:
                return
        if answer:
            browser.send(answer)
        browser.hang_up()

    async def _connect(self, browser: End, to: Destination) -> bytes:
        """Tie the browser to its destination; what to answer instead when that fails, b"" when it did not."""
        outward: End | None = None
        try:
            async with asyncio.timeout(DIAL_S):
                outward = await (
                    self._dial(to) if self._upstream is None else self._through(self._upstream, to)
                )
        except Refused as refused:
            self._note(to, refused)
            return socks.reply(refused.reply)
        except TimeoutError:
            self._note(to, Refused(socks.HOST, f"does not answer within {DIAL_S:g} s"))
            return socks.reply(socks.HOST)
        browser.send(socks.reply(socks.SUCCEEDED))
        browser.tie(outward)
        return b""

    async def _dial(self, to: Destination) -> End:
        """A connection to the first address that takes one. Raises Refused."""
        try:
            addresses = await self._egress.resolve(to.host)
        except OSError:
            raise Refused(socks.HOST, "has no address") from None
        problems = {address: self._egress.problem(address, to.port) for address in addresses}
        allowed = [address for address, problem in problems.items() if problem is None]
        if not allowed:
            said = "; ".join(f"{address} {problem}" for address, problem in problems.items())
            raise Refused(socks.NOT_ALLOWED, said or "has no address", denied=True)
        why = ""
        for address in allowed:
            try:
                async with asyncio.timeout(DIAL_S if address == allowed[-1] else FIRST_S):
                    return await self._open(str(address), to.port)
            except (OSError, TimeoutError) as error:
                why = f"{address}: {_why(error)}"
        raise Refused(socks.REFUSED, why)

    async def _through(self, upstream: Upstream, to: Destination) -> End:
        """A connection through the upstream. Raises Refused."""
        problem = self._egress.literal_problem(to.host, to.port)
        if problem is not None:
            raise Refused(socks.NOT_ALLOWED, f"{to.host} {problem}", denied=True)
        try:
            end = await self._open(upstream.host, upstream.port, upstream)
        except OSError as error:
            raise Refused(socks.FAILED, f"the proxy {upstream.host}:{upstream.port}: {_why(error)}") from None
        try:
            await upstream.ask(end, to)
        except BaseException as error:
            end.abort()
            if isinstance(error, Unwilling):
                raise Refused(socks.FAILED, str(error)) from None
            if isinstance(error, Ended | Malformed):
                raise Refused(socks.FAILED, "the proxy hung up") from None
            raise
        return end

    async def _open(self, host: str, port: int, upstream: Upstream | None = None) -> End:
        loop = asyncio.get_running_loop()
        _, end = await loop.create_connection(
            lambda: End(self._ends.discard), host, port, ssl=upstream.context if upstream else None
        )
        self._ends.add(end)
        return end

    def _note(self, to: Destination, refused: Refused) -> None:
        text = f"{to}: {refused.problem}"
        self._failures.append(_Failure(time.monotonic(), to.host, text))
        # Once each: a page may ask for the same a thousand times a second.
        if refused.denied and text not in self._logged and len(self._logged) < MOST:
            self._logged.add(text)
            _log.warning("egress refused", profile=self._name, to=str(to), why=refused.problem)


def _greeting(data: bytes) -> tuple[None, int] | None:
    length = socks.greeting(data)
    return None if length is None else (None, length)


def _is_this_machine(address: IPAddress, port: int) -> bool:
    """Whether the kernel would connect there from that very address. Sends nothing: UDP looks up a route."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((str(address), port))
            return bool(probe.getsockname()[0] == str(address))
    except OSError:
        return False


def _why(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer"
    number = getattr(error, "errno", None)
    return os.strerror(number).lower() if number else (str(error) or type(error).__name__)
