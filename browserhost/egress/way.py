"""The ways out of this host: directly, or through an upstream, and never the one in place of the other."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from browserhost.egress import asking, socks
from browserhost.egress.asking import Challenged, Unusable, Unwilling
from browserhost.egress.credentials import Credentials, Keeping, Unreadable
from browserhost.egress.end import End, Ended
from browserhost.egress.resolver import resolve
from browserhost.egress.socks import Destination, Malformed
from browserhost.egress.upstream import Upstream

if TYPE_CHECKING:
    from browserhost.egress.egress import Egress

DIAL_S = 30.0
"""From a browser's request to the connection."""
FIRST_S = 5.0
"""How long one of several addresses is tried."""


class Refused(Exception):
    """No connection. `reply` for the browser, `problem` for people, a clause.

    `denied`: by the rules. `down`: whatever the destination, since it is the upstream that is of no use.
    """

    def __init__(self, reply: int, problem: str, *, denied: bool = False, down: bool = False) -> None:
        super().__init__(reply, problem, denied, down)
        self.reply, self.problem, self.denied, self.down = reply, problem, denied, down


class Way(Protocol):
    """Connections to where browsers want to be."""

    async def dial(self, to: Destination) -> End:
        """A connection. Raises Refused. The caller bounds it."""
        ...


class Direct:
    """Names are resolved here, addresses judged, and the very address that was judged is connected to."""

    def __init__(self, egress: Egress, made: Callable[[], End]) -> None:
        """`made` makes the protocol of a connection."""
        self._egress, self._made = egress, made

    async def dial(self, to: Destination) -> End:
        """As Way says; the first address that takes a connection."""
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
                    return await _connect(self._made, str(address), to.port)
            except (OSError, TimeoutError) as error:
                why = f"{address}: {_why(error)}"
        raise Refused(socks.REFUSED, why)


class Through:
    """Names go to the upstream unresolved, judged by their looks. It sees credentials once it asks."""

    def __init__(self, egress: Egress, upstream: Upstream, made: Callable[[], End]) -> None:
        self._egress, self._upstream, self._made = egress, upstream, made
        # Of HTTP: a proxy that has asked once would ask every time, and another round trip with it.
        self._asks = upstream.scheme == "socks5"

    async def dial(self, to: Destination) -> End:
        """As Way says."""
        problem = self._egress.upstream_problem(to.host, to.port)
        if problem is not None:
            raise Refused(socks.NOT_ALLOWED, f"{to.host} {problem}", denied=True)
        try:
            keeping, name = self._upstream.keeping, str(self._upstream)
            if keeping is not None and self._egress.sign_ins.is_wary(name):
                # Before it is asked for anything: to be challenged again and again is no better.
                self._egress.sign_ins.refuse(name, await self._credentials(keeping), self._where(to))
            if not self._asks:
                try:
                    return await self._attempt(to, signed=False)
                except Challenged:
                    if keeping is None:
                        raise
            end = await self._attempt(to, signed=True)
            self._asks = True
            return end
        except Unwilling as error:
            raise Refused(socks.FAILED, str(error)) from None
        except (Unusable, Unreadable) as error:
            raise Refused(socks.FAILED, str(error), down=True) from None
        except (Ended, Malformed):
            raise Refused(socks.FAILED, "the proxy hung up", down=True) from None

    async def _attempt(self, to: Destination, *, signed: bool) -> End:
        """Raises Refused, and what asking.ask raises, and Unreadable."""
        upstream = self._upstream
        keeping = upstream.keeping if signed else None
        credentials = await self._credentials(keeping) if keeping is not None else None
        end = await self._reach()
        try:
            if credentials is None:
                await asking.ask(upstream.scheme, end, to, None)
            else:
                async with self._egress.sign_ins.attempt(str(upstream), credentials, self._where(to)):
                    await asking.ask(upstream.scheme, end, to, credentials)
        except BaseException:
            end.abort()
            raise
        return end

    def _where(self, to: Destination) -> str:
        """What a refusal of the credentials may be of; SOCKS 5 takes them before it hears where to."""
        return "" if self._upstream.scheme == "socks5" else to.host

    async def _credentials(self, keeping: Keeping) -> Credentials:
        """As they are now. Raises Unreadable."""
        # In a thread: the file may be on a disk that is far away.
        return await asyncio.to_thread(keeping.read)

    async def _reach(self) -> End:
        """A connection to the upstream, by the first of its addresses that takes one. Raises Refused."""
        upstream, why = self._upstream, "has no address"
        try:
            context = upstream.context
            # Not the resolver of the rules: the upstream is the host's to reach, not the browser's.
            addresses = await resolve(upstream.host)
        except OSError as error:
            raise Refused(socks.FAILED, f"the proxy {upstream}: {_why(error)}", down=True) from None
        for address in addresses:
            try:
                async with asyncio.timeout(DIAL_S if address == addresses[-1] else FIRST_S):
                    return await _connect(self._made, str(address), upstream.port, context, upstream.host)
            except (OSError, TimeoutError) as error:
                why = _why(error)
        raise Refused(socks.FAILED, f"the proxy {upstream}: {why}", down=True)


async def _connect(
    made: Callable[[], End], host: str, port: int, context: ssl.SSLContext | None = None, name: str = ""
) -> End:
    """`name`: whose certificate it must be, with `context`."""
    _, end = await asyncio.get_running_loop().create_connection(
        made, host, port, ssl=context, server_hostname=name if context is not None else None
    )
    return end


def _why(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, socket.gaierror):
        return "has no address"
    if isinstance(error, ssl.SSLError):
        return f"does not speak TLS: {error.reason or 'unknown'}"
    number = getattr(error, "errno", None)
    return os.strerror(number).lower() if number else (str(error) or type(error).__name__)
