"""Where DevTools clients connect: `ws://127.0.0.1:PORT/cdp/SECRET`, one secret a session, and further ones.

Every frame, both ways, passes the session's gate at the moment it would be passed on. When the
gate closes, or the session is cut, the socket is closed at once with a code and the reason's name.
Below the same path are `/json/version`, `/json/list` and `/page/TARGET`, as on Chrome's own port.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Self

import structlog

from browserhost import listing, targets
from browserhost.addresses import Address, Addresses, Kind
from browserhost.browser import REST_S, Browser
from browserhost.client import CLOSE_CODES, OTHER_REASON, Client, Guest, Issued
from browserhost.parting import part
from browserhost.returning import Returning
from browserhost.web.server import Refused, Route, Visit, WebServer
from tenure.cdp import RETURNS, CdpClosed, CdpError
from tenure.errors import BrowserCrashed, TenureError

_log = structlog.get_logger("endpoint")
ANSWER_S = 10.0
"""Longer than one slow client can keep all others waiting (`backlog.STALL_S`)."""
MOST_GUESTS = 32
"""Of one kind that a session has at a time."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What a session's client needs. `url` holds the secret: it is not to be logged."""

    url: str
    secret: str


class CdpEndpoint:
    """Make it with `start`; `aclose` (or `async with`) cuts every client. Others may add routes to `web`."""

    def __init__(self) -> None:
        self._issued: dict[str, Issued] = {}
        self.returning = Returning()
        self._parting = False
        self.web = WebServer({"cdp": Route(self._serve), "resumed": Route(self._go_on)})

    @classmethod
    async def start(cls, host: str, port: int, expected: frozenset[str] = frozenset()) -> Self:
        """Listen. Port 0 takes a free one. `expected` as Returning has it. Raises OSError when the port is
        taken."""
        endpoint = cls()
        endpoint.returning.expected = expected
        await endpoint.web.listen(host, port)
        return endpoint

    @property
    def address(self) -> str:
        """`name:port`."""
        return self.web.address

    def issue(
        self,
        browser: Browser,
        gate: Callable[[], None],
        on_end: Callable[[], None],
        on_call: Callable[[str], None],
        addresses: Addresses | None = None,
    ) -> Grant:
        """Let clients in under a new secret, or under those of `addresses`, until it is cut.

        `gate` raises a TenureError when the session's token may act no more; it is asked for every
        frame, so it must only look at memory. `on_end` is called when a client asks for the
        browser's end: that ends its own connection, and what else it ends is the caller's to say.
        `on_call` hears the method of each call right before it is passed on; it must not block.
        """
        known = addresses or Addresses(secrets.token_urlsafe(32))
        issued = self._issued[known.main] = Issued(browser, gate, on_end, on_call, known)
        self.returning.admit(issued)
        return Grant(f"ws://{self.address}/cdp/{known.main}", known.main)

    def issue_further(self, main: str, kind: Kind, until: float) -> str:
        """A further secret of a grant, to connect with before `until` (seconds since 1970).

        Raises KeyError when the grant is cut, QuotaExceeded when it has too many.
        """
        secret = secrets.token_urlsafe(32)
        self._issued[main].addresses.add(secret, Address(kind, until), time.time())
        return secret

    def addresses(self, main: str) -> Addresses | None:
        """A grant's secrets, to be kept for who takes over its browser; None when it is cut."""
        issued = self._issued.get(main)
        return issued.addresses if issued is not None else None

    def find(self, secret: str, kind: Kind) -> Issued | None:
        """The grant that one may connect to with the secret, now and for that purpose."""
        now = time.time()
        if (issued := self._issued.get(secret)) is not None:
            return issued if issued.addresses.admits(secret, kind, now) else None
        for issued in self._issued.values():
            if issued.addresses.admits(secret, kind, now):
                return issued
        return None

    async def cut(self, secret: str, reason: str) -> None:
        """End a grant and close its sockets. When this returns Chrome executes nothing of theirs any more.

        `secret` is the main one; the further ones end with it. Idempotent. From the call on, before
        anything is awaited, no frame passes either way.
        """
        issued = self._issued.pop(secret, None)
        if issued is None:
            return
        clients, waiting = tuple(issued.clients), issued.browser.mux.roster.waiting
        for client in clients:
            client.close(reason)
        for parked in waiting:
            parked.end(reason)
        members = [client.member for client in clients if client.member is not None]
        members += [parked.member for parked in waiting]
        with suppress(TimeoutError):  # a browser that does not answer is the next hand-over's to find out
            await asyncio.gather(*(issued.browser.mux.leave(member) for member in members))
            # Chrome let go of them, but what they sent to a page that is busy is in that page's queue.
            async with asyncio.timeout(REST_S):
                await issued.browser.come_to_rest()

    def expect(self, browser: Browser) -> None:
        """Clients of the host before may come back to this browser, once it is issued to them again."""
        self.returning.expect(browser.mux.roster.parked)

    async def hand_over(self, reason: str) -> None:
        """Leave to the next host what clients can be left to it, and cut the others.

        Every other use of the browsers is over. Whoever comes hears until `aclose` that this host goes.
        """
        self._parting = True
        grants, self._issued = tuple(self._issued.values()), {}
        parting = [part(each.browser, frozenset(each.clients), reason) for each in grants]
        ends = await asyncio.gather(*parting, return_exceptions=True)
        for each, end in zip(grants, ends, strict=True):
            if end is not None:  # no reason to cut off those of other browsers
                _log.error("its clients are not left to the next host", why=repr(end))
                for guest in tuple(each.clients):
                    guest.close(reason)

    async def aclose(self, reason: str = "SESSION_ENDED") -> None:
        """Cut every grant and stop listening. Idempotent."""
        for secret in tuple(self._issued):
            await self.cut(secret, reason)
        await self.web.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _serve(self, visit: Visit) -> None:
        self._refuse_when_parting()
        secret, rest = (visit.parts[1], visit.parts[2:]) if len(visit.parts) > 1 else ("", [])
        issued = self.find(secret, Kind.CDP)
        if issued is None:
            raise Refused(HTTPStatus.NOT_FOUND, "There is no such session, or it has ended.")
        match rest:
            case []:
                await self._connect(visit, issued, "")
            case ["page", target] if target in {each["targetId"] for each in issued.browser.mux.visible()}:
                await self._connect(visit, issued, target)
            case ["json", *which]:
                visit.answer(
                    HTTPStatus.OK,
                    await _told(issued, which, f"ws://{visit.host}/cdp/{secret}"),
                    listing.JSON,
                )
            case _:
                raise Refused(HTTPStatus.NOT_FOUND, "There is nothing here.")

    async def _go_on(self, visit: Visit) -> None:
        """A client that an earlier host left is back."""
        self._refuse_when_parting()
        ticket = visit.parts[1] if len(visit.parts) == 2 else ""
        issued, parked = self.returning.take(ticket)
        if issued is None or parked.reason:
            await visit.accept().close(CLOSE_CODES.get(parked.reason, OTHER_REASON), parked.reason)
            return
        await self._attend(issued, Client(issued, visit.accept(), returns=True, parked=parked))

    async def _connect(self, visit: Visit, issued: Issued, target: str) -> None:
        check_room(issued, Client)
        returns = visit.asks(RETURNS)
        await self._attend(issued, Client(issued, visit.accept(), target, returns=returns))

    def _refuse_when_parting(self) -> None:
        if self._parting:
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "This host is about to go.")

    async def _attend(self, issued: Issued, client: Client) -> None:
        # Nothing is awaited between the look-up and this, so a cut finds either no grant or this client.
        issued.clients.add(client)
        try:
            await client.run()
        finally:
            issued.clients.discard(client)


