"""A DevTools client that an earlier host left to this one, until it is back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from browserhost.frames import Piece
from browserhost.member import MuxClient

PARKED_S = 20.0
"""How long it is waited for: longer than the gateway tries."""
MOST = 16 << 20
"""Bytes that are kept for it."""
NOT_BACK = "HOST_STOPPING"  # as it would have been told, had it not been left to this host


class Parked:
    """What Chrome says to `member` is kept for it, in order, until `take` or `end`."""

    def __init__(self, dismiss: Callable[[MuxClient], object], state: Mapping[str, Any]) -> None:
        """`dismiss` ends its sessions. Raises as MuxClient.restore."""
        self.member = MuxClient(self._keep, self.end)
        self.member.restore(state)
        self.reason = ""
        """Why it is not to come back."""
        self._dismiss = dismiss
        self._messages: list[tuple[Piece, ...]] = []
        self._bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._taken = False

    @property
    def waits(self) -> bool:
        """Neither back, nor not to come back."""
        return not (self.reason or self._taken)

    def wait(self) -> None:
        """From now on it has PARKED_S to be back."""
        self._timer = asyncio.get_running_loop().call_later(PARKED_S, self.end, NOT_BACK)

    def take(self, deliver: Callable[[tuple[Piece, ...]], None], on_lost: Callable[[str], None]) -> MuxClient:
        """It is back: what was kept, and whatever comes from now on, goes there. Once."""
        self._taken = True
        self._wait_no_more()
        self.member.deliver, self.member.on_lost = deliver, on_lost
        messages, self._messages = self._messages, []
        for pieces in messages:
            deliver(pieces)
        if self.reason:  # it ended while it was on its way
            on_lost(self.reason)
        return self.member

    def end(self, reason: str) -> None:
        """It does not come back, and its sessions end. Idempotent; the first reason stays."""
        if not self.waits:
            return
        self.reason = reason
        self._wait_no_more()
        self._messages.clear()
        self._dismiss(self.member)

    def _keep(self, pieces: tuple[Piece, ...]) -> None:
        if self.reason:
            return
        self._messages.append(pieces)
        self._bytes += sum(map(len, pieces))
        if self._bytes > MOST:
            self.end(NOT_BACK)

    def _wait_no_more(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
