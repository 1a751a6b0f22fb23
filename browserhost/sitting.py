"""A profile's one session at this host: its clients let in, cut off, and its last facts kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from browserhost.gatekeeper import Gatekeeper
from browserhost.neighbours import Endpoint
from browserhost.session import Session, State
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

    def begin(self, session: Session, browser: LiveBrowser) -> None:
        """A session opens, in place of the last one."""
        self.session = session
        self._issue(session, browser)

    def again(self, token: int, browser: LiveBrowser | None) -> Session | None:
        """The token's session if it is open already; one that was cut for want of a proof is let in again."""
        session = self.session
        if session is None or session.token != token or session.page is None or browser is None:
            return None
        if session.state is State.CUT:
            self._issue(session, browser)
            self._witness.resume()
            session.state = State.OPEN
        return session

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
        if self.session is not None and self.session.token <= cut:
            await self.cut(self.session, state, reason)
        await self._underway.drain(cut)

    async def cut(self, session: Session, state: State, reason: str) -> None:
        """End a session, its clients and what is under way in it. `reason` is what clients are told."""
        secret, page = session.secret, session.page
        self._witness.stop()
        session.end(state)
        if state is State.CUT and not self._fence.is_over(session.token):
            # The browser is still its own, should the token be proven again.
            session.page = page
        self._underway.cancel_uses(session.token)
        if secret:
            await self._endpoint.cut(secret, reason)
        if self._leaving is not None:
            await asyncio.wait([self._leaving])
        await self._underway.end_uses(session.token)

    def _issue(self, session: Session, browser: LiveBrowser) -> None:
        gate, ended = partial(self._fence.gate, session.token), partial(self._client_ended, session)
        grant = self._endpoint.issue(browser, gate, ended, self._witness.called)
        session.secret, session.cdp_url = grant.secret, grant.url

    def _client_ended(self, session: Session) -> None:
        """A client sent Browser.close: its session ends for every client, the browser stays."""
        secret = session.secret
        self._witness.stop()
        session.end(State.CLOSED)
        self._underway.cancel_uses(session.token)
        self._leaving = self._tasks.spawn(self._endpoint.cut(secret, SESSION_ENDED), detached=True)

    def _why_cut(self, token: int) -> TenureError:
        try:
            self._fence.gate(token)
        except TenureError as error:
            return error
        session = self.of(token)
        if session is not None and session.state is State.CRASHED:
            return BrowserCrashed(profile=str(self._name), problem="it ended by itself")
        return NotFound(name=str(SessionName(self._name, token)))
