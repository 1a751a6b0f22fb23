"""Many DevTools clients on one debugging pipe.

Each client gets a browser-level session of its own (`Target.attachToBrowserTarget`). What it sends
without a session goes there and what comes from there loses it, so it believes itself alone on the
browser. Its child sessions are learnt from what Chrome tells it; ids are renumbered. Whatever a
client set up lives in its sessions and ends with them. A client of one page has a session of that page
below its browser-level one, and believes itself alone on the page.

Targets that are not of the web do not exist for clients: see `browserhost.targets`. Who is attached
to one when it leaves the web is detached, and nothing more of it is passed on from that event on.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable, Mapping
from typing import Any

from browserhost import targets
from browserhost.calls import Call, encode, quoted
from browserhost.frames import Frame, Piece, parse
from browserhost.member import ATTACHED, RECEIVED, Asked, Child, MuxClient, Pipe
from browserhost.roster import Roster
from browserhost.targets import Info, View
from tenure.cdp import CdpClient, CdpClosed, CdpError, Result

__all__ = ["CdpMux", "MuxClient"]

_ATTACHES = frozenset({"Target.attachToTarget", "Target.attachToBrowserTarget"})
_TARGET_EVENTS = frozenset({targets.CREATED, targets.CHANGED, targets.DESTROYED})
# A tab is a page's outside, and changes with it.
_FOLLOWED = [{"type": "browser", "exclude": True}, {"type": "tab", "exclude": True}, {}]
_NOBODY = 0  # as an id, of an answer that nobody waits for
_NO_SESSION = {"code": -32001, "message": "Session with given id not found."}  # as Chrome says it
_NO_TARGET = {"code": -32602, "message": "No target with given id found"}
DETACH_S = 5.0
PAGE_CLOSED = "PAGE_CLOSED"


class CdpMux:
    """Routes between one pipe and its clients. `root` is the host's own client, first and unrestricted."""

    def __init__(self, pipe: Pipe, first: int = 1) -> None:
        """`first` is the first id that Chrome sees."""
        self.pipe = pipe
        self.on_change: Callable[[], None] = lambda: None
        self.on_leave: Callable[[], None] = lambda: None
        """Called before a client's first call may pass, and once it has left."""
        self._ids = itertools.count(first)
        self.roster = Roster()
        # At hand, as they are looked at for every message.
        self._calls, self._owners = self.roster.calls, self.roster.owners
        self.root = CdpClient(self._send_root)

    def watch(self) -> None:
        """Follow all targets, once a browser, before any client joins. Tabs that leave the web are closed."""
        if self.roster.watch:
            return  # a host before followed them, and nothing that was said since is lost
        self.root.post("Target.attachToBrowserTarget").add_done_callback(self._watches)

    def is_hidden(self, client: MuxClient, name: str) -> bool:
        """Whether a target, or a session on one, does not exist for the client."""
        return name in client.banished or self.roster.targets.is_hidden(name)

    @property
    def sessions(self) -> tuple[str, ...]:
        """The sessions with which everything ends that clients set up, and what is followed here."""
        return self.roster.sessions

    def visible(self) -> list[Info]:
        """The targets that clients may see, oldest first."""
        return self.roster.targets.shown()

    async def join(self, deliver: Callable[[bytes], None], on_lost: Callable[[str], None]) -> MuxClient:
        """Attach a client that takes messages whole. Raises as `enter`."""
        return await self.enter(lambda pieces: deliver(b"".join(pieces)), on_lost)

    async def enter(
        self, deliver: Callable[[tuple[Piece, ...]], None], on_lost: Callable[[str], None], target: str = ""
    ) -> MuxClient:
        """Attach a client to the browser, or to one target of it.

        Raises CdpClosed, TimeoutError when Chrome does not answer, CdpError when there is no such target.
        """
        client = MuxClient(deliver, on_lost)
        answer = await self.root.call("Target.attachToBrowserTarget", timeout=DETACH_S)
        client.base = client.session = answer["sessionId"]
        self.roster.join(client)
        self.on_change()
        if target:
            client.session = ""  # nothing is its own until it is there
            try:
                page = {"targetId": target, "flatten": True}
                answer = await self.root.call("Target.attachToTarget", page, client.base, timeout=DETACH_S)
                if answer["sessionId"] in client.banished:
                    raise CdpError("Target.attachToTarget", -32602, "No target with given id found")
            except BaseException:
                await asyncio.shield(self.leave(client))
                raise
            client.session = answer["sessionId"]
        self.roster.own(client, client.session)
        return client

    def send(self, client: MuxClient, message: Mapping[str, Any]) -> None:
        """Send a client's message to Chrome: an object with an integer `id` and a string `method`."""
        params = message.get("params") or {}
        session = message.get("sessionId") or ""
        self.forward(client, Call(message["id"], message["method"], params, session, encode(params)))

    def forward(self, client: MuxClient, call: Call) -> None:
        """Send a client's call to Chrome with its parameters as they are written."""
        session = call.session or client.session
        if session not in client.sessions:
            refusal = {"id": call.id, "error": _NO_SESSION, "sessionId": session}
            client.deliver((json.dumps(refusal).encode(),))
            return
        number = next(self._ids)
        self._calls[number] = Asked(client, call.id, call.method)
        head = b'{"id":%d,"method":%b,"params":' % (number, quoted(call.method))
        self.pipe.write(head, call.written, b',"sessionId":"%b"}' % session.encode())

    async def leave(self, client: MuxClient) -> None:
        """End a client's sessions. When this returns Chrome executes nothing of it any more. Idempotent.

        Safe, because Chrome takes the pipe's messages in order and answers a detach once the
        session and its children are gone.
        """
        gone = self.dismiss(client)
        try:
            async with asyncio.timeout(DETACH_S):
                # Shielded: others may wait for the same answer.
                await asyncio.shield(gone)
        except (CdpError, CdpClosed):
            return  # the session ended by itself, or the browser did

    def dismiss(self, client: MuxClient) -> asyncio.Future[Result]:
        """As `leave`, which returns when what this answers is done."""
        if client.gone is None:
            self.roster.remove(client)
            client.gone = self.root.post("Target.detachFromTarget", {"sessionId": client.base})
            self.on_leave()
            client.gone.add_done_callback(lambda _: self._left(client.base))
        return client.gone

    async def put_out(self, reason: str) -> None:
        """End every client that is not back yet, for this reason. Raises as `leave`."""
        waiting = self.roster.waiting
        for each in waiting:
            each.end(reason)
        await asyncio.gather(*(self.leave(each.member) for each in waiting))

    def overhear(self, message: bytes | bytearray) -> None:
        """Take a message that was on its way to the host before: what is for clients is theirs."""
        frame = parse(message)
        if (
            frame.id in self._calls
            or frame.session in self._owners
            or frame.session == self.roster.watch != ""
        ):
            self.received(message)

    def _left(self, base: str) -> None:
        self.roster.bases.discard(base)
        self.on_change()

    def drop_all(self, reason: str) -> None:
        """Tell every client that it is cut off; each then leaves."""
        for client in tuple(self.roster.clients):
            client.on_lost(reason)

    def received(self, message: bytes | bytearray) -> None:
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
        if call.method in _ATTACHES:
            child = frame.fields().get("result", {}).get("sessionId", "")
            if child in call.client.banished:
                frame = frame.with_fields({"error": _NO_TARGET})
            else:
                self.roster.own(call.client, child)
        elif call.method == "Target.getTargets":
            frame = frame.with_fields(targets.shown_only(frame.fields()))
        self._pass_on(call.client, frame, call.id)

    def lost(self, reason: str) -> None:
        """The pipe is closed."""
        self.root.lost(CdpClosed(reason))
        self.drop_all(reason)

    def _event(self, frame: Frame) -> None:
        client = self._owners.get(frame.session)
        if client is None:
            if frame.session and frame.session == self.roster.watch:
                self._follow(frame)
            else:
                self.root.deliver(frame.addressed(None, frame.session))
            return
        method = frame.method
        if not method and "method" not in frame.fields():
            self.root.deliver(frame.addressed(None, frame.session))  # which tells of it
            return
        if method == ATTACHED:
            if not self._attached(client, frame.session, frame.fields()["params"]):
                return
        elif method == "Target.detachedFromTarget":
            child = frame.fields()["params"]["sessionId"]
            self.roster.forget(client, child)
            if child in client.banished:
                return
            self._page_gone(client, child)
        elif method == RECEIVED:
            # Of a session in the old manner, with its messages as text; a look is enough for most.
            if frame.mentions(b"Target.attachedToTarget") and not client.may_hear(frame.fields()["params"]):
                return
        elif method in _TARGET_EVENTS:
            view = client.views.setdefault(frame.session, View())
            told = view.event(method, frame.fields()["params"])
            if told is None:
                return
            frame = frame.with_fields({"method": told[0], "params": told[1]})
        self._pass_on(client, frame, None)

    def _attached(self, client: MuxClient, parent: str, params: Mapping[str, Any]) -> bool:
        """Whether the client may know of a session that it was just given."""
        child, info = str(params["sessionId"]), params["targetInfo"]
        client.children[child] = Child(parent, str(info["targetId"]))
        if targets.is_shown(info) and not self.roster.targets.is_hidden(str(info["targetId"])):
            self.roster.own(client, child)
            return True
        self._banish(client, child)
        return False

    def _banish(self, client: MuxClient, child: str) -> None:
        """Put a client off a target. What it paused there goes on, and nothing more of it is passed on."""
        parent = client.children[child].parent
        self.roster.forget(client, child)
        client.banished.add(child)
        number = next(self._ids)
        self._calls[number] = Asked(None, _NOBODY)
        call = {"id": number, "method": "Target.detachFromTarget", "params": {"sessionId": child}}
        self.pipe.write(json.dumps({**call, "sessionId": parent}).encode())

    def _watches(self, answer: asyncio.Future[Result]) -> None:
        if not answer.cancelled() and answer.exception() is None:
            self.roster.watch = answer.result()["sessionId"]
            self.root.post(
                "Target.setDiscoverTargets", {"discover": True, "filter": _FOLLOWED}, self.roster.watch
            )

    def _follow(self, frame: Frame) -> None:
        if frame.method not in _TARGET_EVENTS:
            return
        gone = self.roster.targets.hear(frame.method, frame.fields()["params"])
        if gone is None:
            return
        target = gone["targetId"]
        for client in tuple(self.roster.clients):
            for child in [name for name, each in client.children.items() if each.target == target]:
                told = {"sessionId": child, "targetId": target}
                parent = client.children[child].parent
                self._banish(client, child)
                event = {"method": "Target.detachedFromTarget", "params": told}
                self._pass_on(client, Frame(None, parent, b"").with_fields(event), None)
                self._page_gone(client, child)
        if gone["type"] == "page":
            if not self.roster.targets.others(gone):
                self.root.post("Target.createTarget", {"url": "about:blank"})  # the browser keeps a window
            self.root.post("Target.closeTarget", {"targetId": target})

    def _page_gone(self, client: MuxClient, child: str) -> None:
        """A client of one page is told, as Chrome tells it, and cut off."""
        if child == client.session:
            gone = {"method": "Inspector.detached", "params": {"reason": "target_closed"}}
            client.deliver((json.dumps(gone, separators=(",", ":")).encode(),))
            client.on_lost(PAGE_CLOSED)

    def _pass_on(self, client: MuxClient, frame: Frame, number: int | None) -> None:
        if frame.session == client.session:
            client.deliver(frame.pieces(number, ""))
        elif frame.session != client.base:  # a client of one page knows nothing of the browser
            client.deliver(frame.pieces(number, frame.session))

    def _send_root(self, text: str) -> None:
        message = json.loads(text)
        number = next(self._ids)
        self._calls[number] = Asked(None, message["id"])
        self.pipe.write(json.dumps({**message, "id": number}).encode())
