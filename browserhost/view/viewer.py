"""One person's socket: what there is to see, the newest first, and nothing older when it takes too long."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

from browserhost.client import CLOSE_CODES, OTHER_REASON, Issued
from browserhost.mux import MuxClient
from browserhost.web.websocket import WebSocket
from tenure.errors import TenureError

READ_ONLY = "READ_ONLY"
NOT_UNDERSTOOD = "NOT_UNDERSTOOD"
_CODES = {**CLOSE_CODES, READ_ONLY: 4020, NOT_UNDERSTOOD: 4021}


class Viewer:
    """`on_word` hears each message of the person; None: whoever sends one is put out, as a looker does not.

    `wants_pictures` is False for a program that waits for words.
    """

    member: MuxClient | None = None

    def __init__(
        self,
        issued: Issued,
        socket: WebSocket,
        on_word: Callable[[Any], None] | None,
        *,
        wants_pictures: bool,
    ) -> None:
        self.wants_pictures = wants_pictures
        self.on_room: Callable[[], None] = lambda: None
        """Called when it can take a picture again."""
        self._issued, self._socket, self._on_word = issued, socket, on_word
        self._missed: bytes | None = None
        self._over = asyncio.Event()
        self._reason = ""

    @property
    def busy(self) -> bool:
        """It has not taken the last picture yet."""
        return self._socket.full

    async def run(self) -> None:
        """Serve the socket until either side, or the session, ends."""
        self._socket.listen(self._heard, self._has_room)
        waits = [asyncio.create_task(each.wait()) for each in (self._over, self._socket.ended)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()
        self.close("SESSION_ENDED")
        await self._socket.close(_CODES.get(self._reason, OTHER_REASON), self._reason)

    def close(self, reason: str) -> None:
        """Show nothing more, hear nothing more. Idempotent; the first reason stays."""
        if not self._reason:
            self._reason, self._missed = reason, None
            self._over.set()

    def see(self, picture: bytes) -> None:
        """Show a picture in place of all before it."""
        if not self.wants_pictures or not self._may_pass():
            return
        if self._socket.full:
            self._missed = picture
        else:
            self._socket.send(picture, binary=True)

    def hear(self, word: Mapping[str, Any]) -> None:
        """Say something."""
        if self._may_pass():
            self._socket.send(json.dumps(word).encode())

    def _has_room(self) -> None:
        missed, self._missed = self._missed, None
        if missed is not None:
            self.see(missed)
        self.on_room()

    def _heard(self, message: Any) -> None:
        if self._on_word is None:
            self.close(READ_ONLY)
        elif self._may_pass():
            self._on_word(message)

    def _may_pass(self) -> bool:
        if not self._reason:
            try:
                self._issued.gate()
            except TenureError as closed:
                self.close(closed.reason)
        return not self._reason
