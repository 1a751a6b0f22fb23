"""The hands on a browser's display as the host has them; the program in `hands/` is the other half."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from browserhost.tasks import to_its_end
from tenure.errors import BrowserCrashed

PROGRAM = Path(__file__).with_name("hands")
ANSWER_S = 10.0
"""How long a command may take; the longest wait in one is `hands.windows.SYNC_S`."""


class Hands:
    """A process with a browser's display open. `async with`; leaving it lets go of what is held.

    Raises BrowserCrashed from everything when the display does not answer.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def on(cls, display: Mapping[str, str]) -> Self:
        """Open the display that these variables name."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", str(PROGRAM)),
            env={"PATH": os.environ.get("PATH", os.defpath), **display},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        hands = cls(process)
        try:
            await hands._answer()
        except BaseException:
            await hands.aclose()
            raise
        return hands

    async def do(self, command: str, *words: object) -> str:
        """Do one command; returns what it answers. Not to be called twice at a time, nor cancelled."""
        assert self._process.stdin is not None
        with suppress(ConnectionError):  # the answer's absence says it
            self._process.stdin.write(" ".join(map(str, (command, *words))).encode() + b"\n")
            await self._process.stdin.drain()
        return await self._answer()

    async def aclose(self) -> None:
        """Let go of what is held, and wait until that is done. Idempotent."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(ANSWER_S):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await to_its_end(self.aclose())

    async def _answer(self) -> str:
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(ANSWER_S):
                line = await self._process.stdout.readline()
        except TimeoutError:
            line = b""
        word, _, rest = line.decode().strip().partition(" ")
        if word != "ok":
            problem = rest or "it does not answer"
            raise BrowserCrashed(f"The browser's display cannot be used: {problem}.", problem=problem)
        return rest
