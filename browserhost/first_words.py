"""What is said first to a browser: to one that starts, or to one that an earlier host spoke to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from browserhost.beginning import Parts
from browserhost.chrome import LaunchSpec
from browserhost.closing import Closing
from browserhost.ends import NotAdopted
from browserhost.flushing import Flushing
from browserhost.handing import Handing
from browserhost.memory import Memory
from browserhost.pages import Pages
from browserhost.stilling import Stilling
from browserhost.tree import StartFailed
from tenure.cdp import CdpClosed, CdpError, Result
from tenure.errors import BrowserCrashed

ADOPT_S = 8.0
"""How long a browser that another host left may take to answer; what nobody has read comes first."""


class FirstWords:
    """One browser's. What fails ends it."""

    def __init__(
        self,
        spec: LaunchSpec,
        parts: Parts,
        pages: Pages,
        begin_files: Callable[[int], None],
        flushing: Flushing,
        stilling: Stilling,
        handing: Handing,
        memory: Memory,
        closing: Closing,
    ) -> None:
        """`begin_files` as Browser.begin_files."""
        self._spec, self._tree, self._mux = spec, parts.tree, parts.mux
        self._pages, self._begin_files, self._flushing = pages, begin_files, flushing
        self._stilling, self._handing, self._memory, self._closing = stilling, handing, memory, closing

    async def to_new(self, begun: float) -> dict[str, float]:
        """Speak to a browser that starts: the pipe keeps what is said until it listens.

        Answers the seconds since `begun` to the first answer, `launch`, and from there to the first page,
        `attach`. Raises BrowserCrashed, DiskFull.
        """
        version = self._mux.root.post("Browser.getVersion")
        self._pages.follow()
        self._mux.watch()
        self._handing.keep_downloads()
        try:
            async with asyncio.timeout(self._spec.answer_s):
                await asyncio.shield(self._tree.chrome)
                self._memory.begin()
                await version
                self._begin_files(0)
                launched = time.monotonic()
                first = await asyncio.shield(self._pages.first)
                self._handing.begin(first)
                self._handing.window.add_done_callback(self._saw_window)
                self._memory.remember(context=self._pages.context)
                return {"launch": launched - begun, "attach": time.monotonic() - launched}
        except (StartFailed, CdpError, CdpClosed, TimeoutError) as error:
            raise await self._failed_start(error) from error
        except BaseException:
            await self._closing.kill()
            raise

    async def to_left(self, *, still: bool) -> None:
        """Speak to a browser that another host spoke to; `still` as in Browser.adopt. Raises NotAdopted."""
        note, post = self._memory.note, self._mux.root.post
        self._flushing.at = note.flushed_at
        try:
            async with asyncio.timeout(ADOPT_S):
                await asyncio.shield(self._tree.chrome)
                self._memory.begin()
                version = post("Browser.getVersion")
                self._mux.watch()
                if not self._mux.roster.waiting:
                    self._handing.keep_downloads()
                self._handing.resume(note.window)
                await version
                await self._pages.resume(note.context)
                self._memory.remember()
                # Whatever was set up in them, nobody knows.
                self._stilling.taint()
                if still:
                    await self._stilling.still(for_good=True)
                await self._end_sessions()
                if still:
                    # Once more: with another's sessions ended what they had stilled too.
                    await self._stilling.still(for_good=True)
        except (StartFailed, CdpError, CdpClosed, TimeoutError) as error:
            await self._closing.kill()
            raise NotAdopted(str(error) or "it does not answer") from error
        except Exception:
            await self._closing.kill()
            raise
        except BaseException:
            self._memory.forget()
            raise
        self._memory.remember()

    async def _end_sessions(self) -> None:
        post = self._mux.root.post
        ends = [post("Target.detachFromTarget", {"sessionId": each}) for each in self._memory.ending]
        await asyncio.gather(*ends, return_exceptions=True)
        self._memory.ending = ()

    def _saw_window(self, answer: asyncio.Future[Result]) -> None:
        if not answer.cancelled() and answer.exception() is None:
            self._memory.remember(window=answer.result())

    async def _failed_start(self, error: Exception) -> BrowserCrashed:
        await self._closing.kill()
        ended, problem = self._tree.exit.result(), self._tree.chrome.exception()
        said = problem.problem if isinstance(problem, StartFailed) else ended.stderr
        if isinstance(error, TimeoutError):
            text = f"it did not answer within {self._spec.answer_s:g} s"
        elif isinstance(error, StartFailed) and error.program != "Chrome":
            text = f"{error.program} did not start"
        else:
            text = f"it {ended}"
        return BrowserCrashed(problem=f"{text}; last words: {_last_words(said)}")


def _last_words(stderr: str) -> str:
    lines = [line for line in stderr.splitlines() if line.strip() and "dbus" not in line]
    return " | ".join(lines[-5:]) or "nothing"
