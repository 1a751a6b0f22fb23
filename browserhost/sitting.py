"""A profile's one session at this host: its clients let in, cut off, and its last facts kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from urllib.parse import urlsplit

from browserhost.addresses import Addresses, Kind
from browserhost.gatekeeper import Gatekeeper
from browserhost.neighbours import Endpoint
from browserhost.note import Seat
from browserhost.session import Session, State
from browserhost.tainted import lasts, leaves
from browserhost.tasks import Tasks
from browserhost.underway import Underway
from browserhost.witness.witness import Witness
from browserhost.workshop import LiveBrowser
from tenure.errors import BrowserCrashed, NotFound, TenureError
from tenure.names import ProfileName, SessionName

SESSION_ENDED = "SESSION_ENDED"


class Sitting:
    """`session` is the one that is open, or the last that was; None before the first."""

    def __init__(
        self,
        name: ProfileName,
        fence: Gatekeeper,
        endpoint: Endpoint,
        underway: Underway,
        tasks: Tasks,
        witness: Witness,
    ) -> None:
        self.session: Session | None = None
        self._name = name
        self._fence = fence
        self._endpoint = endpoint
        self._underway = underway
        self._tasks = tasks
        self._witness = witness
        self._leaving: asyncio.Task[None] | None = None
        self._kept: tuple[Session, Addresses] | None = None
        self._browser: LiveBrowser | None = None
        self._over: Session | None = None

    def begin(self, session: Session, browser: LiveBrowser) -> None:
        """A session opens, in place of the last one."""
        self.session = session
        self._issue(session, browser)

    def adopt(self, session: Session, browser: LiveBrowser, addresses: Addresses) -> None:
        """An earlier host's session, cut until it is proven: `again` lets it in, under its old addresses."""
        self.session, self._browser, self._kept = session, browser, (session, addresses)
        self._endpoint.expect(browser)

    def remember(self) -> None:
        """Have the browser's keeper remember who is let in to it, and by what addresses, at once."""
        session = self.session
        if session is None or self._browser is None:
            return
        known = self._endpoint.addresses(session.secret) if session.secret else None
        seat = None
        if known is not None:
            seat = Seat(session.token, known.to_dict(), session.opened_at, session.proxy_key)
        elif session.page is not None and session.state is State.CUT:
            return  # it may be let in again: what was said last stays said
        self._browser.remember(seat=seat, cdp_address=urlsplit(session.cdp_url).netloc)

    def again(self, token: int, browser: LiveBrowser | None) -> Session | None:
        """The token's session if it is open already; one that was cut for want of a proof is let in again."""
        session = self.session
        if session is None or session.token != token or session.page is None or browser is None:
            return None
        if session.state is State.CUT:
            browser.wake()
            self._issue(session, browser)
            self._witness.resume()
            session.state = State.OPEN
        return session

    def issue_further(self, token: int, kind: Kind, until: float) -> str:
        """A further secret of the token's open session, to connect with before `until` (seconds since 1970).

        Raises NotFound when there is none; what `gate` does, or BrowserCrashed, when it is cut.
        """
        session = self.of(token)
        if session is None or session.state is not State.OPEN or not session.secret:
            raise self._why_cut(token)
        secret = self._endpoint.issue_further(session.secret, kind, until)
        self.remember()
        return secret

    def of(self, token: int) -> Session | None:
        """The token's session, as it is or ended."""
        return self.session if self.session is not None and self.session.token == token else None

    @asynccontextmanager
    async def using(self, token: int) -> AsyncIterator[None]:
        """Lets the caller act in the token's open session; cancelled once the session is cut.

        Raises NotFound when there is none; what `gate` does, or BrowserCrashed, when it is cut.
        """
        session = self.of(token)
        if session is None or session.state is not State.OPEN:
            raise self._why_cut(token)
        async with self._underway.use(token, partial(self._why_cut, token)):
            yield

    async def drain(self, cut: int, state: State, reason: str) -> None:
        """Cut off every token at or below `cut`, and wait until nothing of it is under way."""
        # The cut that ended one for good has come to its end: nobody is let in again, nothing is left to cut.
        if self.session is not None and self.session.token <= cut and self.session is not self._over:
            await self.cut(self.session, state, reason)
        await self._underway.drain(cut)

    async def cut(self, session: Session, state: State, reason: str) -> None:
        """End a session, its clients, what is under way in it and what runs in its pages.

        `reason` is what clients are told.
        """
        secret, page = session.secret, session.page
        self._witness.stop()
        session.end(state)
        if state is State.CUT and not self._fence.is_over(session.token):
            # The browser is still its own, should the token be proven again.
            session.page = page
        self.remember()
        self._underway.cancel_uses(session.token)
        for_good = session.page is None
        if for_good and page is not None and self._browser is not None:
            self._browser.stop_loading()
        if secret:
            await self._endpoint.cut(secret, reason)
        elif self._browser is not None:
            await self._browser.put_out(reason)
        if self._leaving is not None:
            await asyncio.wait([self._leaving])
        await self._underway.end_uses(session.token)
        # Only by the cut that ends it: a late one would still the next session's pages.
        if page is not None and self._browser is not None:
            await self._browser.still(for_good=for_good)
        if for_good and page is not None:
            self._over = session

    def _issue(self, session: Session, browser: LiveBrowser) -> None:
        gate, ended = partial(self._fence.gate, session.token), partial(self._client_ended, session)
        kept, self._kept = self._kept, None
        addresses = kept[1] if kept is not None and kept[0] is session else None
        called = partial(self._called, browser)
        grant = self._endpoint.issue(browser, gate, ended, called, addresses)
        session.secret, session.cdp_url = grant.secret, grant.url
        self._browser = browser
        self.remember()

    def _client_ended(self, session: Session) -> None:
        """A client sent Browser.close: its session ends for every client, the browser stays."""
        secret = session.secret
        self._witness.stop()
        session.end(State.CLOSED)
        self.remember()
        self._underway.cancel_uses(session.token)
        self._leaving = self._tasks.spawn(self._leave(secret), detached=True)

    async def _leave(self, secret: str) -> None:
        if self._browser is not None:
            self._browser.stop_loading()
        await self._endpoint.cut(secret, SESSION_ENDED)
        if self._browser is not None:
            await self._browser.still(for_good=True)

    def _called(self, browser: LiveBrowser, method: str) -> None:
        """A client's call is about to be passed on."""
        self._witness.called(method)
        if leaves(method):
            browser.taint()
        if lasts(method):
            browser.spend(method)

    def _why_cut(self, token: int) -> TenureError:
        try:
            self._fence.gate(token)
        except TenureError as error:
            return error
        session = self.of(token)
        if session is not None and session.state is State.CRASHED:
            return BrowserCrashed(profile=str(self._name), problem="it ended by itself")
        return NotFound(name=str(SessionName(self._name, token)))
