"""Listens, reads one request a connection, and gives it to the route of its path's first part.

Whose Host header names another machine is refused (DNS rebinding), and so is a page of another site:
only pages send an Origin. Paths have secrets in them, so none is ever written anywhere.
"""

from __future__ import annotations

import asyncio
import email.utils
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import cast

import structlog
from websockets.datastructures import Headers, MultipleValuesError
from websockets.frames import Frame
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol

from browserhost.web.shortcut import Shortcut
from browserhost.web.websocket import CLOSE_S, WebSocket
from tenure.cdp import MAX_MESSAGE

REQUEST_S = 5.0
"""How long a request may take to come."""
AHEAD_BYTES = 256 << 10
"""What is handed to a connection at most before it counts as full; a message is always handed over whole."""
TEXT = "text/plain; charset=utf-8"

_log = structlog.get_logger("web")
_silent = logging.getLogger("browserhost.web.protocol")
_silent.disabled = True  # it would write paths


class Refused(Exception):
    """The request is answered with this status and text, a sentence for people."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(status, text)
        self.status, self.text = status, text


@dataclass(frozen=True, slots=True)
class Route:
    """Who serves a path's first part."""

    serve: Callable[[Visit], Awaitable[None]]


class Visit:
    """One request. Its route answers it, or accepts it as a WebSocket, or raises Refused."""

    def __init__(self, connection: _Connection, request: Request) -> None:
        self._connection, self._request = connection, request
        self.parts = request.path.partition("?")[0].strip("/").split("/")
        """Of the path, without the empty ones at its ends."""
        self.host = self._header("Host").lower()
        """The address by which the other side reached this one, with its port."""

    def asks(self, header: str) -> bool:
        """Whether the header is there. Raises Refused when it is there more than once."""
        return bool(self._header(header))

    def answer(self, status: int, body: bytes, kind: str = TEXT) -> None:
        """Send an HTTP answer and close. `kind` is its media type."""
        self._connection.answer(status, body, kind)

    def accept(self) -> WebSocket:
        """Open the WebSocket; it is closed, if it is not by then, when the route returns. Raises Refused."""
        return self._connection.accept(self._request)

    def judge(self, names: frozenset[str]) -> None:
        """Raises Refused for who may not ask."""
        if self._request.method != "GET":
            raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, "Only GET is served.")
        if self.host not in names:
            raise Refused(HTTPStatus.FORBIDDEN, "This is another address.")
        if self._header("Origin"):
            raise Refused(HTTPStatus.FORBIDDEN, "Not for pages of any site.")

    def _header(self, name: str) -> str:
        try:
            return self._request.headers.get(name) or ""
        except MultipleValuesError:
            raise Refused(HTTPStatus.BAD_REQUEST, f"{name} is there more than once.") from None


class WebServer:
    """`listen`, and `aclose` ends every connection. `routes` may grow meanwhile. `address` is `name:port`."""

    def __init__(self, routes: dict[str, Route]) -> None:
        self.routes = routes
        self.address = ""
        self._names: frozenset[str] = frozenset()
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()

    async def listen(self, host: str, port: int) -> None:
        """Port 0 takes a free one. Raises OSError when the port is taken."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), host, port)
        name, bound = self._server.sockets[0].getsockname()[:2]
        self.address = f"[{name}]:{bound}" if ":" in name else f"{name}:{bound}"
        self._names = frozenset({self.address, f"localhost:{bound}"})

    async def aclose(self) -> None:
        """Stop listening; who is served has a moment to say goodbye. Idempotent."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        await asyncio.gather(*(connection.aclose() for connection in tuple(self._connections)))
        await server.wait_closed()

    def came(self, connection: _Connection) -> None:
        self._connections.add(connection)

    def went(self, connection: _Connection) -> None:
        self._connections.discard(connection)

    async def serve(self, visit: Visit) -> None:
        """Answer one request. Raises Refused."""
        route = self.routes.get(visit.parts[0])
        if route is None:
            raise Refused(HTTPStatus.NOT_FOUND, "There is nothing here.")
        visit.judge(self._names)
        await route.serve(visit)


