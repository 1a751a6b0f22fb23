"""A TCP proxy between a replica and an etcd member: it delays, and loses what goes one way."""

from __future__ import annotations

import asyncio
import contextlib
from types import TracebackType
from typing import Self


class Pipe:
    """Forwards 127.0.0.1:`port` to `target`. `delay_s` holds each piece up; `deaf` names the directions
    ("up" to etcd, "down" from it) in which nothing arrives. Use it as `async with`.
    """

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.delay_s = 0.0
        self.deaf: frozenset[str] = frozenset()

    @property
    def endpoint(self) -> str:
        assert self._server is not None
        return f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def heal(self) -> None:
        """As good as new. Connections that lost something are reset, for what comes next would make no
        sense.
        """
        self.delay_s = 0.0
        if self.deaf:
            self.deaf = frozenset()
            self.cut()

    def cut(self) -> None:
        """Reset every connection; new ones are taken."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            up_reader, up_writer = await asyncio.wait_for(asyncio.open_connection(*self._target), 5.0)
        except (OSError, TimeoutError):
            writer.transport.abort()
            return
        self._writers |= {writer, up_writer}
        try:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(
                    self._pump("up", reader, up_writer), self._pump("down", up_reader, writer)
                )
        finally:
            self._writers -= {writer, up_writer}
            writer.transport.abort()
            up_writer.transport.abort()

    async def _pump(self, way: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                if way not in self.deaf:
                    writer.write(data)
                    await writer.drain()
        writer.transport.abort()
