"""A thing that must never be written by two: it takes writes by token, with a floor, as a browser host does.

It knows nothing but tokens: one above its floor is verified at the lock service, and the floor rises to it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

from tests.chaos.call import OK, REFUSED
from tests.chaos.caller import Caller, Door
from tests.chaos.recorder import Recorder

# How long a verified token is served. Shorter than a host's, so that more verifications are made.
_SERVED_S = 0.5


class Writes(Protocol):
    """What takes writes."""

    async def write(self, profile: str, token: int) -> bool:
        """Write under a token; whether it was accepted."""
        ...


class Resource:
    """The thing itself. Its own record of what it accepted is in the order in which it did."""

    def __init__(self, recorder: Recorder, doors: Sequence[Door], seed: str) -> None:
        self._recorder = recorder
        self._caller = Caller("host", recorder)
        self._doors = doors
        self._random = random.Random(f"{seed}:resource")
        self._floors: dict[str, int] = {}
        self._served_until: dict[str, float] = {}
        self._queues: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def write(self, profile: str, token: int) -> bool:
        loop = asyncio.get_running_loop()
        # One queue a profile for check, write and floor changes.
        async with self._queues[profile]:
            floor = self._floors.get(profile, 0)
            served = token == floor and loop.time() < self._served_until.get(profile, 0.0)
            sent = loop.time()
            current = served or await self._current(profile, token)
            call = self._recorder.begin("host", "accept", profile, "", token=token, floor=floor)
            if current and token >= floor:
                self._floors[profile] = token
                if not served:
                    self._served_until[profile] = sent + _SERVED_S
                self._recorder.end(call, OK)
                return True
            self._recorder.end(call, REFUSED, reason="BELOW_FLOOR_BUT_CURRENT" if current else "FENCED")
            return False

    async def _current(self, profile: str, token: int) -> bool:
        return (await self._caller.verify(self._random.choice(self._doors), profile, token)).ok


@asynccontextmanager
async def offered(resource: Resource) -> AsyncIterator[str]:
    """Let other processes write: yields an address for `Remote`."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Its clients are killed at any moment.
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            while line := await reader.readline():
                profile, token = json.loads(line)
                accepted = await resource.write(profile, token)
                writer.write(b"1" if accepted else b"0")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


class Remote:
    """The resource from another process."""

    def __init__(self, address: str) -> None:
        self._host, _, self._port = address.rpartition(":")

    async def write(self, profile: str, token: int) -> bool:
        reader, writer = await asyncio.open_connection(self._host, int(self._port))
        try:
            writer.write(json.dumps([profile, token]).encode() + b"\n")
            return await reader.read(1) == b"1"
        finally:
            writer.close()