class _Connection(asyncio.Protocol):
    """Bytes in and out, and the task that serves the connection's one request."""

    def __init__(self, server: WebServer) -> None:
        self._server = server
        self._protocol = ServerProtocol(max_size=MAX_MESSAGE, logger=_silent)
        self._transport: asyncio.Transport
        self._socket: WebSocket | None = None
        self._serving: asyncio.Task[None] | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._shortcut = Shortcut()
        self._lost = self._served = False
        self._unread = 0  # bytes of answers to pings since the connection is full

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one without saying so
        self._transport.set_write_buffer_limits(high=AHEAD_BYTES)
        self._deadline = asyncio.get_running_loop().call_later(REQUEST_S, self._transport.abort)
        self._server.came(self)

    def data_received(self, data: bytes) -> None:
        text = self._shortcut.take(data)
        if text is not None and self._socket is not None and self._socket.take(text):
            return
        self._shortcut.gave(data)
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Request):
                self._shortcut.requested(data)
                self._visited(event)
            elif self._socket is not None and isinstance(event, Frame):
                self._shortcut.told(event)
                self._socket.heard(event)
            else:
                self._transport.abort()  # frames before they were asked for
                return
        self._flush()

    def eof_received(self) -> None:
        self._protocol.receive_eof()
        self._flush()

    def pause_writing(self) -> None:
        if self._socket is not None:
            self._socket.room(has=False)

    def resume_writing(self) -> None:
        self._unread = 0
        if self._socket is not None:
            self._socket.room(has=True)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        if self._socket is not None:
            self._socket.lost()
        self._lost = True
        self._went()

    def answer(self, status: int, body: bytes, kind: str) -> None:
        headers = Headers(
            {
                "Date": email.utils.formatdate(usegmt=True),
                "Connection": "close",
                "Content-Length": str(len(body)),
                "Content-Type": kind,
                "Cache-Control": "no-store",
                "X-Content-Type-Options": "nosniff",
                "Referrer-Policy": "no-referrer",
            }
        )
        self._protocol.send_response(Response(status, HTTPStatus(status).phrase, headers, body))
        self._flush()

    def accept(self, request: Request) -> WebSocket:
        response = self._protocol.accept(request)
        if response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
            raise Refused(response.status_code, bytes(response.body).decode().strip())
        self._protocol.send_response(response)
        self._socket = WebSocket(self._protocol, self._transport, self._flush)
        self._flush()
        if self._transport.is_closing():
            self._socket.lost()
        return self._socket

    async def aclose(self) -> None:
        """End it, soon. Idempotent."""
        if self._serving is not None:
            await asyncio.wait([self._serving], timeout=CLOSE_S)
            self._serving.cancel()
            await asyncio.gather(self._serving, return_exceptions=True)
        self._transport.abort()

    def _visited(self, request: Request) -> None:
        self._stop_waiting()
        self._transport.pause_reading()  # until somebody listens
        self._serving = asyncio.create_task(self._serve(request), name="web visit")

    async def _serve(self, request: Request) -> None:
        try:
            await self._server.serve(Visit(self, request))
        except Refused as refused:
            self._refuse(refused)
        except Exception:
            _log.exception("request failed")
            self._refuse(Refused(HTTPStatus.INTERNAL_SERVER_ERROR, "This failed; the host's log has more."))
        finally:
            if self._socket is not None or not self._transport.is_closing():
                self._transport.abort()  # who never read on must not keep its buffers
            self._served = True
            self._went()

    def _refuse(self, refused: Refused) -> None:
        if self._socket is None and not self._transport.is_closing():
            self.answer(refused.status, f"{refused.text}\n".encode(), TEXT)

    def _went(self) -> None:
        """Both the bytes and the task are over."""
        if self._lost and (self._serving is None or self._served):
            self._server.went(self)

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if not data:
                self._end()
            elif self._has_room_for(data):
                self._transport.write(data)
            else:
                self._transport.abort()
                return

    def _has_room_for(self, data: bytes) -> bool:
        """Whether this side may go on answering: not one that pings on and reads nothing."""
        if self._socket is not None and self._socket.full:
            self._unread += len(data)
        return self._unread <= AHEAD_BYTES

    def _end(self) -> None:
        """Close once what was sent is through, or after a moment without."""
        self._transport.close()
        self._deadline = asyncio.get_running_loop().call_later(REQUEST_S, self._transport.abort)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
