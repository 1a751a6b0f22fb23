"""One DevTools client's socket: what it sends and is sent, each frame held to gate and policy."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

from browserhost import policy
from browserhost.browser import Browser
from browserhost.mux import CdpMux, MuxClient
from browserhost.policy import Effect, Room, Verdict
from tenure.cdp import MAX_MESSAGE, CdpClosed, CdpError, Result
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
    "HOST_STOPPING": 4009,
}
"""4001 to 4999 are an application's own (RFC 6455, 7.4.2). The close text is the reason's name."""
OTHER_REASON = 4000
QUEUE_BYTES = 128 << 20
"""What may wait for a client that reads slowly; past it the client is closed as SLOW_CLIENT."""
_CLOSE_S = 1.0
_DENIED_CODE = -32000  # as Chrome says that a server refuses
_NESTS, _NESTED = "Target.sendMessageToTarget", "Target.receivedMessageFromTarget"


@dataclass(eq=False, slots=True)
class Issued:
    """One grant: a session's browser, and what is asked and told on each frame. See CdpEndpoint.issue."""

    browser: Browser
    gate: Callable[[], None]
    on_end: Callable[[], None]
    on_call: Callable[[str], None]
    clients: set[Client] = field(default_factory=set)
    """Those that join included: a cut reaches them too."""


