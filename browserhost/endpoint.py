"""Where DevTools clients connect: `ws://127.0.0.1:PORT/cdp/SECRET`, one secret a session.

Every frame, both ways, passes the session's gate at the moment it would be passed on. When the
gate closes, or the session is cut, the socket is closed at once with a code and the reason's name.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from aiohttp import WSMsgType, web

from browserhost import policy
from browserhost.browser import Browser
from browserhost.mux import CdpMux, MuxClient
from browserhost.policy import Effect
from tenure.cdp import MAX_MESSAGE, CdpClosed, CdpError, Result
from tenure.errors import BrowserCrashed, CdpMethodDenied, TenureError

CLOSE_CODES = {
    "SESSION_ENDED": 4001,
    "TOKEN_SUPERSEDED": 4002,
    "LEASE_EXPIRED": 4003,
    "HOLD_REVOKED": 4004,
    "BROWSER_CRASHED": 4005,
    "SLOW_CLIENT": 4006,
}
"""4001 to 4999 are an application's own (RFC 6455, 7.4.2). The close text is the reason's name."""
OTHER_REASON = 4000
QUEUE_BYTES = 128 << 20
"""What may wait for a client that reads slowly; past it the client is closed as SLOW_CLIENT."""
_CLOSE_S = 1.0
_DENIED_CODE = -32000  # as Chrome says that a server refuses


@dataclass(frozen=True, slots=True)
class Grant:
    """What a session's client needs. `url` holds the secret: it is not to be logged."""

    url: str
    secret: str


@dataclass(eq=False, slots=True)
class _Issued:
    browser: Browser
    gate: Callable[[], None]
    on_end: Callable[[], None]
    on_call: Callable[[str], None]
    clients: set[_Client] = field(default_factory=set)
    """Those that join included: a cut reaches them too."""


class CdpEndpoint:
    """The server. Make it with `start`; `aclose` (or `async with`) cuts every client."""

    def __init__(self) -> None:
        self._issued: dict[str, _Issued] = {}
        self._runner: web.AppRunner | None = None
        self._address = ""

    @classmethod
    async def start(cls, host: str, port: int) -> Self:
        """Listen. Port 0 takes a free one. Raises OSError when the port is taken."""
        endpoint = cls()
        app = web.Application()
        app.router.add_get("/cdp/{secret}", endpoint._serve)
        runner = web.AppRunner(app, access_log=None)  # a log of its paths would be a log of secrets
        await runner.setup()
        endpoint._runner = runner
        try:
            await web.TCPSite(runner, host, port).start()
        except BaseException:
            await runner.cleanup()
            raise
        bound = runner.addresses[0]
        endpoint._address = f"{bound[0]}:{bound[1]}"
        return endpoint

    def issue(
        self,
        browser: Browser,
        gate: Callable[[], None],
        on_end: Callable[[], None],
        on_call: Callable[[str], None],
    ) -> Grant:
        """Let clients in under a new secret, until it is cut.

        `gate` raises a TenureError when the session's token may act no more; it is asked for every
        frame, so it must only look at memory. `on_end` is called when a client asks for the
        browser's end: that ends its own connection, and what else it ends is the caller's to say.
        `on_call` hears the method of each call right before it is passed on; it must not block.
        """
        secret = secrets.token_urlsafe(32)
        self._issued[secret] = _Issued(browser, gate, on_end, on_call)
        return Grant(f"ws://{self._address}/cdp/{secret}", secret)

    async def cut(self, secret: str, reason: str) -> None:
        """End a grant and close its sockets. When this returns Chrome executes nothing of theirs any more.

        Idempotent. From the call on, before anything is awaited, no frame passes either way.
        """
        issued = self._issued.pop(secret, None)
        if issued is None:
            return
        clients = tuple(issued.clients)
        for client in clients:
            client.close(reason)
        members = [client.member for client in clients if client.member is not None]
        with suppress(TimeoutError):  # a browser that does not answer is the next hand-over's to find out
            await asyncio.gather(*(issued.browser.mux.leave(member) for member in members))

    async def aclose(self) -> None:
        """Cut every grant and stop listening. Idempotent."""
        for secret in tuple(self._issued):
            await self.cut(secret, "SESSION_ENDED")
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if "Origin" in request.headers:
            # Only pages send one, and no page has business here, whatever secret it came by.
            raise web.HTTPForbidden(text="DevTools clients only.\n")
        issued = self._issued.get(request.match_info["secret"])
        if issued is None:
            raise web.HTTPNotFound(text="There is no such session, or it has ended.\n")
        socket = web.WebSocketResponse(max_msg_size=MAX_MESSAGE, compress=False, timeout=_CLOSE_S)
        await socket.prepare(request)
        client = _Client(issued, socket)
        try:
            await client.run()
        finally:
            if request.transport is not None:
                request.transport.abort()  # a client that never read on must not keep its buffers
        return socket


class _Client:
    """One socket. `member` is what it is to the mux, once it has joined."""

    def __init__(self, issued: _Issued, socket: web.WebSocketResponse) -> None:
        self._issued, self._socket = issued, socket
        self._mux: CdpMux = issued.browser.mux
        self.member: MuxClient | None = None
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._wake = asyncio.Event()
        self._over = asyncio.Event()
        self._reason = ""
        self._last_word: Result | None = None

    async def run(self) -> None:
        """Serve the socket until either side, or the session, ends."""
        self._issued.clients.add(self)
        try:
            self.member = await self._mux.join(self._deliver, self.close)
        except (CdpClosed, CdpError, TimeoutError):
            self.close(BrowserCrashed.reason)
        else:
            await self._serve()
            with suppress(TimeoutError):  # a browser that hangs is found out at the next hand-over
                await asyncio.shield(self._mux.leave(self.member))
        finally:
            self._issued.clients.discard(self)
        await self._say_goodbye()

    def close(self, reason: str) -> None:
        """Pass on nothing more in either direction, and close. Idempotent; the first reason stays."""
        if not self._reason:
            self._reason = reason
            self._waiting.clear()
            self._over.set()

    async def _serve(self) -> None:
        """Read and write until one of them ends, or `close` says so, even if the client reads no more."""
        tasks = [asyncio.create_task(each) for each in (self._read(), self._write(), self._over.wait())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.close("SESSION_ENDED")

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
        verdict = policy.judge(method, call["params"])
        if verdict.effect is Effect.PASS and self.member is not None:
            self._issued.on_call(method)
            self._mux.send(self.member, call)
        elif verdict.effect is Effect.END_SESSION:
            self._last_word = _answer(call, {"result": {}})
            self.close("SESSION_ENDED")
            self._issued.on_end()
        else:
            refusal = CdpMethodDenied(method=method, problem=verdict.problem)
            data = json.dumps({"reason": refusal.reason, "problem": verdict.problem})
            error = {"code": _DENIED_CODE, "message": str(refusal), "data": data}
            self._deliver(json.dumps(_answer(call, {"error": error})).encode())

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


def _answer(call: dict[str, Any], answer: Result) -> Result:
    """An answer addressed as its call was."""
    address = {"sessionId": call["sessionId"]} if call["sessionId"] else {}
    return {"id": call["id"], **answer, **address}
