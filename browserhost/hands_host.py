"""The hands on a browser's display as the host has them; the program in `hands/` is the other half."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from browserhost.tasks import to_its_end
from tenure.errors import BrowserCrashed

PROGRAM = Path(__file__).with_name("hands")
ANSWER_S = 10.0
"""How long a command may take; the longest wait in one is `hands.windows.SYNC_S`."""
KEEP_S = 30.0
"""How long hands that nobody uses are kept: a process each."""

Drawn = Callable[[int, int, int, int], None]
"""Told of what was drawn, in the display's pixels: left, top, width, height."""


class Hands:
    """A process with a browser's display open. `async with`; leaving it lets go of what is held.

    Raises BrowserCrashed from everything when the display does not answer. `drawn` is called between
    the commands `watch` and `unwatch`.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.drawn: Drawn = lambda left, top, width, height: None
        self._process = process
        self._answers: asyncio.Queue[str] = asyncio.Queue()
        self._reading = asyncio.create_task(self._read())

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

    @property
    def lost(self) -> bool:
        """Whether the process has ended, or is told to: these hands do nothing any more."""
        assert self._process.stdin is not None
        return self._reading.done() or self._process.stdin.is_closing()

    async def do(self, command: str, *words: object) -> str:
        """Do one command; returns what it answers. Not to be called twice at a time.

        Cancelled, it waits for the answer all the same: the next command's would be taken for it.
        """
        return await to_its_end(self._do(" ".join(map(str, (command, *words)))))

    def drop(self) -> None:
        """As `aclose`, without waiting. Idempotent."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    async def aclose(self) -> None:
        """Let go of what is held, and wait until that is done. Idempotent."""
        self.drop()
        try:
            async with asyncio.timeout(ANSWER_S):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await self._reading

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await to_its_end(self.aclose())

    async def _do(self, line: str) -> str:
        assert self._process.stdin is not None
        if self.lost:
            raise _unusable("it does not answer")
        with suppress(ConnectionError):  # the answer's absence says it
            self._process.stdin.write(line.encode() + b"\n")
            await self._process.stdin.drain()
        return await self._answer()

    async def _answer(self) -> str:
        try:
            async with asyncio.timeout(ANSWER_S):
                line = "" if self._reading.done() and self._answers.empty() else await self._answers.get()
        except TimeoutError:
            line = ""
            self.drop()  # what it still answers would be taken for the next command's
        word, _, rest = line.partition(" ")
        if word != "ok":
            raise _unusable(rest or "it does not answer")
        return rest

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            word, _, rest = line.decode().strip().partition(" ")
            if word == "drawn":
                left, top, width, height = map(int, rest.split())
                self.drawn(left, top, width, height)
            else:
                self._answers.put_nowait(f"{word} {rest}")
        self._answers.put_nowait("")


def _unusable(problem: str) -> BrowserCrashed:
    return BrowserCrashed(f"The browser's display cannot be used: {problem}.", problem=problem)


class KeptHands:
    """One browser's hands, kept from one use to the next where `keep` says so. `drop` in the end.

    `display` says its variables once there is one.
    """

    def __init__(self, display: Callable[[], Mapping[str, str]], *, keep: bool) -> None:
        self._display, self._keep = display, keep
        self._hands: Hands | None = None
        self._timer: asyncio.TimerHandle | None = None

    @asynccontextmanager
    async def use(self) -> AsyncIterator[Hands]:
        """Hands for one user at a time. Whatever goes wrong inside, nothing stays held.

        Raises BrowserCrashed when there are none to be had.
        """
        if self._timer is not None:
            self._timer.cancel()
        hands, self._hands = self._hands, None
        if hands is None or hands.lost:
            hands = await Hands.on(self._display())
        try:
            yield hands
        except BrowserCrashed:
            # It may answer late, and that would be taken for an answer to something else.
            await to_its_end(hands.aclose())
            raise
        finally:
            if hands.lost or not self._keep:
                await to_its_end(hands.aclose())
            else:
                self._hands = hands
                self._timer = asyncio.get_running_loop().call_later(KEEP_S, self.drop)

    def drop(self) -> None:
        """Let go of the process, if there is one. Idempotent; the next use has another."""
        if self._timer is not None:
            self._timer.cancel()
        if self._hands is not None:
            self._hands.drop()
            self._hands = None

    async def aclose(self) -> None:
        """As `drop`, and wait until the process has ended. Idempotent."""
        hands = self._hands
        self.drop()
        if hands is not None:
            await hands.aclose()