class Client:
    """One socket. `member` is what it is to the mux, once it has joined."""

    def __init__(self, issued: Issued) -> None:
        self._issued = issued
        self._socket = web.WebSocketResponse(max_msg_size=MAX_MESSAGE, compress=False, timeout=_CLOSE_S)
        self._mux: CdpMux = issued.browser.mux
        self._uploads = os.path.realpath(issued.browser.uploads)
        self.member: MuxClient | None = None
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._wake = asyncio.Event()
        self._over = asyncio.Event()
        self._reason = ""
        self._last_word: Result | None = None

    async def run(self, request: web.Request) -> web.WebSocketResponse:
        """Serve the socket until either side, or the session, ends."""
        await self._socket.prepare(request)
        joining = asyncio.create_task(self._mux.join(self._deliver, self.close))
        await self._first_of(joining)
        if not self._reason:
            await self._serve(joining)
        # Side by side: Chrome may take its time over the detach, and the client is told at once.
        await asyncio.gather(self._say_goodbye(), self._leave(joining))
        return self._socket

    def close(self, reason: str) -> None:
        """Pass on nothing more in either direction, and close. Idempotent; the first reason stays."""
        if not self._reason:
            self._reason = reason
            self._waiting.clear()
            self._over.set()

    async def _serve(self, joining: asyncio.Task[MuxClient]) -> None:
        """Read and write until one of them ends, or `close` says so, even if the client reads no more."""
        try:
            self.member = joining.result()
        except (CdpClosed, CdpError, TimeoutError):
            self.close(BrowserCrashed.reason)
            return
        tasks = [asyncio.create_task(each) for each in (self._read(), self._write())]
        try:
            await self._first_of(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.close("SESSION_ENDED")

    async def _first_of(self, *tasks: asyncio.Task[Any]) -> None:
        """Return when one of the tasks is done, or `close` was called."""
        over = asyncio.create_task(self._over.wait())
        try:
            await asyncio.wait([over, *tasks], return_when=asyncio.FIRST_COMPLETED)
        finally:
            over.cancel()

    async def _read(self) -> None:
        async for frame in self._socket:
            if frame.type is not WSMsgType.TEXT or not self._may_pass():
                return
            self._take(frame.data)
            await self._mux.room()

    async def _write(self) -> None:
        with suppress(ConnectionError):
            while await self._wake.wait():
                self._wake.clear()
                while self._waiting:
                    message = self._waiting.popleft()
                    self._waiting_bytes -= len(message)
                    # Asked again: it may have waited for a slow client while its session ended.
                    if self._may_pass():
                        await self._socket.send_frame(message, WSMsgType.TEXT)

    def _deliver(self, message: bytes) -> None:
        if self._may_pass():
            self._waiting.append(message)
            self._waiting_bytes += len(message)
            self._wake.set()
            if self._waiting_bytes > QUEUE_BYTES:
                self.close("SLOW_CLIENT")

    def _may_pass(self) -> bool:
        if not self._reason:
            try:
                self._issued.gate()
            except TenureError as closed:
                self.close(closed.reason)
        return not self._reason

    def _take(self, text: str) -> None:
        call = _call(text)
        if call is None:
            problem = {"code": -32600, "message": "a call has an integer id, a method and params"}
            self._deliver(json.dumps({"error": problem}).encode())
            return
        method = call["method"]
        verdict = policy.judge(method, call["params"], self._room())
        if verdict.effect is Effect.PASS and self.member is not None:
            self._issued.on_call(method)
            params = call["params"] if verdict.params is None else verdict.params
            self._mux.send(self.member, {**call, "params": params})
        elif verdict.effect is Effect.END_SESSION:
            self._last_word = _answer(call, {"result": {}})
            self.close("SESSION_ENDED")
            self._issued.on_end()
        else:
            for message in _refused(call, verdict):
                self._deliver(json.dumps(message).encode())

    def _room(self) -> Room:
        return Room(
            uploads=self._uploads,
            downloads=str(self._issued.browser.downloads),
            real=os.path.realpath,
            hidden=lambda name: self.member is not None and self._mux.is_hidden(self.member, name),
            now=time.time(),
        )

    async def _leave(self, joining: asyncio.Task[MuxClient]) -> None:
        """A client cut while it joined is let in by Chrome all the same, and must be put out again."""
        # A browser that hangs, or is gone, is found out at the next hand-over.
        with suppress(CdpClosed, CdpError, TimeoutError):
            await asyncio.shield(self._mux.leave(await joining))

    async def _say_goodbye(self) -> None:
        code = CLOSE_CODES.get(self._reason, OTHER_REASON)
        with suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(_CLOSE_S):
                if self._last_word is not None:
                    await self._socket.send_json(self._last_word)
                await self._socket.close(code=code, message=self._reason.encode()[:123])


def _call(text: str) -> dict[str, Any] | None:
    """A client's message, or None when it is no call."""
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(message, dict):
        return None
    call = {**message, "params": message.get("params") or {}, "sessionId": message.get("sessionId") or ""}
    fits = isinstance(call["params"], dict) and isinstance(call["sessionId"], str)
    named = isinstance(call.get("id"), int) and isinstance(call.get("method"), str)
    return call if fits and named else None


def _refused(call: dict[str, Any], verdict: Verdict) -> list[Result]:
    """What a client is told of a call that is refused, as DevTools answers errors; `data` is for programs.

    Older clients put calls into calls and wait for the answer in a message: there they get it.
    """
    inner = _call(str(call["params"].get("message"))) if call["method"] == _NESTS else None
    if inner is None:
        refusal = CdpMethodDenied(method=call["method"], problem=f"{verdict.problem}; {verdict.remedy}")
        data = {"reason": refusal.reason, "problem": verdict.problem, "remedy": verdict.remedy}
        error = {"code": _DENIED_CODE, "message": str(refusal), "data": json.dumps(data)}
        return [_answer(call, {"error": error})]
    session = str(call["params"].get("sessionId", ""))
    told = [{"sessionId": session, "message": json.dumps(each)} for each in _refused(inner, verdict)]
    events = [{"method": _NESTED, "params": {**params, "targetId": ""}, **_address(call)} for params in told]
    return [_answer(call, {"result": {}}), *events]


def _answer(call: dict[str, Any], answer: Result) -> Result:
    """An answer addressed as its call was."""
    return {"id": call["id"], **answer, **_address(call)}


def _address(call: dict[str, Any]) -> dict[str, str]:
    return {"sessionId": call["sessionId"]} if call["sessionId"] else {}
