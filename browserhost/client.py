"""One DevTools client's socket: what it sends and is sent, each frame held to gate and policy."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from browserhost import calls, policy
from browserhost.addresses import Addresses
from browserhost.backlog import Backlog
from browserhost.browser import Browser
from browserhost.calls import Call
from browserhost.frames import Piece
from browserhost.mux import PAGE_CLOSED, CdpMux, MuxClient
from browserhost.parked import Parked
from browserhost.policy import Effect, Room, Verdict
from browserhost.web.websocket import WebSocket
from tenure.cdp import HANDED_OVER, HOST_STOPPING, QUIET, CdpClosed, CdpError, Result
from tenure.errors import BrowserCrashed, CdpMethodDenied, TenureError

CLOSE_CODES = {
    "SESSION_ENDED": 4001,
    "TOKEN_SUPERSEDED": 4002,
    "LEASE_EXPIRED": 4003,
    "HOLD_REVOKED": 4004,
    "BROWSER_CRASHED": 4005,
    "SLOW_CLIENT": 4006,
    "PROFILE_QUARANTINED": 4007,
    "STORE_UNAVAILABLE": 4008,  # the token could not be proven in time; it may be again
    "HOST_STOPPING": HOST_STOPPING,
    PAGE_CLOSED: 1000,  # of a client of one page, which is closed: no failure
}
"""4001 to 4999 are an application's own (RFC 6455, 7.4.2). The close text is the reason's name."""
OTHER_REASON = 4000
_DENIED_CODE = -32000  # as Chrome says that a server refuses
_NO_CALL = {"error": {"code": -32600, "message": "a call has an integer id, a method and params"}}
QUIET_S = 3.0
"""How long a client that comes back may take to be quiet, and again to hear that it is to."""
_NESTS, _NESTED = "Target.sendMessageToTarget", "Target.receivedMessageFromTarget"


class Guest(Protocol):
    """Who is connected to a session. `member` is what it is to the mux, if it is."""

    member: MuxClient | None

    def close(self, reason: str) -> None:
        """Pass on nothing more in either direction, and close. Idempotent; must not block."""


@dataclass(eq=False, slots=True)
class Issued:
    """One grant: a session's browser, and what is asked and told on each frame. See CdpEndpoint.issue."""

    browser: Browser
    gate: Callable[[], None]
    on_end: Callable[[], None]
    on_call: Callable[[str], None]
    addresses: Addresses
    clients: set[Guest] = field(default_factory=set)
    """Those that join included: a cut reaches them too."""