def check_room(issued: Issued, kind: type[Guest]) -> None:
    """Raises Refused when the session has all the guests of that kind that it may have."""
    if sum(isinstance(each, kind) for each in issued.clients) >= MOST_GUESTS:
        problem = (
            f"This session has {MOST_GUESTS} connections already, the most it may have. Close one first."
        )
        raise Refused(HTTPStatus.TOO_MANY_REQUESTS, problem)


async def _told(issued: Issued, which: list[str], address: str) -> bytes:
    """What a tool is told. Raises Refused."""
    try:
        issued.gate()
        if which not in ([], ["list"], ["version"]):
            raise Refused(HTTPStatus.NOT_FOUND, "There are /json/version and /json/list.")
        asks_version = which == ["version"]
        method = "Browser.getVersion" if asks_version else "Target.getTargets"
        answer = await issued.browser.mux.root.call(method, timeout=ANSWER_S)
        issued.gate()
    except TenureError as error:
        raise Refused(HTTPStatus.FORBIDDEN, str(error)) from None
    except (CdpClosed, CdpError, TimeoutError):
        raise Refused(HTTPStatus.BAD_GATEWAY, str(BrowserCrashed())) from None
    if asks_version:
        return listing.version(answer, address)
    # Asked for anew: of a title that changes nobody is told.
    return listing.pages(targets.shown_pages(answer["targetInfos"]), address)
