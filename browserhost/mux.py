"""Many DevTools clients on one debugging pipe.

Each client gets a browser-level session of its own (`Target.attachToBrowserTarget`). What it sends
without a session goes there and what comes from there loses it, so it believes itself alone on the
browser. Its child sessions are learnt from what Chrome tells it; ids are renumbered. Whatever a
client set up lives in its sessions and ends with them.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from browserhost.frames import Frame, parse
from tenure.cdp import CdpClient, CdpClosed, CdpError

_ATTACHES = frozenset({"Target.attachToTarget", "Target.attachToBrowserTarget"})
_NO_SESSION = {"code": -32001, "message": "Session with given id not found."}  # as Chrome says it
DETACH_S = 5.0


@dataclass(eq=False, slots=True)
class MuxClient:
    """One client. `deliver` gets whole messages, `on_lost` why there will be no more. Neither may block."""

    deliver: Callable[[bytes], None]
    on_lost: Callable[[str], None]
    session: str = ""
    sessions: set[str] = field(default_factory=set)
    """Its own and its children's."""


@dataclass(frozen=True, slots=True)
class _Call:
    client: MuxClient | None
    """None is the host itself."""
    id: int
    attaches: bool = False


class CdpMux:
    """Routes between one pipe and its clients. `root` is the host's own client, first and unrestricted."""

    def __init__(self, write: Callable[[bytes], None], room: Callable[[], Awaitable[None]]) -> None:
        """`write` takes a message for Chrome at once; `room` waits until it is sensible to write more."""
        self._write = write
        self.room = room
        self._ids = itertools.count(1)
        self._calls: dict[int, _Call] = {}
        self._owners: dict[str, MuxClient] = {}
        self._clients: set[MuxClient] = set()
        self.root = CdpClient(self._send_root)

    async def join(self, deliver: Callable[[bytes], None], on_lost: Callable[[str], None]) -> MuxClient:
        """Attach a client. Raises CdpClosed, or TimeoutError when Chrome does not answer."""
        client = MuxClient(deliver, on_lost)
        answer = await self.root.call("Target.attachToBrowserTarget", timeout=DETACH_S)
        client.session = answer["sessionId"]
        self._own(client, client.session)
        self._clients.add(client)
        return client

    def send(self, client: MuxClient, message: Mapping[str, Any]) -> None:
        """Send a client's message to Chrome: an object with an integer `id` and a string `method`."""
        session = message.get("sessionId") or client.session
        if session not in client.sessions:
            refusal = {"id": message["id"], "error": _NO_SESSION, "sessionId": session}
            client.deliver(json.dumps(refusal).encode())
            return
        number = next(self._ids)
        self._calls[number] = _Call(client, message["id"], message["method"] in _ATTACHES)
        self._write(json.dumps({**message, "id": number, "sessionId": session}).encode())

    async def leave(self, client: MuxClient) -> None:
        """End a client's sessions. When this returns Chrome executes nothing of it any more. Idempotent.

        Safe, because Chrome takes the pipe's messages in order and answers a detach once the
        session and its children are gone.
        """
        if client not in self._clients:
            return
        self._clients.discard(client)
        for session in client.sessions:
            self._owners.pop(session, None)
        client.sessions.clear()
        self._calls = {number: call for number, call in self._calls.items() if call.client is not client}
        try:
            await self.root.call("Target.detachFromTarget", {"sessionId": client.session}, timeout=DETACH_S)
        except (CdpError, CdpClosed):
            return  # the session ended by itself, or the browser did

    def drop_all(self, reason: str) -> None:
        """Tell every client that it is cut off; each then leaves."""
        for client in tuple(self._clients):
            client.on_lost(reason)

    def received(self, message: bytes) -> None:
        """Take a message from the pipe."""
        frame = parse(message)
        if frame.id is None:
            self._event(frame)
            return
        call = self._calls.pop(frame.id, None)
        if call is None:
            return  # of a client that left
        if call.client is None:
            self.root.deliver(frame.addressed(call.id, frame.session))
            return
        if call.attaches:
            child = frame.fields().get("result", {}).get("sessionId", "")
            self._own(call.client, child)
        self._pass_on(call.client, frame, call.id)

    def lost(self, reason: str) -> None:
        """The pipe is closed."""
        self.root.lost(CdpClosed(reason))
        self.drop_all(reason)

    def _event(self, frame: Frame) -> None:
        client = self._owners.get(frame.session)
        if client is None:
            self.root.deliver(frame.addressed(None, frame.session))
            return
        if frame.method == "Target.attachedToTarget":
            self._own(client, frame.fields()["params"]["sessionId"])
        elif frame.method == "Target.detachedFromTarget":
            child = frame.fields()["params"]["sessionId"]
            self._owners.pop(child, None)
            client.sessions.discard(child)
        self._pass_on(client, frame, None)

    def _pass_on(self, client: MuxClient, frame: Frame, number: int | None) -> None:
        session = "" if frame.session == client.session else frame.session
        client.deliver(frame.addressed(number, session))

    def _own(self, client: MuxClient, session: str) -> None:
        if session:
            client.sessions.add(session)
            self._owners[session] = client

    def _send_root(self, text: str) -> None:
        message = json.loads(text)
        number = next(self._ids)
        self._calls[number] = _Call(None, message["id"])
        self._write(json.dumps({**message, "id": number}).encode())