class Client:
    """One socket. `target` is the page that it is for; "" is the whole browser.

    `returns`: whoever is there comes back to a next host by itself. `parked` is who is back.
    """

    def __init__(
        self,
        issued: Issued,
        socket: WebSocket,
        target: str = "",
        *,
        returns: bool = False,
        parked: Parked | None = None,
    ) -> None:
        self.member: MuxClient | None = None
        self._returns, self._parked, self._parted = returns, parked, False
        self._issued, self._socket, self._target = issued, socket, target
        self._mux: CdpMux = issued.browser.mux
        self._uploads = os.path.realpath(issued.browser.uploads)
        self._downloads = str(issued.browser.downloads)
        self._backlog = Backlog(socket, self._may_pass, self._hold, lambda: self.close("SLOW_CLIENT"))
        self._over = asyncio.Event()
        self._reason = ""
        self._last_word: Result | None = None

    async def run(self) -> None:
        """Serve the socket until either side, or the session, ends."""
        entering = asyncio.create_task(self._enter())
        await self._first_of(entering)
        if not self._reason:
            await self._serve(entering)
        if self._parted:
            return
        # Side by side: Chrome may take its time over the detach, and the client is told at once.
        await asyncio.gather(self._say_goodbye(), self._leave(entering))

    def close(self, reason: str) -> None:
        """Pass on nothing more in either direction, and close. Idempotent; the first reason stays."""
        if not self._reason and not self._parted:
            self._reason = reason
            self._backlog.clear()
            self._over.set()

    async def quiet(self) -> bool:
        """Have the other side send nothing more to this host; whether all that it sent is taken."""
        if self.member is None or self._reason or not self._returns or self._socket.ended.is_set():
            return False
        with suppress(TimeoutError):
            async with asyncio.timeout(QUIET_S):
                await self._socket.ping(QUIET)
                return not self._reason
        return False

    async def part(self, ticket: str) -> bool:
        """Tell the other side, which is quiet, to come to the next host with this; whether it has heard
        that, and with it all that Chrome has said. It goes on to be attached. Only while Chrome is silent."""
        self._backlog.flush()
        if self._reason:
            return False
        self._parted = True
        return await self._socket.close(HANDED_OVER, ticket, QUIET_S)

    async def _enter(self) -> MuxClient:
        if self._parked is not None:
            return self._parked.take(self._deliver, self.close)
        return await self._mux.enter(self._deliver, self.close, self._target)

    async def _serve(self, entering: asyncio.Task[MuxClient]) -> None:
        """Pass on until one side ends, or `close` says so, even if the client reads no more."""
        try:
            self.member = entering.result()
        except CdpError:
            self.close(PAGE_CLOSED)
        except (CdpClosed, TimeoutError):
            self.close(BrowserCrashed.reason)
        else:
            self._socket.listen(self._heard, self._backlog.room)
            ended = asyncio.create_task(self._socket.ended.wait())
            try:
                await self._first_of(ended)
            finally:
                ended.cancel()
                self.close("SESSION_ENDED")

    async def _first_of(self, task: asyncio.Task[Any]) -> None:
        """Return when the task is done, or `close` was called."""
        over = asyncio.create_task(self._over.wait())
        try:
            await asyncio.wait([over, task], return_when=asyncio.FIRST_COMPLETED)
        finally:
            over.cancel()

    def _heard(self, message: Piece) -> None:
        if self._may_pass():
            self._take(message)
            if self._mux.pipe.full:
                # Its own buffer fills then, and it waits: nobody's messages gather here.
                self._socket.pause()
                self._mux.pipe.when_room(self._socket.resume)

    def _deliver(self, pieces: tuple[Piece, ...]) -> None:
        if self._may_pass():
            self._backlog.put(pieces)

    def _tell(self, message: Mapping[str, Any]) -> None:
        self._deliver((json.dumps(message).encode(),))

    def _hold(self, on: bool) -> None:
        (self._mux.pipe.pause if on else self._mux.pipe.resume)(self)

    def _may_pass(self) -> bool:
        if not self._reason:
            try:
                self._issued.gate()
            except TenureError as closed:
                self.close(closed.reason)
        return not self._reason

    def _take(self, message: Piece) -> None:
        call = calls.parse(message)
        if call is None:
            self._tell(_NO_CALL)
            return
        verdict = policy.by_name(call.method) or policy.judge(call.method, call.params, self._room())
        if verdict.effect is Effect.PASS and self.member is not None:
            self._tell_of(call)
            self._mux.forward(self.member, _judged(call, verdict))
        elif verdict.effect is Effect.END_SESSION:
            self._last_word = _answer(call, {"result": {}})
            self.close("SESSION_ENDED")
            self._issued.on_end()
        else:
            for each in _refused(call, verdict):
                self._tell(each)

    def _tell_of(self, call: Call) -> None:
        """A call is about to be passed on, and with it what older clients put into it."""
        self._issued.on_call(call.method)
        if call.method == _NESTS and (inner := calls.parse(str(call.params.get("message")))) is not None:
            self._tell_of(inner)

    def _room(self) -> Room:
        return Room(
            uploads=self._uploads,
            downloads=self._downloads,
            real=os.path.realpath,
            hidden=lambda name: self.member is not None and self._mux.is_hidden(self.member, name),
            now=time.time(),
        )

    async def _leave(self, entering: asyncio.Task[MuxClient]) -> None:
        """A client cut while it joined is let in by Chrome all the same, and must be put out again."""
        # A browser that hangs, or is gone, is found out at the next hand-over.
        with suppress(CdpClosed, CdpError, TimeoutError):
            await asyncio.shield(self._mux.leave(await entering))

    async def _say_goodbye(self) -> None:
        if self._last_word is not None:
            self._socket.send(json.dumps(self._last_word).encode())
        await self._socket.close(CLOSE_CODES.get(self._reason, OTHER_REASON), self._reason)


def _judged(call: Call, verdict: Verdict) -> Call:
    """The call as it is to be sent: what the policy looked at as it read it, the rest as it was written."""
    if verdict.params is None and not policy.reads(call.method):
        return call
    params = call.params if verdict.params is None else verdict.params
    return call._replace(written=calls.encode(params))


def _refused(call: Call, verdict: Verdict) -> list[Result]:
    """What a client is told of a call that is refused, as DevTools answers errors; `data` is for programs.

    Older clients put calls into calls and wait for the answer in a message: there they get it.
    """
    inner = calls.parse(str(call.params.get("message"))) if call.method == _NESTS else None
    if inner is None:
        refusal = CdpMethodDenied(method=call.method, problem=f"{verdict.problem}; {verdict.remedy}")
        data = {"reason": refusal.reason, "problem": verdict.problem, "remedy": verdict.remedy}
        error = {"code": _DENIED_CODE, "message": str(refusal), "data": json.dumps(data)}
        return [_answer(call, {"error": error})]
    session = str(call.params.get("sessionId", ""))
    told = [{"sessionId": session, "message": json.dumps(each)} for each in _refused(inner, verdict)]
    events = [{"method": _NESTED, "params": {**params, "targetId": ""}, **_address(call)} for params in told]
    return [_answer(call, {"result": {}}), *events]


def _answer(call: Call, answer: Result) -> Result:
    """An answer addressed as its call was."""
    return {"id": call.id, **answer, **_address(call)}


def _address(call: Call) -> dict[str, str]:
    return {"sessionId": call.session} if call.session else {}
