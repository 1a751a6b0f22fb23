"""A Chrome DevTools Protocol client over whatever carries its messages.

`CdpClient` matches answers to calls and hands out events; `connect` puts it on a WebSocket. The
browser host puts another on Chrome's debugging pipe. Protocol: https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import aiohttp

Params = Mapping[str, Any]
Result = dict[str, Any]
Listener = Callable[[str, Result, str], None]
"""Called with an event's method, parameters and session ("" is the connection's own)."""

MAX_MESSAGE = 256 << 20
"""Bytes. A full-page screenshot of a long page has tens of MiB."""

RETURNS = "Tenure-Returns"
"""A header: whoever connects comes back by itself, after a close with the code HANDED_OVER, to the host that
runs then, at `/resumed/` and the text of that close."""
QUIET = b"quiet"
"""A ping of the host's to such a one, who answers it behind the last message for this host."""
HANDED_OVER = 4010
HOST_STOPPING = 4009
"""The code with which those are cut off who do not come back."""

_log = logging.getLogger("tenure.cdp")
_SHOWN = 200
"""Characters of a message that is logged."""
_NO_SESSION = -32001
"""Chrome's own code for a call to a session that it does not know."""


class CdpError(Exception):
    """The browser, or the policy before it, refused a call. `data` may say more."""

    def __init__(self, method: str, code: int, text: str, data: object = None) -> None:
        super().__init__(method, code, text, data)
        self.method, self.code, self.text, self.data = method, code, text, data

    def __str__(self) -> str:
        return f"{self.method}: {self.text} ({self.code})" + (f": {self.data}" if self.data else "")


class CdpClosed(Exception):
    """The connection is over. `reason` names why when the other side said so, e.g. TOKEN_SUPERSEDED."""

    def __init__(self, reason: str, code: int = 0) -> None:
        super().__init__(reason, code)
        self.reason, self.code = reason, code

    def __str__(self) -> str:
        return f"the DevTools connection is closed: {self.reason}"


class CdpClient:
    """Calls out, answers and events in. `send` must keep the order of messages and not block."""

    def __init__(self, send: Callable[[str], None]) -> None:
        self._send = send
        self._ids = itertools.count(1)
        self._waiting: dict[int, tuple[str, str, asyncio.Future[Result]]] = {}
        self._listeners: list[Listener] = []
        self._mourners: list[Callable[[CdpClosed], None]] = []
        self._closed: CdpClosed | None = None
        self._puzzled = False

    def post(self, method: str, params: Params | None = None, session: str = "") -> asyncio.Future[Result]:
        """Send a call now; its answer comes in the future. Nobody has to await it.

        The future raises CdpError, or CdpClosed.
        """
        answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        if self._closed is not None:
            _fail(answer, self._closed)
            return answer
        number = next(self._ids)
        message: dict[str, Any] = {"id": number, "method": method, "params": params or {}}
        if session:
            message["sessionId"] = session
        self._waiting[number] = method, session, answer
        self._send(json.dumps(message, separators=(",", ":")))
        return answer

    async def call(
        self, method: str, params: Params | None = None, session: str = "", timeout: float = 30.0
    ) -> Result:
        """Send a call and return its answer. Raises CdpError, CdpClosed, TimeoutError (seconds)."""
        async with asyncio.timeout(timeout):
            return await self.post(method, params, session)

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with every event, in order; it must not block. Returns how to stop."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def when_lost(self, tell: Callable[[CdpClosed], None]) -> Callable[[], None]:
        """Call `tell` once the connection is over; at once when it is. Returns how to stop."""
        if self._closed is not None:
            tell(self._closed)
        self._mourners.append(tell)
        return lambda: self._mourners.remove(tell)

    def deliver(self, text: str | bytes) -> None:
        """Take a message from the other side. One that is neither an answer nor an event changes nothing."""
        message = json.loads(text)
        if "id" not in message and "method" not in message:
            # Chrome's word on a call that it could not read: it does not say on which.
            if not self._puzzled:
                self._puzzled = True
                _log.warning("neither an answer nor an event: %s", text[:_SHOWN])
            return
        if "id" not in message:
            for listener in tuple(self._listeners):
                listener(message["method"], message.get("params", {}), message.get("sessionId", ""))
            if message["method"] == "Target.detachedFromTarget":
                self._detached(message["params"]["sessionId"])
            return
        method, _, answer = self._waiting.pop(message["id"], ("", "", None))
        if answer is None or answer.done():
            return
        if "error" in message:
            error = message["error"]
            _fail(answer, CdpError(method, error.get("code", 0), error.get("message", ""), error.get("data")))
        else:
            answer.set_result(message.get("result", {}))

    def lost(self, why: CdpClosed) -> None:
        """The connection is over: every waiting call fails, and every later one. Idempotent."""
        if self._closed is None:
            self._closed = why
            for tell in tuple(self._mourners):
                tell(why)
        waiting, self._waiting = self._waiting, {}
        for _, _, answer in waiting.values():
            if not answer.done():
                _fail(answer, self._closed)

    def _detached(self, session: str) -> None:
        """Fail what a session that is over was asked: Chrome never answers that."""
        for number, (method, asked, answer) in tuple(self._waiting.items()):
            if asked == session:
                del self._waiting[number]
                if not answer.done():
                    _fail(answer, CdpError(method, _NO_SESSION, "the session with this page is over"))


def _fail(answer: asyncio.Future[Result], error: Exception) -> None:
    answer.set_exception(error)
    answer.exception()  # marks it as seen, so that a posted call may be forgotten


@asynccontextmanager
async def connect(url: str, timeout: float = 10.0) -> AsyncIterator[CdpClient]:
    """A client on a DevTools WebSocket, closed with the block.

    Raises CdpClosed when nobody answers within `timeout` seconds, or refuses.
    """
    import aiohttp  # not above: the browser host speaks through a pipe, and has no use for its 10 MB

    async with aiohttp.ClientSession() as http:
        try:
            async with asyncio.timeout(timeout):
                socket = await http.ws_connect(url, max_msg_size=MAX_MESSAGE, compress=0)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise CdpClosed(f"no DevTools endpoint answers there ({type(error).__name__})") from error
        outgoing: asyncio.Queue[str] = asyncio.Queue()
        client = CdpClient(outgoing.put_nowait)
        tasks = [asyncio.create_task(_write(socket, outgoing)), asyncio.create_task(_read(socket, client))]
        try:
            yield client
        finally:
            client.lost(CdpClosed("closed by this side", 1000))
            await socket.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _write(socket: aiohttp.ClientWebSocketResponse, outgoing: asyncio.Queue[str]) -> None:
    # A connection that broke is told by the reader, with its reason.
    with suppress(ConnectionError):
        while True:
            await socket.send_str(await outgoing.get())


async def _read(socket: aiohttp.ClientWebSocketResponse, client: CdpClient) -> None:
    from aiohttp import WSMsgType

    reason = ""
    while True:
        message = await socket.receive()
        if message.type is WSMsgType.TEXT:
            client.deliver(message.data)
        elif message.type not in {WSMsgType.BINARY, WSMsgType.PING, WSMsgType.PONG}:
            if message.type is WSMsgType.CLOSE:
                reason = str(message.extra or "")
            break
    code = socket.close_code or 1006
    client.lost(CdpClosed(reason or f"closed with code {code}", code))
