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
from dataclasses import dataclass
from typing import Self

import structlog

from browserhost.egress import peer, socks
from browserhost.egress.egress import Egress
from browserhost.egress.end import End, Ended
from browserhost.egress.exits import WrongExit
from browserhost.egress.socks import Destination, Malformed
from browserhost.egress.upstream import Upstream
from browserhost.egress.way import DIAL_S, Direct, Refused, Through, Way

__all__ = ["Egress", "Forwarder"]

HANDSHAKE_S = 10.0
MOST = 1024
"""Connections at once; Chrome opens 32 to one proxy, and 255 WebSockets."""

_log = structlog.get_logger("egress")


@dataclass(frozen=True, slots=True)
class _Failure:
    at: float
    host: str
    text: str
    down: str


class Forwarder:
    """Listens from `start` until `close`. `name` is the browser's, for the log; `key` its proxy's."""

    def __init__(self, egress: Egress, upstream: Upstream | None, name: str, uid: int) -> None:
        self._egress, self._name, self._uid = egress, name, uid
        self.key = upstream.key if upstream is not None else ""
        self._server: asyncio.Server | None = None
        self._address = ("", 0)
        self._ends: set[End] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._failures: deque[_Failure] = deque(maxlen=16)
        self._logged: set[str] = set()
        self._way: Way = (
            Direct(egress, self._outward) if upstream is None else Through(egress, upstream, self._outward)
        )
        self._proof = egress.exits.of(upstream, egress) if upstream is not None else None

    @classmethod
    async def start(
        cls,
        egress: Egress,
        upstream: Upstream | None,
        name: str,
        *,
        uid: int | None = None,
        sock: socket.socket | None = None,
    ) -> Self:
        """Listen. `upstream` None is a direct way out.

        `uid`: whose connections are taken; None means this process's. `sock` is a listening socket to go on
        with; it is the forwarder's from then on.
        """
        forwarder = cls(egress, upstream, name, os.geteuid() if uid is None else uid)
        loop = asyncio.get_running_loop()
        if sock is None:
            server = await loop.create_server(forwarder._accept, "127.0.0.1", 0)
        else:
            server = await loop.create_server(forwarder._accept, sock=sock)
        forwarder._server, forwarder._address = server, server.sockets[0].getsockname()[:2]
        egress.ports.add(forwarder._address[1])
        if forwarder._proof is not None:
            forwarder._proof.on_wrong.add(forwarder._break_off)
        return forwarder

    @property
    def url(self) -> str:
        """As `--proxy-server` takes it."""
        return f"socks5://127.0.0.1:{self._address[1]}"

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
        if self._proof is not None:
            self._proof.on_wrong.discard(self._break_off)
        for task in self._serving:
            task.cancel()
        self._break_off()
        self._egress.ports.discard(self._address[1])

    @property
    def listening(self) -> socket.socket:
        """A copy of the listening socket, the caller's to close. Only between `start` and `close`."""
        assert self._server is not None
        return socket.fromfd(self._server.sockets[0].fileno(), socket.AF_INET, socket.SOCK_STREAM)

    def failed_since(self, moment: float, host: str = "") -> str:
        """The last connection that was not made since then (time.monotonic), with the reason; "" for none.

        One to `host` comes before the others: Chrome has errands of its own.
        """
        failed = [each for each in self._failures if each.at >= moment]
        asked = [each for each in failed if each.host == host]
        return (asked or failed)[-1].text if failed else ""

    def down_since(self, moment: float, host: str) -> str:
        """Why the upstream was of no use when last asked for `host` since then, a clause; "" when it was."""
        failed = [each for each in self._failures if each.at >= moment and each.host == host]
        return failed[-1].down if failed else ""

    def _break_off(self) -> None:
        for end in tuple(self._ends):
            end.abort()

    def _outward(self) -> End:
        return End(self._ends.discard, self._ends.add)

    def _accept(self) -> End:
        if len(self._ends) >= MOST:
            return End(welcome=False)
        end = End(self._ends.discard)
        self._ends.add(end)
        task = asyncio.get_running_loop().create_task(self._serve(end))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        return end

    async def _serve(self, browser: End) -> None:
        """Connect one of the browser's sockets. Afterwards the two ends live without a task."""
        answer = b""
        await browser.connected()
        if not self._is_ours(browser):
            browser.abort()
            return
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

    def _is_ours(self, browser: End) -> bool:
        """Whether its socket is of the user that the browser runs as: all of the machine may connect here."""
        client = browser.transport.get_extra_info("peername")
        uid = peer.uid_of(client[:2], self._address) if client else None
        if uid == self._uid:
            return True
        text = f"a connection of user {uid}"
        if uid is not None and text not in self._logged:
            self._logged.add(text)
            _log.warning("not the browser's own", profile=self._name, uid=uid, wanted=self._uid)
        return False

    async def _connect(self, browser: End, to: Destination) -> bytes:
        """Tie the browser to its destination; what to answer instead when that fails, b"" when it did not."""
        try:
            async with asyncio.timeout(DIAL_S):
                if self._proof is not None:
                    await self._proof.wait()
                outward = await self._way.dial(to)
        except Refused as refused:
            self._note(to, refused)
            return socks.reply(refused.reply)
        except WrongExit as wrong:
            self._note(to, Refused(socks.FAILED, str(wrong), down=True))
            return socks.reply(socks.FAILED)
        except TimeoutError:
            self._note(to, Refused(socks.HOST, f"does not answer within {DIAL_S:g} s"))
            return socks.reply(socks.HOST)
        if browser.is_closing:  # broken off meanwhile: nothing that it said may go out any more
            outward.abort()
            return b""
        browser.send(socks.reply(socks.SUCCEEDED))
        browser.tie(outward)
        return b""

    def _note(self, to: Destination, refused: Refused) -> None:
        text = f"{to}: {refused.problem}"
        down = refused.problem if refused.down else ""
        self._failures.append(_Failure(time.monotonic(), to.host, text, down))
        # Once each: a page may ask for the same a thousand times a second.
        if refused.denied and text not in self._logged and len(self._logged) < MOST:
            self._logged.add(text)
            _log.warning("egress refused", profile=self._name, to=str(to), why=refused.problem)


def _greeting(data: bytes) -> tuple[None, int] | None:
    length = socks.greeting(data)
    return None if length is None else (None, length)
