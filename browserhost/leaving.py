"""How a host leaves a browser's DevTools clients to the next one: nothing is under way that is not known."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping

from browserhost.member import MuxClient
from browserhost.memory import Memory
from browserhost.mux import CdpMux
from browserhost.pipe import DebuggingPipe
from browserhost.tree import ProcessTree

REST_S = 3.0
"""How long Chrome's message under way may take to come, and what was sent to it to go."""
MOST = 512 << 10
"""Bytes that a keeper is told of clients; it answers a next host with them."""


class Leaving:
    """One browser's. Once at rest it is the next host's to go on: this one hears nothing of it any more."""

    def __init__(self, pipe: DebuggingPipe, mux: CdpMux, tree: ProcessTree, memory: Memory) -> None:
        self._pipe, self._mux, self._tree, self._memory = pipe, mux, tree, memory

    async def rest(self) -> bool:
        """Read no further than to the end of a message; whether that, and all that was sent, is through."""
        try:
            async with asyncio.timeout(REST_S):
                await self._pipe.rest()
        except TimeoutError:
            return False
        return True

    async def leave(self, clients: Mapping[str, MuxClient]) -> bool:
        """Have the keeper remember these, by ticket, for the next host; whether it does. Only at rest."""
        state = self._mux.roster.state(clients)
        if len(json.dumps(state)) > MOST:
            return False
        self._memory.remember(clients=state)
        try:
            async with asyncio.timeout(REST_S):
                await self._tree.said()
        except TimeoutError:
            return False
        return True
